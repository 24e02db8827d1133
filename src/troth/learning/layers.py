"""Fully connected layers of many parties, forward and backward, written out.

A layer is W_p x + b_p for party p, with its own parameters for each party. Array names: P parties,
A of them that still take part, B examples of a batch, M examples of all batches of an update, F
inputs and H outputs of a layer, D parameters of the whole model. Activations stand classes first,
(A, H, B): so both products run along rows of their operands.

There are two kinds. `DirectLayer` keeps W_p. `GramLayer` is for the layer that sees the examples
themselves: it keeps how W_p follows from where it started.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from troth.learning.chunk import Chunk
from troth.learning.descent import Rule
from troth.learning.forms import Place
from troth.learning.workspace import WORKSPACE
from troth.wire import Float32s


@dataclass(frozen=True)
class Outputs:
    """Where the results of some parties are written to."""

    update_PD: Float32s
    velocity_PD: Float32s | None


class Task:
    """What the layers of one chunk have in common: how each step is made.

    Attributes:
      gradient_only: the gradient itself is asked for, and no step made.
      scale_P: what derivatives are multiplied by before layers are given them: the learning rate,
        if the rule is plain, so that products can be subtracted at once; else 1.
    """

    def __init__(self, chunk: Chunk, rule: Rule) -> None:
        self.chunk, self.rule, self.l2 = chunk, rule, chunk.bench.model.l2
        self.shared_start = chunk.shared_start
        self.gradient_only = chunk.training.update == "gradient"
        self.plain = rule.plain and not self.gradient_only
        self.states = 0 if self.gradient_only else rule.states
        self.rate_P = torch.from_numpy(chunk.rate_P)
        self.scale_P = chunk.rate_P if self.plain else np.ones_like(chunk.rate_P)
        self.keep_P = 1 - self.rate_P * self.l2
        """What a plain step leaves of the parameters."""

    def starts(self, array: Tensor, part: slice) -> None:
        """Fill `array` (P, ...) with that part of where each party starts, or (1, ...) with that of
        where all do."""
        flat = _flat(array)
        for rows, start_D in self.starts_of(slice(len(array))):
            flat[rows] = start_D[part]

    def starts_of(self, parties: slice) -> Iterator[tuple[slice, Float32s]]:
        """Where these parties start, each with the rows, from 0, of those that start there."""
        if self.shared_start is not None:
            yield slice(None), self.shared_start
            return
        for row, start_D in enumerate(self.chunk.starts[parties]):
            yield slice(row, row + 1), start_D

    def states_of(self, name: str, part: slice | None, *shape: int) -> list[Tensor]:
        """New states of parameters of this shape; of the velocity, `part` of where it starts."""
        states = [WORKSPACE.take(f"{name} state {i}", *shape).zero_() for i in range(self.states)]
        if states and part is not None and self.chunk.velocities is not None:
            flat = _flat(states[0])
            for p, velocity_D in enumerate(self.chunk.velocities):
                flat[p] = velocity_D[part]
        return states


class Bias:
    """b of every party, (P, H)."""

    def __init__(self, place: Place, task: Task) -> None:
        self._task, self._part = task, place.bias
        name, shape = f"{place.name} bias", (len(task.chunk), place.outputs)
        self.values_PH = WORKSPACE.take(name, *shape)
        task.starts(self.values_PH, self._part)
        self._states = task.states_of(name, self._part, *shape)

    def descend(self, residual_AHB: Tensor) -> None:
        """Make a step; the derivatives by what the layer gives out are already scaled."""
        task, active = self._task, residual_AHB.shape[0]
        here_AH = self.values_PH[:active]
        grad_AH = residual_AHB.sum(2)
        if task.plain:
            if task.l2:
                here_AH.mul_(task.keep_P[:active].unsqueeze(1))
            here_AH.sub_(grad_AH)
            return
        if task.l2:
            grad_AH.add_(here_AH, alpha=task.l2)
        if task.gradient_only:
            here_AH.copy_(grad_AH)
        else:
            states = [state[:active] for state in self._states]
            task.rule.step(here_AH, states, grad_AH, task.rate_P[:active])

    def write(self, parties: slice, out: Outputs) -> None:
        _write(self._task, parties, self._part, self.values_PH, self._states, out)


class Layer(ABC):
    """A layer of all parties of a chunk."""

    bias: Bias

    @abstractmethod
    def forward(self, step: int, input_AFB: Tensor) -> Tensor:
        """What it gives out, (A, H, B)."""

    @abstractmethod
    def descend(self, step: int, residual_AHB: Tensor, input_AFB: Tensor) -> None:
        """Make a step, given the derivatives by what it gave out, times `Task.scale_P`."""

    @abstractmethod
    def write(self, parties: slice, out: Outputs) -> None:
        """Write the layer's part of the results of these parties."""


