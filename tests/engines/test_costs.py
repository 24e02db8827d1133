"""What the cost model says of computations that the engine carries out."""

from __future__ import annotations

from dataclasses import dataclass
from threading import current_thread, main_thread

import pytest

from troth.charter.world import CostSpec, FixedCost, MeasuredCost, ZeroCost
from troth.compute import Compute
from troth.engines.local import InlineEngine
from troth.worlds.simulated.cost import run_at_cost


@dataclass(frozen=True)
class Square(Compute[object, tuple[int, bool]]):
    """Gives, with the square, whether it was computed in the main thread."""

    label = "square"
    number: int

    def run(self, bench: object) -> tuple[int, bool]:
        return self.number**2, current_thread() is main_thread()


REQUESTS = [Square(3), Square(4)]


@pytest.mark.parametrize(
    ("spec", "expected_s"),
    [
        (ZeroCost(), 0.0),
        (FixedCost(seconds={"square": 2.5}), 2.5),
        (FixedCost(seconds={"other": 2.5}, otherwise_s=0.5), 0.5),
    ],
)
def test_known_costs_are_charged_to_each(spec: CostSpec, expected_s: float) -> None:
    values, costs_s = run_at_cost(InlineEngine(None), REQUESTS, spec)
    assert values == [(9, True), (16, True)]
    assert costs_s == [expected_s, expected_s]


def test_what_is_measured_is_computed_as_a_node_does() -> None:
    """In the main thread, tables that pay for all peers' work would come into it."""
    values, (one_s, other_s) = run_at_cost(InlineEngine(None), REQUESTS, MeasuredCost())
    assert values == [(9, False), (16, False)]
    assert one_s == other_s > 0


def test_what_is_measured_takes_longer_on_a_slower_machine() -> None:
    _, (one_s, _) = run_at_cost(InlineEngine(None), REQUESTS, MeasuredCost(factor=1e9))
    assert one_s > 1.0


def test_an_error_in_a_measured_computation_comes_out() -> None:
    with pytest.raises(TypeError):
        # A text in the place of a number is what makes the computation fail.
        run_at_cost(InlineEngine(None), [Square("3")], MeasuredCost())  # type: ignore[arg-type]  # a text, see above
