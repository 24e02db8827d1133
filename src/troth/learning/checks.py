"""Whether a task, its model, its loss and its data go together.

A charter is checked by these before its data are there, and a model when it is built of them. So
this module imports nothing numerical.
"""

from __future__ import annotations

from troth.errors import CharterError
from troth.learning.spec import Linear, Logistic, LossName, ModelSpec, Softmax, TaskKind


def check_model(model: ModelSpec, kind: TaskKind) -> None:
    """Refuses a model that is for the other kind of task only.

    Raises:
      CharterError: it is; the key is `task.model.name`.
    """
    if kind == "regression" and isinstance(model, Logistic | Softmax):
        raise CharterError(
            'is a model for classification, but task.kind = "regression"',
            key="task.model.name",
            value=str(model.__struct_config__.tag),
            hint='take model = "linear", or an mlp',
        )
    if kind == "classification" and isinstance(model, Linear):
        raise CharterError(
            'is a model for regression, but task.kind = "classification"',
            key="task.model.name",
            value="linear",
            hint='take model = "logistic" for two classes, or "softmax"',
        )


def check_loss(loss: LossName | None, kind: TaskKind) -> None:
    """Refuses cross entropy for a regression, which has no classes.

    Raises:
      CharterError: it is asked for; the key is `task.loss`.
    """
    if kind == "regression" and loss == "cross_entropy":
        raise CharterError(
            'needs classes, but task.kind = "regression"',
            key="task.loss",
            value="cross_entropy",
            hint='remove loss, or set it to "squared"',
        )


def check_classes(model: ModelSpec, classes: int) -> None:
    """Refuses a model for two classes where the data have another number of them.

    Raises:
      CharterError: they have; the key is `task.model.name`.
    """
    if isinstance(model, Logistic) and classes != 2:
        raise CharterError(
            f"tells 2 classes apart, but the data have {classes}",
            key="task.model.name",
            value="logistic",
            hint='take model = "softmax"',
        )


def check_images(shape: tuple[int, ...]) -> None:
    """Refuses examples that are no images (H, W) or (channels, H, W), which `shokri_cnn` needs.

    Raises:
      CharterError: `shape`, of one example, is another; the key is `task.model.name`.
    """
    if len(shape) not in (2, 3):
        raise CharterError(
            f"needs images, but an example has shape {shape}",
            key="task.model.name",
            value="shokri_cnn",
            hint='take name = "mlp" for tables of numbers',
        )
