"""What a loader gives: examples, and a data set made of them.

Shapes: N rows, F features after flattening, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from troth.learning.spec import TaskKind

Float32s: TypeAlias = npt.NDArray[np.float32]
Int64s: TypeAlias = npt.NDArray[np.int64]
Values: TypeAlias = npt.NDArray[Any]
"""One value per row, of whatever type: text, codes."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of a data set: features, and the class or number to predict from them."""

    x_NF: Float32s
    y_N: Int64s | Float32s
    """int64 classes 0..C-1, or float32 targets for regression."""
    group_N: Int64s | None = None
    """Rows with equal values belong together (a patient) and are never split between parties."""
    columns: Mapping[str, Values] = field(default_factory=dict)
    """Columns kept to deal by, each of shape (N,); they need not be among the features."""

    def __len__(self) -> int:
        return len(self.y_N)

    def take(self, rows_K: Int64s) -> Examples:
        """The rows `rows_K`, in that order, copied."""
        return Examples(
            x_NF=self.x_NF[rows_K],
            y_N=self.y_N[rows_K],
            group_N=None if self.group_N is None else self.group_N[rows_K],
            columns={name: values_N[rows_K] for name, values_N in self.columns.items()},
        )


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test rows, and what a reader must know about them."""

    name: str
    task: TaskKind
    train: Examples
    test: Examples
    features: tuple[int, ...]
    """Shape of one example, (1, 28, 28) say; F is its product."""
    classes: tuple[str, ...] = ()
    """Names of the classes 0..C-1; empty for regression."""
    given: list[Int64s] | None = None
    """Own files: the training rows that came from each file, for the partition `as_given`."""
    target_floor: float = 1e-6
    """Targets smaller than this count as this in the mean relative error."""
    notes: list[str] = field(default_factory=list)
    """What the loader did: sizes, scaling, filters, substitutes. Shown in every report."""
