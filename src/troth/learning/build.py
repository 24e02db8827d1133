"""From the `[task.model]` table to a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from troth.errors import CharterError
from troth.learning import spec
from troth.learning.affine import Affine
from troth.learning.checks import check_classes, check_model
from troth.learning.losses import choose_loss
from troth.learning.mlp import Perceptron
from troth.learning.models import Model, Purpose
from troth.learning.module import ModuleModel
from troth.learning.shokri import ShokriPerceptron, shokri_cnn
from troth.references import resolve


def build_model(
    table: spec.ModelSpec,
    *,
    features: tuple[int, ...],
    outputs: int,
    task: spec.TaskKind,
    loss: spec.LossName | None = None,
    base: Path | None = None,
) -> Model:
    """The model that `table` describes.

    Args:
      features: shape of one example.
      outputs: number of classes, or 1 for regression.
      loss: None is cross entropy for classification and squared error for regression.
      base: folder of the scenario file, where a `module:callable` is looked up first.

    Raises:
      CharterError: the model, the loss and the task do not go together, or a model of the user's
        own cannot be imported or does not do what `ModuleModel` asks of it.
    """
    _check_outputs(outputs, task)
    check_model(table, task)
    check_classes(table, outputs)
    columns = 1 if isinstance(table, spec.Logistic) else outputs
    objective = choose_loss(task, loss, columns=columns)
    purpose = Purpose(features, outputs, task, objective, table.l2)
    match table:
        case spec.Logistic() | spec.Softmax() | spec.Linear():
            return Affine(purpose, columns=columns)
        case spec.MLP():
            return Perceptron(purpose, hidden=table.hidden, activation=table.activation)
        case spec.ShokriMLP():
            return ShokriPerceptron(purpose)
        case spec.ShokriCNN():
            factory = partial(shokri_cnn, features, outputs)
            key, value = "task.model.name", "shokri_cnn"
        case spec.Module():
            key, value = "task.model.callable", table.callable
            try:
                named = resolve(table.callable, base=base)
            except CharterError as error:
                raise CharterError(error.message, key=key, hint=error.hint) from error
            factory = partial(named, features, outputs, **table.arguments)
    trusted = isinstance(table, spec.ShokriCNN)
    return ModuleModel(factory, purpose, key=key, value=value, trusted=trusted)


def _check_outputs(outputs: int, task: spec.TaskKind) -> None:
    if task == "classification" and outputs < 2:
        raise CharterError(
            f"needs data of at least 2 classes, and there is {outputs}",
            key="task.kind",
            value=task,
            hint='set kind = "regression" if the target is a number',
        )
    if task == "regression" and outputs != 1:
        raise CharterError(
            f"predicts one number, but the data have {outputs} classes",
            key="task.kind",
            value=task,
            hint='set kind = "classification"',
        )
