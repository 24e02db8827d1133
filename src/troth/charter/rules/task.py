"""Task, data and model fit each other."""

from __future__ import annotations

from troth.charter.charter import Charter
from troth.charter.rules.common import classes, facts
from troth.data.spec import FileData, NamedData
from troth.errors import CharterError
from troth.learning.spec import Linear, Logistic, ShokriCNN, Softmax
from troth.specification import tag


def _model_is_for_this_kind(charter: Charter) -> None:
    task = charter.task
    if task.kind == "regression" and isinstance(task.model, Logistic | Softmax):
        raise CharterError(
            'is a model for classification, but task.kind = "regression"',
            key="task.model.name",
            value=tag(task.model),
            hint='take model = "linear", or an mlp',
        )
    if task.kind == "classification" and isinstance(task.model, Linear):
        raise CharterError(
            'is a model for regression, but task.kind = "classification"',
            key="task.model.name",
            value="linear",
            hint='take model = "logistic" for two classes, or "softmax"',
        )


def _loss_is_for_this_kind(charter: Charter) -> None:
    if charter.task.kind == "regression" and charter.task.loss == "cross_entropy":
        raise CharterError(
            'needs classes, but task.kind = "regression"',
            key="task.loss",
            value="cross_entropy",
            hint='remove loss, or set it to "squared"',
        )


def _data_are_of_this_kind(charter: Charter) -> None:
    task, known = charter.task, facts(charter)
    if known is not None and known.kind != task.kind:
        assert isinstance(task.data, NamedData)
        raise CharterError(
            f"does not go with the data set {task.data.name}, which is for {known.kind}",
            key="task.kind",
            value=task.kind,
            hint=f'set kind = "{known.kind}", or take other data: troth data list',
        )


def _logistic_has_two_classes(charter: Charter) -> None:
    count = classes(charter)
    if isinstance(charter.task.model, Logistic) and count is not None and count != 2:
        raise CharterError(
            f"tells 2 classes apart, but the data have {count}",
            key="task.model.name",
            value="logistic",
            hint='take model = "softmax"',
        )


def _convolution_has_images(charter: Charter) -> None:
    known = facts(charter)
    if isinstance(charter.task.model, ShokriCNN) and known is not None and not known.is_image:
        assert isinstance(charter.task.data, NamedData)
        raise CharterError(
            f"needs images, and those of {charter.task.data.name} are rows of a table",
            key="task.model.name",
            value="shokri_cnn",
            hint='take model = "shokri_mlp"',
        )


def _schema_suits_the_task(charter: Charter) -> None:
    data = charter.task.data
    if not isinstance(data, FileData):
        return
    given = data.schema.classes
    if charter.task.kind == "classification" and given is None:
        raise CharterError(
            "is missing, and a classification needs it",
            key="task.data.schema.classes",
            hint='list the labels, classes = ["no", "yes"], or give their number, classes = 2',
        )
    if charter.task.kind == "regression" and given is not None:
        raise CharterError(
            'has no meaning with task.kind = "regression"',
            key="task.data.schema.classes",
            value=given,
            hint="remove classes",
        )


RULES = (
    _model_is_for_this_kind,
    _loss_is_for_this_kind,
    _data_are_of_this_kind,
    _logistic_has_two_classes,
    _convolution_has_images,
    _schema_suits_the_task,
)
