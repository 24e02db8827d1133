"""The bench on which learning requests run: the model, and the rows each node may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from troth.errors import DataError, RoundFailedError
from troth.ids import NodeId
from troth.learning.losses import Targets as Targets
from troth.learning.models import Model
from troth.streams import Stream
from troth.wire import Float32s, Int64s


@dataclass(frozen=True)
class Workbench:
    """What an engine needs to carry out learning requests; made by `build_workbench`.

    In a real node `rows_of` names only itself. Shapes: N rows, T test rows, F features of an
    example after flattening.
    """

    model: Model
    x_NF: Tensor
    """Features of all rows, float32 of shape (N, F), on `device`."""
    y_N: Tensor
    """Targets of all rows, shape (N,): int64 classes, or float32 numbers for regression."""
    rows_of: Mapping[NodeId, Int64s]
    """Indices into the rows, kept on the host, where batches are drawn. An attacker's poisoned
    copies are rows of their own."""
    test_x_TF: Tensor
    test_y_T: Tensor
    stream: Stream
    """The run's `learning` stream, from which batches are drawn."""
    target_floor: float = 1.0
    """Smallest |y| that a relative error is divided by, in units of the target (regression)."""

    @cached_property
    def targets_N(self) -> Targets:
        """`y_N` for numpy, on a CPU."""
        found: Targets = self.y_N.numpy()
        return found

    @property
    def device(self) -> torch.device:
        return self.x_NF.device

    def rows(self, node: NodeId) -> Int64s:
        """The rows of `node`.

        Raises:
          RoundFailedError: it has none.
        """
        rows = self.rows_of.get(node)
        if rows is None or not len(rows):
            raise RoundFailedError(
                f"{node} was asked to learn, but has no rows",
                hint="check [partition], and [admission] minimum_examples",
            )
        return rows

    def tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        """A copy of `array` on this bench's device.

        Always a copy: arrays from the wire are read-only and start anywhere in memory, and matrix
        products may round differently for differently aligned operands. Torch aligns its own
        memory.
        """
        return torch.tensor(np.array(array), device=self.device)


def build_workbench(
    model: Model,
    *,
    x_NF: Float32s,
    y_N: Targets,
    rows_of: Mapping[NodeId, Int64s],
    test_x_TF: Float32s,
    test_y_T: Targets,
    stream: Stream,
    device: torch.device | None = None,
    target_floor: float = 1.0,
) -> Workbench:
    """The bench for one run.

    Args:
      x_NF: float32 examples, rows of poisoned copies included; (N, *features) is flattened.
      y_N: int64 classes from 0, or float32 targets.
      rows_of: for every node that learns, its rows, at least one.
      stream: the run's `learning` stream.
      device: absent: the CPU, where `x_NF` is used as it lies in memory and must not change.
      target_floor: see `Workbench.target_floor`.

    Raises:
      DataError: shapes, types, labels or row numbers do not fit the model.
    """
    device = torch.device("cpu") if device is None else device
    _check_examples(model, x_NF, y_N, "training")
    _check_examples(model, test_x_TF, test_y_T, "test")
    rows = {}
    for node, indices in rows_of.items():
        if not len(indices):
            raise DataError(f"{node} has no rows", hint="check [partition]")
        if indices.min() < 0 or indices.max() >= len(x_NF):
            raise DataError(
                f"{node} has rows {indices.min()} to {indices.max()}, but there are {len(x_NF)}"
            )
        rows[node] = np.ascontiguousarray(indices, dtype=np.int64)
    model.move(device)
    return Workbench(
        model=model,
        x_NF=_on_device(x_NF.reshape(len(x_NF), -1), device),
        y_N=_on_device(y_N, device),
        rows_of=rows,
        test_x_TF=_on_device(test_x_TF.reshape(len(test_x_TF), -1), device),
        test_y_T=_on_device(test_y_T, device),
        stream=stream,
        target_floor=target_floor,
    )


def _on_device(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    # Torch warns about read-only arrays, so those are copied; a training set is too large to copy
    # for nothing.
    writable = array if array.flags.writeable else array.copy()
    return torch.from_numpy(np.ascontiguousarray(writable)).to(device)


def _check_examples(model: Model, x: Float32s, y: Targets, name: str) -> None:
    if not len(x) or len(x) != len(y):
        raise DataError(f"there are {len(x)} {name} examples and {len(y)} {name} targets")
    if x.dtype != np.float32 or x[0].size != model.inputs:
        raise DataError(
            f"a {name} example is {x[0].size} values of {x.dtype}, "
            f"but the model takes {model.inputs} of float32"
        )
    if model.task == "regression":
        if y.dtype != np.float32:
            raise DataError(f"{name} targets are {y.dtype}, not float32")
    elif y.dtype != np.int64:
        raise DataError(f"{name} labels are {y.dtype}, not int64")
    elif y.min() < 0 or y.max() >= model.outputs:
        raise DataError(
            f"{name} labels go from {y.min()} to {y.max()}, "
            f"but the model has classes 0 to {model.outputs - 1}"
        )