class DirectLayer(Layer):
    """Keeps every party's W."""

    def __init__(self, place: Place, task: Task) -> None:
        self._place, self._task = place, task
        self._shape = (len(task.chunk), place.outputs, place.inputs)
        self._weights_PHF = WORKSPACE.take(place.name, *self._shape)
        task.starts(self._weights_PHF, place.weights)
        self._states = task.states_of(place.name, place.weights, *self._shape)
        self.bias = Bias(place, task)

    def forward(self, step: int, input_AFB: Tensor) -> Tensor:  # noqa: ARG002  # alike for each step
        active, _, examples = input_AFB.shape
        out = WORKSPACE.take(f"{self._place.name} out", active, self._place.outputs, examples)
        bias_AH1 = self.bias.values_PH[:active].unsqueeze(2)
        return torch.baddbmm(bias_AH1, self._weights_PHF[:active], input_AFB, out=out)

    def backward(self, residual_AHB: Tensor) -> Tensor:
        """The derivatives by its input, (A, F, B); to be asked for before the step."""
        active, _, examples = residual_AHB.shape
        out = WORKSPACE.take(f"{self._place.name} back", active, self._place.inputs, examples)
        return torch.bmm(self._weights_PHF[:active].transpose(1, 2), residual_AHB, out=out)

    def descend(self, step: int, residual_AHB: Tensor, input_AFB: Tensor) -> None:  # noqa: ARG002  # as above
        task, active = self._task, residual_AHB.shape[0]
        here_AHF = self._weights_PHF[:active]
        input_ABF = input_AFB.transpose(1, 2)
        self.bias.descend(residual_AHB)
        if task.plain:
            if task.l2:
                here_AHF.mul_(task.keep_P[:active].view(-1, 1, 1))
            # No tensor of its own for the gradient: half the memory to go through.
            here_AHF.baddbmm_(residual_AHB, input_ABF, alpha=-1)
            return
        grad_AHF = WORKSPACE.take("gradient", *here_AHF.shape)
        torch.bmm(residual_AHB, input_ABF, out=grad_AHF)
        if task.l2:
            grad_AHF.add_(here_AHF, alpha=task.l2)
        if task.gradient_only:
            here_AHF.copy_(grad_AHF)
        else:
            states = [state[:active] for state in self._states]
            task.rule.step(here_AHF, states, grad_AHF, task.rate_P[:active])

    def write(self, parties: slice, out: Outputs) -> None:
        part = self._place.weights
        _write(self._task, parties, part, self._weights_PHF, self._states, out)
        self.bias.write(parties, out)


