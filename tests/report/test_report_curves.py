"""The geometry of charts and of the map of participation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from troth.ids import MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.records import Metrics, RoundRecord
from troth.report.curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    chart,
    nice_step,
    thin,
    vertical,
)
from troth.report.participation import grid
from troth.report.read import Run
from troth.report.series import SERIES

MakeRun = Callable[..., Run]


def with_losses(make_run: MakeRun, losses: Sequence[float], name: str = "run") -> Run:
    records = [
        RoundRecord(
            round=Round(round),
            simulated_s=SimulatedSeconds(0.0),
            measured_s=MeasuredSeconds(0.0),
            metrics=Metrics(loss=loss, error=0.5, examples=1),
        )
        for round, loss in enumerate(losses, start=1)
    ]
    return make_run(name, rounds=len(losses), records=records)


def pixels(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


@given(st.floats(1e-290, 1e290))
def test_a_nice_step_is_the_next_of_1_2_5(step: float) -> None:
    nice = nice_step(step)
    assert step * (1 - 1e-8) <= nice <= 2.5 * step * (1 + 1e-8)
    assert f"{nice:.3e}"[:5] in {"1.000", "2.000", "5.000"}


@given(st.lists(st.floats(0, 1e290), min_size=1), st.sampled_from(sorted(SERIES)))
@example([5e-324], "loss")
@example([0.0, 5e-324], "error")
@example([5e-324, 1e-300], "loss")
@example([1.0, 1.0 + 2e-16], "error")
def test_an_axis_holds_every_value_and_a_few_ticks(values: list[float], key: str) -> None:
    axis = vertical(SERIES[key], values)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 9
    for value in [*values, *axis.ticks]:
        assert TOP - 0.2 <= axis.place(value, HEIGHT - BOTTOM, TOP) <= HEIGHT - BOTTOM + 0.2


def test_a_round_axis_has_whole_ticks() -> None:
    assert Axis.linear(1, 3, whole=True).ticks == [1, 2, 3]
    assert Axis.linear(4, 4, whole=True).ticks == [3, 4, 5]


def test_a_curve_runs_from_corner_to_corner(make_run: MakeRun) -> None:
    drawn = chart([with_losses(make_run, [10.0, 5.0, 0.0])], ["run"], "loss")
    assert drawn is not None
    assert pixels(drawn.lines[0].path) == [
        (LEFT, TOP),
        ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2),
        (WIDTH - RIGHT, HEIGHT - BOTTOM),
    ]
    assert list(drawn.lines[0].end) == [WIDTH - RIGHT, HEIGHT - BOTTOM]
    assert drawn.lines[0].last == "0"


def test_values_that_are_not_finite_are_a_gap_and_are_counted(make_run: MakeRun) -> None:
    losses = [3.0, 2.0, math.nan, 1.0, math.inf, 1e305]
    drawn = chart([with_losses(make_run, losses)], ["run"], "loss")
    assert drawn is not None
    assert len(pixels(drawn.lines[0].path)) == 2
    assert len(drawn.lines[0].dots) == 1
    assert drawn.notes == ["3 values not finite, left out"]


def test_a_series_without_a_finite_value_is_not_drawn(make_run: MakeRun) -> None:
    assert chart([with_losses(make_run, [math.nan])], ["run"], "loss") is None
    assert chart([with_losses(make_run, [1.0])], ["run"], "attack_rate") is None
    assert chart([with_losses(make_run, [])], ["run"], "bytes_sent") is None


def test_one_round_is_a_dot(make_run: MakeRun) -> None:
    drawn = chart([with_losses(make_run, [1.0])], ["run"], "loss")
    assert drawn is not None
    assert drawn.lines[0].path == ""
    assert drawn.lines[0].dots == [drawn.lines[0].end]


def test_an_exploding_loss_gets_a_logarithmic_axis(make_run: MakeRun) -> None:
    runs = [with_losses(make_run, [1.0, 1e9]), with_losses(make_run, [1.0, 0.1])]
    drawn = chart(runs, ["a", "b"], "loss")
    assert drawn is not None
    assert "logarithmic axis" in drawn.notes
    ends = [line.end[1] for line in drawn.lines]
    assert ends == [TOP, HEIGHT - BOTTOM]


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=600), st.integers(20, 200))
def test_thinning_keeps_ends_and_extremes(values: list[float], limit: int) -> None:
    rounds = list(range(1, len(values) + 1))
    kept_rounds, kept = thin(rounds, values, limit)
    assert len(kept) == len(kept_rounds) <= limit
    assert kept_rounds == sorted(set(kept_rounds))
    assert (kept_rounds[0], kept_rounds[-1]) == (rounds[0], rounds[-1])
    finite = [value for value in values if abs(value) < 1e300]
    if finite:
        assert {min(finite), max(finite)} <= set(kept)


def test_a_long_run_is_thinned_and_says_so(make_run: MakeRun) -> None:
    drawn = chart([with_losses(make_run, [1.0] * 9_000)], ["run"], "loss")
    assert drawn is not None
    assert any("4,000 points" in note for note in drawn.notes)


def test_the_map_has_a_stroke_per_stretch_with_attackers_on_top(make_run: MakeRun) -> None:
    drawn = grid(make_run(), 1)
    assert drawn is not None
    assert [row.name for row in drawn.rows][:3] == ["party-1", "party-0", "party-2"]
    assert (drawn.columns, drawn.per_column, drawn.first, drawn.last) == (10, 1, 1, 10)
    assert drawn.paths["rejected"] == "M0 0.5h10"
    assert drawn.paths["missing"] == "".join(f"M{column} 2.5h1" for column in range(1, 10, 2))
    assert "M0 1.5h10" in drawn.paths["accepted"]


def test_a_column_of_many_rounds_shows_the_worst(make_run: MakeRun) -> None:
    drawn = grid(make_run(rounds=1_000), 1)
    assert drawn is not None
    assert drawn.per_column == 5
    assert drawn.paths["missing"] == "M0 2.5h200"


@pytest.mark.parametrize("parties", [0, 151])
def test_there_is_no_map_without_parties_or_with_too_many(make_run: MakeRun, parties: int) -> None:
    assert grid(make_run(parties=parties), 1) is None


def test_there_is_no_map_where_nobody_contributes(make_run: MakeRun) -> None:
    assert grid(with_losses(make_run, [1.0, 0.5]), 1) is None


def test_a_node_that_is_no_party_has_no_row(make_run: MakeRun) -> None:
    run = make_run()
    odd = msgspec.structs.replace(run.rounds[0], accepted=[NodeId("stranger")])
    drawn = grid(make_run(records=[odd]), 1)
    assert drawn is not None
    assert "accepted" not in drawn.paths
