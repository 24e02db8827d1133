"""Data valuation: what one update adds to those of others, averaged over all orders of arrival.

Source: Jia et al., "Towards efficient data valuation based on the Shapley value", AISTATS 2019;
Monte-Carlo over permutations as in Ghorbani & Zou, "Data Shapley", ICML 2019, algorithm 1, without
the truncation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np

from troth.compute import Compute
from troth.ids import NodeId
from troth.learning.evaluation import Evaluate
from troth.learning.workbench import Workbench
from troth.streams import Stream
from troth.wire import Float32s


def shapley_value(
    player: int,
    players: int,
    worth: Callable[[frozenset[int]], float],
    *,
    permutations: int,
    generator: np.random.Generator,
) -> float:
    """Estimate of phi_i = E over orders of [worth(before i, and i) - worth(before i)].

    Unbiased; its standard error falls with the square root of `permutations`. A set's worth is
    asked for once.

    Args:
      player: i, from 0.
      players: how many there are.
      worth: of a set of players; that of the empty set counts.
      permutations: orders drawn, at least 1.
    """
    known: dict[frozenset[int], float] = {}

    def once(members: frozenset[int]) -> float:
        if members not in known:
            known[members] = worth(members)
        return known[members]

    total = 0.0
    for _ in range(permutations):
        order: list[int] = generator.permutation(players).tolist()
        before = frozenset(order[: order.index(player)])
        total += once(before | {player}) - once(before)
    return total / permutations


class Value(msgspec.Struct, frozen=True):
    """How much an update lowers the validation error, on average over orders."""

    phi: float

    def refusal(self, threshold: float) -> str | None:
        """Why the update is rejected; None if its value is at least -threshold."""
        if self.phi >= -threshold:
            return None
        return f"Shapley: its value is {self.phi:.4f}, below {-threshold:g}"


@dataclass(frozen=True, eq=False)
class ValueUpdate(Compute[Workbench, Value]):
    """The Shapley value of the last of `changes`, in the game of adding them all to `params_D`.

    worth(S) = -error(params + sum of the changes in S) on the rows of `on`. All arrays are (D,).
    """

    params_D: Float32s
    changes: tuple[Float32s, ...]
    permutations: int
    stream: Stream
    on: NodeId

    label: ClassVar[str] = "verify_update"

    def run(self, bench: Workbench) -> Value:
        def worth(members: frozenset[int]) -> float:
            params_D = self.params_D.copy()
            for index in sorted(members):
                params_D += self.changes[index]
            return -Evaluate(params_D, self.on).run(bench).error

        return Value(
            shapley_value(
                len(self.changes) - 1,
                len(self.changes),
                worth,
                permutations=self.permutations,
                generator=self.stream.generator(),
            )
        )
