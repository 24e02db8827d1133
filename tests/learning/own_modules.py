"""Makes models of the modules that tests write out themselves."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from troth.learning.losses import choose_loss
from troth.learning.models import Purpose
from troth.learning.module import ModuleModel


def module_model(factory: Callable[[], nn.Module]) -> ModuleModel:
    """The model of a module for six features and three classes, as a charter would name it."""
    loss = choose_loss("classification", None, columns=3)
    purpose = Purpose((6,), 3, "classification", loss, l2=0.0)
    return ModuleModel(factory, purpose, key="task.model.callable", value="task:make")
