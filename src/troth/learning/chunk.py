"""Parties whose local updates are computed together, and the batches that they are fed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

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
    def steps_P(self) -> Int64s:
        return np.array([batches.steps for batches in self.batches])

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
class Plan:
    """How the update of a party, and of others like it, is computed.

    If anything here depended on more than the request and the model, results would depend on the
    machine.
    """

    kind: Hashable
    """Parties of one kind may share a chunk."""
    bytes_per_party: int
    """Temporary arrays of one party."""
    chunk_bytes: int
    """Temporary arrays of a chunk, which has at least one party."""
    even: bool
    """Whether to make chunks of one size; those of many small operations are best left large."""
    update: Callable[[Chunk], list[LocalResult]]
    """Gives the result of every party of a chunk."""


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
        lengths = [b.length for b in batches]
        ends_P = np.cumsum(lengths)
        self._offset_P = ends_P - lengths
        self._rows = np.empty(ends_P[-1], dtype=np.int64)
        self._size = size = batches[0].size
        alike = all(b.size == size for b in batches)
        self._alike = min(min(lengths) // size, batches[-1].steps) if alike else 0
        """Steps, from the first, in which every party has a full batch of one size."""
        self._even_PB = np.full((len(batches), size), 1.0 / size, dtype=np.float32)

    @cached_property
    def _numbers(self) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Steps, steps of a pass, size and length of each party's batches."""
        numbers = [(b.steps, b.steps_per_pass, b.size, b.length) for b in self._batches]
        steps_P, per_pass_P, size_P, length_P = np.array(numbers).T
        return steps_P, per_pass_P, size_P, length_P

    def step(self, step: int) -> Step:
        """The batches of `step`, asked for in order, from 0."""
        if step < self._alike:
            if step == 0:
                self._next_passes(range(len(self._batches)))
            place_P1 = (self._offset_P + step * self._size)[:, np.newaxis]
            row_PB = self._rows[place_P1 + np.arange(self._size)]
            return Step(len(row_PB), row_PB, self._even_PB)
        steps_P, per_pass_P, size_P, length_P = self._numbers
        active = int(np.searchsorted(-steps_P, -step, side="left"))
        place_P = step % per_pass_P[:active]
        self._next_passes(np.flatnonzero(place_P == 0).tolist())
        start_P = place_P * size_P[:active]
        count_P = np.minimum(size_P[:active], length_P[:active] - start_P)
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
            rows = self._batches[p].next_pass()
            self._rows[begin : begin + len(rows)] = rows
