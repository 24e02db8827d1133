"""The bench on which learning requests run: the model, and the rows each node may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from troth.ids import NodeId
from troth.learning.models import Model
from troth.streams import Stream


@dataclass(frozen=True)
class Workbench:
    """What an engine needs to carry out learning requests.

    In a real node `rows_of` names only itself. Shapes: N rows, F features after flattening.
    """

    model: Model
    x_NF: torch.Tensor
    """float32, on `device`."""
    y_N: torch.Tensor
    """int64 classes, or float32 targets for regression."""
    rows_of: Mapping[NodeId, torch.Tensor]
    """int64 indices into the rows. An attacker's poisoned copies are rows of their own."""
    test_x_TF: torch.Tensor
    test_y_T: torch.Tensor
    stream: Stream
    """The run's `learning` stream."""

    @property
    def device(self) -> torch.device:
        return self.x_NF.device
