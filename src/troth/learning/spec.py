"""The `[task.model]` table, and the kinds of task and loss that a model is made for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.specification import Count, NonNegative, Reference, Table

TaskKind = Literal["classification", "regression"]
"""What is predicted: one of C classes, or a number."""

LossName = Literal["cross_entropy", "squared"]


class Logistic(Table, frozen=True, tag_field="name", tag="logistic", kw_only=True):
    """Binary logistic regression, D = F + 1. Two classes only."""

    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


class Softmax(Table, frozen=True, tag_field="name", tag="softmax", kw_only=True):
    """Multinomial logistic regression, D = (F + 1) * C. MNIST: 7,850."""

    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


class Linear(Table, frozen=True, tag_field="name", tag="linear", kw_only=True):
    """Linear regression, D = F + 1, squared loss. Regression only."""

    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


class MLP(Table, frozen=True, tag_field="name", tag="mlp", kw_only=True):
    """Multi-layer perceptron with one or two hidden layers."""

    hidden: Annotated[list[Count], msgspec.Meta(min_length=1, max_length=2)]
    """Units of each hidden layer."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


class ShokriMLP(Table, frozen=True, tag_field="name", tag="shokri_mlp", kw_only=True):
    """The MLP of Shokri & Shmatikov (CCS 2015), used by alpha-MDL, SecProbe and FDPDDL."""

    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


class ShokriCNN(Table, frozen=True, tag_field="name", tag="shokri_cnn", kw_only=True):
    """The CNN of Shokri & Shmatikov (CCS 2015), used by alpha-MDL, SecProbe and FDPDDL."""

    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


class Module(Table, frozen=True, tag_field="name", tag="module", kw_only=True):
    """Your own: a callable returning a `torch.nn.Module`.

    It is called as `callable(features, outputs, **arguments)` with `features` the shape of one
    example (a tuple) and `outputs` the number of classes (1 for regression), and its module maps
    (B, *features) to (B, outputs).
    """

    callable: Reference
    """Its module is looked up beside the scenario file, then on the Python path."""
    arguments: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    """Arguments that the callable is given by name."""
    l2: NonNegative = 0.0
    """A party minimises mean loss + l2 / 2 * ||w||^2."""


ModelSpec = Logistic | Softmax | Linear | MLP | ShokriMLP | ShokriCNN | Module
