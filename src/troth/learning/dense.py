"""Dense stacks: fully connected layers with activations between them, for many parties at once.

Logistic, softmax and linear regression are those of one layer, perceptrons have more. Forward and
backward are written out, and a step of a chunk of parties is a few batched products. A chunk is as
large as the cache of a core: what one operation leaves there the next one finds.

Array names are those of `layers`, and K scores, N examples of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from troth.learning.batches import Batches
from troth.learning.chunk import Chunk, Feeder, Plan, Step
from troth.learning.descent import Rule, rule_of
from troth.learning.forms import Activation, DenseStack, Frame, Place
from troth.learning.layers import DirectLayer, GramLayer, Layer, Outputs, Task
from troth.learning.results import LocalResult
from troth.learning.training import Training
from troth.learning.workspace import WORKSPACE
from troth.wire import Float32s, Int64s

CHUNK_BYTES = 3 * 2**20
"""Arrays that a step of a chunk goes through: about the second-level cache of a core of today's
servers. Larger chunks wait for memory, smaller ones for the start of each operation."""

LARGE_BYTES = 2**17
"""Updates from here on are written where they stay: to copy them would take longer than to begin
each operation once for each party."""

_TOUCH = 6
"""Multiplications in a product that take as long as to go through a float of a layer's weights."""

APPLY: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
}

DERIVE: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    # Derivatives by what an activation was given, of those by what it gave and of that itself.
    "relu": partial(torch.ops.aten.threshold_backward, threshold=0),
    "tanh": torch.ops.aten.tanh_backward,
    "sigmoid": torch.ops.aten.sigmoid_backward,
}


def plan(form: DenseStack, batches: Batches, training: Training, *, moving: bool) -> Plan:
    """How to compute the update of a party.

    Args:
      moving: whether it starts with a velocity.
    """
    rule = rule_of(training)
    first, *others = form.places
    size, steps = batches.size, batches.steps
    whole = size == batches.examples
    rows = size if whole else size * steps
    looks_back = steps > 1
    may = rule.linear and not (moving and looks_back)
    gram = may and coefficients_pay(first, size, steps, rows)
    copies = 1 if rule.plain else 2 + rule.states
    floats = copies * sum(place.end - place.begin for place in others)
    floats += 3 * size * sum(form.sizes[1:])
    if gram:
        floats += rows * (first.inputs + looks_back * rows + (3 + rule.states) * first.outputs)
    else:
        floats += size * first.inputs + copies * first.inputs * first.outputs
    return Plan(
        kind=("dense", gram, whole),
        bytes_per_party=4 * floats,
        chunk_bytes=CHUNK_BYTES,
        even=True,
        update=partial(_update_chunk, form, rule, gram=gram, whole=whole),
    )


def coefficients_pay(first: Place, size: int, steps: int, rows: int) -> bool:
    """Whether the first layer is sooner done by coefficients of its `rows` than by its weights,
    with `steps` batches of `size`: counted in multiplications."""
    weights = first.inputs * first.outputs
    by_weights = steps * weights * (2 * size + 3 * _TOUCH)
    past = rows if steps > 1 else 0
    by_rows = rows * first.inputs * (past + 2 * first.outputs) + weights * _TOUCH
    return by_rows < by_weights


def _update_chunk(
    form: DenseStack, rule: Rule, chunk: Chunk, *, gram: bool, whole: bool
) -> list[LocalResult]:
    run = _Run(form, rule, chunk, gram=gram, whole=whole)
    for number in range(chunk.steps):
        run.step(number)
    return run.results()


