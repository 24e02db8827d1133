"""The learning requests that roles hand to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from troth.compute import Compute
from troth.ids import NodeId
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.records import Metrics
from troth.wire import Float32s


class LocalResult(msgspec.Struct, frozen=True):
    """What came of a local update.

    `update_D` is a gradient or a change of the model, as `Training.update` says; `loss` is the mean loss
    over the batches seen, before each step; `velocity_D` is set for `update = "step"` with momentum.
    """

    update_D: Float32s
    examples: int
    loss: float
    velocity_D: Float32s | None = None


@dataclass(frozen=True, eq=False)
class LocalUpdate(Compute[Workbench, LocalResult]):
    """`node` trains on its own rows from `params_D`, drawing batches from node -> round -> batches."""

    node: NodeId
    round: int
    params_D: Float32s
    training: Training
    velocity_D: Float32s | None = None

    label: ClassVar[str] = "local_update"
