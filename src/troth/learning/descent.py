"""Update rules: what a step makes of a gradient.

Kernels know gradients and rules know steps, so that each kind can be had with each of the other. A
rule acts on any tensor of parameters whose first dimension is the party.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from troth.learning.training import Training


class Rule(ABC):
    """One way to step along a gradient."""

    states: int
    """Tensors of the parameters' shape that it keeps between steps, all 0 at first. The first of
    them is the velocity, where there is one."""
    plain: bool = False
    """Whether a step is w <- w - eta g, which a kernel may then do in its own way."""
    linear: ClassVar[bool] = False
    """Whether it is linear in parameters, states and gradient together, and the same for each
    parameter. Then it may be applied to coefficients of vectors instead of their sum; see
    `layers.GramLayer`. If it says so and is not, models come out wrong."""

    @abstractmethod
    def step(
        self, params: Tensor, states: Sequence[Tensor], gradient: Tensor, rate_P: Tensor
    ) -> None:
        """Change `params` and `states` in place; all have one shape (P, ...).

        Args:
          rate_P: each party's learning rate.
        """


class Momentum(Rule):
    """v <- momentum v + g; w <- w - eta v. Without momentum nothing is kept."""

    linear = True

    def __init__(self, momentum: float) -> None:
        self._momentum = momentum
        self.states = 1 if momentum else 0
        self.plain = not momentum

    def step(
        self, params: Tensor, states: Sequence[Tensor], gradient: Tensor, rate_P: Tensor
    ) -> None:
        direction = gradient
        if states:
            direction = states[0].mul_(self._momentum).add_(gradient)
        params.addcmul_(direction, rate_P.view(-1, *[1] * (params.dim() - 1)), value=-1)


def rule_of(training: Training) -> Rule:
    """The rule that the `[training]` table asks for."""
    return Momentum(training.momentum)
