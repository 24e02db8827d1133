"""Parties whose local updates are computed together, and the batches that they are fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from troth.ids import NodeId
from troth.learning.batches import Batches
from troth.learning.results import LocalResult, hand_out
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.wire import Float32s, Int64s


@dataclass(frozen=True, eq=False)
class Chunk:
    """The requests of P parties, in order of their steps and then of their batches, largest first.

    So the parties that still have steps left are always the first ones, and those that are done
    freeze by being left out of a slice.
    """

    bench: Workbench
    training: Training
    nodes: Sequence[NodeId]
    rounds: Sequence[int]
    starts: Sequence[Float32s]
    """Where each party starts, (D,)."""
    velocities: Sequence[Float32s] | None
    """What each party's velocity starts from, (D,); None: 0."""
    batches: Sequence[Batches]

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def steps(self) -> int:
        """Steps of the party that has most."""
        return self.batches[0].steps

    @cached_property
    def batch_size(self) -> int:
        """Rows of the largest batch."""
        return max(batches.size for batches in self.batches)

    @cached_property
    def shared_start(self) -> Float32s | None:
        """Where all parties start; None if not at the same point."""
        first = self.starts[0]
        # Compared by value: after a resume, equal parameters may or may not be one object, and the
        # two ways differ in their last digits.
        if all(start is first or np.array_equal(start, first) for start in self.starts):
            return first
        return None

    @cached_property
    def rate_P(self) -> Float32s:
        """The learning rate of each party, which may be in different rounds."""
        return np.array([self.training.rate(round) for round in self.rounds], dtype=np.float32)

    def hand_out(
        self, p: int, update_D: Float32s, loss: float, velocity_D: Float32s | None
    ) -> LocalResult:
        """The result of party `p`, of arrays that are its own."""
        return hand_out(
            update_D,
            node=self.nodes[p],
            round=self.rounds[p],
            training=self.training,
            examples=self.batches[p].examples,
            loss=loss,
            velocity_D=velocity_D,
        )


@dataclass(frozen=True)
class Step:
    """One step's batches of the first `active` parties of a chunk, each filled up to the largest.

    Filling is a row of the party's own, with weight 0.
    """

    active: int
    row_PB: Int64s
    weight_PB: Float32s
    """1 / B for the mean of a batch of B rows."""


class Feeder:
    """Hands out one step's batches of every party of a chunk."""

    def __init__(self, batches: Sequence[Batches]) -> None:
        self._batches = batches
        self._steps_P = _numbers([b.steps for b in batches])
        self._steps_per_pass_P = _numbers([b.steps_per_pass for b in batches])
        self._size_P = _numbers([b.size for b in batches])
        self._length_P = _numbers([b.length for b in batches])
        self._offset_P = np.concatenate(([0], np.cumsum(self._length_P)[:-1]))
        self._rows = np.empty(self._length_P.sum(), dtype=np.int64)
        size = self._size_P[0]
        alike = (self._size_P == size).all()
        self._alike = min((self._length_P // size).min(), self._steps_P[-1]) if alike else 0
        """Steps, from the first, in which every party has a full batch of one size."""
        self._even_PB = np.full((len(batches), size), 1.0 / size, dtype=np.float32)

    def step(self, step: int) -> Step:
        """The batches of `step`, asked for in order, from 0."""
        if step < self._alike:
            if step == 0:
                self._next_passes(range(len(self._batches)))
            size = self._even_PB.shape[1]
            place_P1 = (self._offset_P + step * size)[:, np.newaxis]
            return Step(len(place_P1), self._rows[place_P1 + np.arange(size)], self._even_PB)
        active = int(np.searchsorted(-self._steps_P, -step, side="left"))
        place_P = step % self._steps_per_pass_P[:active]
        self._next_passes(np.flatnonzero(place_P == 0).tolist())
        start_P = place_P * self._size_P[:active]
        count_P = np.minimum(self._size_P[:active], self._length_P[:active] - start_P)
        column_B = np.arange(count_P.max())
        inside_PB = column_B < count_P[:, None]
        first_P = self._offset_P[:active] + start_P
        return Step(
            active,
            self._rows[first_P[:, None] + np.where(inside_PB, column_B, 0)],
            (inside_PB / count_P[:, None]).astype(np.float32),
        )

    def _next_passes(self, parties: Sequence[int]) -> None:
        for p in parties:
            begin = self._offset_P[p]
            self._rows[begin : begin + self._length_P[p]] = self._batches[p].next_pass()


def _numbers(values: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