class GramLayer(Layer):
    """Keeps coefficients: W_p = a_p W_0p + u_p V_0p + c_p X_p, with X_p (M, F) all rows of the
    update, V_0p the velocity it starts with, and c_p (H, M).

    A gradient is c X as well, with c the derivatives by what the layer gives out. So a linear rule
    acts on a, u and c as it would on W. A step then needs X W_0^T and X X^T, which are taken once
    for all steps: with W_0 shared by all parties the first is one wide product, and the second does
    not grow with H. W itself is never made; the update is one product at the end.

    Args:
      x_PMF: the rows of all steps, in the order of the steps; or, if `whole`, the one batch that
        every step has.
    """

    def __init__(self, place: Place, task: Task, x_PMF: Tensor, *, whole: bool) -> None:
        assert task.rule.linear, "coefficients follow linear rules only"
        self._place, self._task, self._x_PMF, self._whole = place, task, x_PMF, whole
        parties, rows, _ = x_PMF.shape
        chunk = task.chunk
        self._size = chunk.batch_size
        shared = task.shared_start is not None
        self._start = WORKSPACE.take(
            f"{place.name} start", 1 if shared else parties, place.outputs, place.inputs
        )
        task.starts(self._start, place.weights)
        self._scores_PHM = WORKSPACE.take(f"{place.name} scores", parties, place.outputs, rows)
        if shared:
            wide = WORKSPACE.take(f"{place.name} wide", place.outputs, parties * rows)
            torch.mm(self._start[0], x_PMF.view(-1, place.inputs).T, out=wide)
            self._scores_PHM.copy_(wide.view(-1, parties, rows).transpose(0, 1))
        else:
            torch.bmm(self._start, x_PMF.transpose(1, 2), out=self._scores_PHM)
        if chunk.steps > 1:
            # Later steps look back at earlier rows only.
            past = rows if whole else rows - self._size
            gram = WORKSPACE.take("gram", parties, past, past)
            self._gram_PMM = torch.bmm(
                x_PMF[:, :past], x_PMF[:, rows - past :].transpose(1, 2), out=gram
            )
        shape = (parties, place.outputs, rows)
        name = f"{place.name} coefficients"
        self._by_rows_PHM = WORKSPACE.take(name, *shape).zero_()
        self._states = task.states_of(name, None, *shape)
        self._by_start_P = torch.ones(parties)
        self._start_states = [torch.zeros(parties) for _ in range(task.states)]
        self._by_velocity_P = torch.zeros(parties)
        self._velocity_states = [torch.zeros(parties) for _ in range(task.states)]
        if chunk.velocities is not None and self._velocity_states:
            self._velocity_states[0].fill_(1)
        self.bias = Bias(place, task)

    def forward(self, step: int, input_AFB: Tensor) -> Tensor:
        active, _, examples = input_AFB.shape
        scores_AHB = self._scores_PHM[:active, :, self._columns(step, examples)]
        if self._task.l2 and step:
            scores_AHB = scores_AHB * self._by_start_P[:active].view(-1, 1, 1)
        out = WORKSPACE.take(f"{self._place.name} out", active, self._place.outputs, examples)
        bias_AH1 = self.bias.values_PH[:active].unsqueeze(2)
        torch.add(scores_AHB, bias_AH1, out=out)
        if step:
            # A velocity to start with goes with a single step, so it is not looked back at.
            seen = len(self._x_PMF[0]) if self._whole else step * self._size
            begin = 0 if self._whole else (step - 1) * self._size
            gram_AMB = self._gram_PMM[:active, :seen, begin : begin + examples]
            out.baddbmm_(self._by_rows_PHM[:active, :, :seen], gram_AMB)
        return out

    def descend(self, step: int, residual_AHB: Tensor, input_AFB: Tensor) -> None:  # noqa: ARG002  # it has them already
        task = self._task
        active, _, examples = residual_AHB.shape
        columns = self._columns(step, examples)
        by_rows_AHM = self._by_rows_PHM[:active]
        self.bias.descend(residual_AHB)
        if task.gradient_only:
            by_rows_AHM[:, :, columns] = residual_AHB
            return
        if task.plain:
            if task.l2:
                keep_A = task.keep_P[:active]
                self._by_start_P[:active] *= keep_A
                by_rows_AHM.mul_(keep_A.view(-1, 1, 1))
            by_rows_AHM[:, :, columns] -= residual_AHB
            return
        grad_AHM = WORKSPACE.take("gradient", *by_rows_AHM.shape)
        torch.mul(by_rows_AHM, task.l2, out=grad_AHM)
        grad_AHM[:, :, columns] += residual_AHB
        rate_A = task.rate_P[:active]
        task.rule.step(by_rows_AHM, [s[:active] for s in self._states], grad_AHM, rate_A)
        for factor_P, states in (
            (self._by_start_P, self._start_states),
            (self._by_velocity_P, self._velocity_states),
        ):
            here_A = factor_P[:active]
            task.rule.step(here_A, [s[:active] for s in states], task.l2 * here_A, rate_A)

    def _columns(self, step: int, examples: int) -> slice:
        begin = 0 if self._whole else step * self._size
        return slice(begin, begin + examples)

    def write(self, parties: slice, out: Outputs) -> None:
        by_start_P = self._by_start_P - 1
        if self._task.gradient_only:
            by_start_P = torch.full_like(by_start_P, self._task.l2)
        factors = by_start_P, self._by_velocity_P
        self._sum(parties, self._by_rows_PHM, factors, out.update_PD)
        if out.velocity_PD is not None:
            factors = self._start_states[0], self._velocity_states[0]
            self._sum(parties, self._states[0], factors, out.velocity_PD)
        self.bias.write(parties, out)

    def _sum(
        self,
        parties: slice,
        by_rows_PHM: Tensor,
        factors: tuple[Tensor, Tensor],
        out_PD: Float32s,
    ) -> None:
        """Write c X + a W_0 + u V_0 of these parties."""
        part, task = self._place.weights, self._task
        shape = (-1, self._place.inputs)
        weights_PHF = torch.unflatten(torch.from_numpy(out_PD[:, part]), 1, shape)
        # Unlike bmm it writes to where it is told, even if that is a part of each row.
        weights_PHF.baddbmm_(by_rows_PHM[parties], self._x_PMF[parties], beta=0)
        by_start_P, by_velocity_P = (factor[parties] for factor in factors)
        if task.l2:
            start = self._start if len(self._start) == 1 else self._start[parties]
            weights_PHF.addcmul_(start, by_start_P.view(-1, 1, 1))
        if task.chunk.velocities is not None and task.states:
            for row, velocity_D in enumerate(task.chunk.velocities[parties]):
                out_PD[row, part] += by_velocity_P[row].item() * velocity_D[part]


def _write(
    task: Task, parties: slice, part: slice, params: Tensor, states: list[Tensor], out: Outputs
) -> None:
    here = _flat(params[parties])
    if task.gradient_only:
        out.update_PD[:, part] = here
    else:
        for rows, start_D in task.starts_of(parties):
            np.subtract(here[rows], start_D[part], out=out.update_PD[rows, part])
    if out.velocity_PD is not None:
        out.velocity_PD[:, part] = _flat(states[0][parties])


def _flat(array: Tensor) -> Float32s:
    flat: Float32s = array.view(len(array), -1).numpy()
    return flat
