"""Task, data and model fit each other."""

from __future__ import annotations

from troth.charter.charter import Charter
from troth.charter.rules.common import classes, facts
from troth.data.spec import FileData, NamedData
from troth.errors import CharterError
from troth.learning.checks import check_classes, check_images, check_loss, check_model
from troth.learning.spec import ShokriCNN


def _model_is_for_this_kind(charter: Charter) -> None:
    check_model(charter.task.model, charter.task.kind)


def _loss_is_for_this_kind(charter: Charter) -> None:
    check_loss(charter.task.loss, charter.task.kind)


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


def _model_has_as_many_classes(charter: Charter) -> None:
    count = classes(charter)
    if count is not None:
        check_classes(charter.task.model, count)


def _convolution_has_images(charter: Charter) -> None:
    known = facts(charter)
    if isinstance(charter.task.model, ShokriCNN) and known is not None:
        check_images(known.shape)


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
    _model_has_as_many_classes,
    _convolution_has_images,
    _schema_suits_the_task,
)