class _Run:
    """The updates of one chunk."""

    def __init__(
        self, form: DenseStack, rule: Rule, chunk: Chunk, *, gram: bool, whole: bool
    ) -> None:
        self._form, self._chunk, self._whole = form, chunk, whole
        self._task = Task(chunk, rule)
        self._rows = _Rows(chunk, form.frame, whole=whole, at_once=gram)
        first, *others = form.places
        self._layers: list[Layer] = [
            GramLayer(first, self._task, self._rows.x_PMF, whole=whole)
            if gram
            else DirectLayer(first, self._task)
        ]
        self._later = [DirectLayer(place, self._task) for place in others]
        self._layers += self._later
        self._keeps = chunk.training.keeps_velocity
        self._weight_PB: Float32s | None = None
        self._loss_P = np.zeros(len(chunk), dtype=np.float32)

    def step(self, number: int) -> None:
        form = self._form
        step, x_ABF = self._rows.step(number)
        inputs = [x_ABF.transpose(1, 2)]
        value = self._layers[0].forward(number, inputs[0])
        for activation, layer in zip(form.activations, self._later, strict=True):
            inputs.append(APPLY[activation](value))
            value = layer.forward(number, inputs[-1])
        residuals = [self._residuals(step, value)]
        for place in reversed(range(len(self._later))):
            by_input = self._later[place].backward(residuals[0])
            derive = DERIVE[form.activations[place]]
            residuals.insert(0, derive(by_input, inputs[place + 1]))
        for part, by_output, given in zip(self._layers, residuals, inputs, strict=True):
            part.descend(number, by_output, given)

    def _residuals(self, step: Step, scores_AKB: Tensor) -> Tensor:
        """The derivatives by the scores, scaled; adds up the losses."""
        active, columns, examples = scores_AKB.shape
        scores_KN = scores_AKB.transpose(0, 1).contiguous().view(columns, -1).numpy()
        y_N = self._chunk.bench.targets_N[step.row_PB.reshape(-1)]
        values_N = self._chunk.bench.model.loss.values_and_residuals(scores_KN, y_N)
        values_N *= step.weight_PB.reshape(-1)
        self._loss_P[:active] += np.add.reduce(values_N.reshape(active, examples), axis=1)
        if step.weight_PB is not self._weight_PB:
            self._weight_PB = step.weight_PB
            scale_A1 = self._task.scale_P[:active, np.newaxis]
            self._scaled_N = (step.weight_PB * scale_A1).reshape(-1)
        scores_KN *= self._scaled_N
        scaled_KAB = torch.from_numpy(scores_KN).view(columns, active, examples)
        return scaled_KAB.transpose(0, 1).contiguous()

    def results(self) -> list[LocalResult]:
        chunk = self._chunk
        large = 4 * chunk.bench.model.dimension >= LARGE_BYTES
        written = self._written_in_place() if large else self._copied()
        # A generator, so that what was just written is looked at while the cache holds it.
        return [
            chunk.hand_out(p, update_D, loss, velocity_D)
            for p, (loss, (update_D, velocity_D)) in enumerate(
                zip((self._loss_P / chunk.steps_P).tolist(), written, strict=True)
            )
        ]

    def _copied(self) -> Iterator[tuple[Float32s, Float32s | None]]:
        """Each party's update and velocity: few operations for all parties, and copies."""
        update_PD = self._work("updates")
        velocity_PD = self._work("velocities") if self._keeps else None
        self._write(slice(len(self._chunk)), Outputs(update_PD, velocity_PD))
        for p, update_D in enumerate(update_PD):
            yield update_D.copy(), None if velocity_PD is None else velocity_PD[p].copy()

    def _work(self, name: str) -> Float32s:
        dimension = self._chunk.bench.model.dimension
        # Each row begins where torch would let an array begin.
        array = WORKSPACE.take(name, len(self._chunk), -(-dimension // 16) * 16)
        rows_PD: Float32s = array[:, :dimension].numpy()
        return rows_PD

    def _written_in_place(self) -> Iterator[tuple[Float32s, Float32s | None]]:
        """The same without copies, one party after another."""
        dimension = self._chunk.bench.model.dimension
        for p in range(len(self._chunk)):
            # Torch's, since numpy aligns arrays to 16 bytes only.
            update_1D = torch.empty(1, dimension).numpy()
            velocity_1D = torch.empty(1, dimension).numpy() if self._keeps else None
            self._write(slice(p, p + 1), Outputs(update_1D, velocity_1D))
            yield update_1D[0], None if velocity_1D is None else velocity_1D[0]

    def _write(self, parties: slice, out: Outputs) -> None:
        for layer in self._layers:
            layer.write(parties, out)


class _Rows:
    """The examples of each step of a chunk.

    Args:
      whole: every batch is all of a party's rows, so they are gathered once.
      at_once: gather those of all steps at first, as `x_PMF`.
    """

    def __init__(self, chunk: Chunk, frame: Frame | None, *, whole: bool, at_once: bool) -> None:
        self._chunk, self._frame, self._whole = chunk, frame, whole
        self._feeder = Feeder(chunk.batches)
        self._steps: list[Step] = []
        self._size = chunk.batch_size
        self._kept: Tensor | None = None
        if at_once:
            count = 1 if whole else chunk.steps
            self._steps = [self._feeder.step(number) for number in range(count)]
            self._kept = self._gather(self._all_rows())
        elif whole:
            self._steps = [self._feeder.step(0)]
            self._kept = self._gather(self._steps[0].row_PB)

    @property
    def x_PMF(self) -> Tensor:
        assert self._kept is not None
        return self._kept

    def step(self, number: int) -> tuple[Step, Tensor]:
        """The step, and its examples (A, B, F)."""
        if self._kept is None:
            step = self._feeder.step(number)
            return step, self._gather(step.row_PB)
        if self._whole:
            first = self._steps[0]
            active = sum(batches.steps > number for batches in self._chunk.batches)
            if active == first.active:
                return first, self._kept
            step = Step(active, first.row_PB[:active], first.weight_PB[:active])
            return step, self._kept[:active]
        step = self._steps[number]
        begin = number * self._size
        return step, self._kept[: step.active, begin : begin + step.row_PB.shape[1]]

    def _all_rows(self) -> Int64s:
        """The rows of all steps, one step after another, each of the largest size."""
        if len(self._steps) == 1:
            return self._steps[0].row_PB
        # What no step uses is filled with some row of the party's own.
        rows_PM = np.repeat(self._steps[0].row_PB[:, :1], self._size * len(self._steps), axis=1)
        for number, step in enumerate(self._steps):
            begin = number * self._size
            rows_PM[: step.active, begin : begin + step.row_PB.shape[1]] = step.row_PB
        return rows_PM

    def _gather(self, row_PB: Int64s) -> Tensor:
        x_NF = self._chunk.bench.x_NF
        out = WORKSPACE.take("examples", row_PB.size, x_NF.shape[1])
        torch.index_select(x_NF, 0, torch.from_numpy(row_PB.reshape(-1)), out=out)
        if self._frame is not None:
            out = _put(out, self._frame)
        return out.view(*row_PB.shape, -1)


def _put(x_NF: Tensor, frame: Frame) -> Tensor:
    """The rows of `x_NF` within zeros."""
    sides = (frame.channels, frame.padded, frame.padded)
    out = WORKSPACE.take("framed", len(x_NF), *sides).zero_()
    margin = (frame.padded - frame.side) // 2
    inner = slice(margin, margin + frame.side)
    out[:, :, inner, inner] = x_NF.view(-1, frame.channels, frame.side, frame.side)
    return out.view(len(x_NF), -1)
