"""The end of a run as text and as JSON, and the plot for notebooks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from troth.errors import UsageError
from troth.ids import NodeId
from troth.records import PartyPrivacy, PrivacyRecord, RoundRecord
from troth.report.plots import plot
from troth.report.read import Run
from troth.report.table import summary_json, summary_table

MakeRun = Callable[..., Run]


def rows(run: Run) -> dict[str, str]:
    pairs = [line.split("  ", 1) for line in summary_table(run).splitlines()]
    return {label.strip(): value.strip() for label, value in pairs}


def test_the_table_tells_what_came_of_the_run(make_run: MakeRun) -> None:
    assert rows(make_run()) == {
        "run": "credit",
        "status": "finished",
        "protocol": "federated",
        "seed": "7",
        "error": "8.00 % of 400 test examples",
        "loss": "0.2",
        "attack rate": "25.00 %",
        "rounds": "10",
        "parties": "6, 1 of them attack",
        "contributions": "50 accepted, 10 rejected",
        "bytes sent": "10 MB",
        "simulated time": "5.0 s",
        "measured time": "0.20 s",
        "peak memory": "612 MB",
        "trace digest": "77e0" * 16,
    }


def test_the_table_says_what_each_party_spent_of_its_own(make_run: MakeRun) -> None:
    party = PartyPrivacy(
        party=NodeId("party-0"),
        mechanism="laplace",
        budget=2.0,
        delta=1e-5,
        epsilon=1.75,
        pld=1.75,
        rdp=2.5,
        releases=1,
    )
    without = PartyPrivacy(party=NodeId("party-1"), mechanism="none")
    crowd = [msgspec.structs.replace(party, party=NodeId(f"party-{i}")) for i in range(2, 30)]
    privacy = PrivacyRecord(
        mechanism="laplace", epsilon=1.75, delta=1e-5, note="", parties=[party, without, *crowd]
    )
    lines = summary_table(make_run(privacy=privacy)).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("privacy"))
    shown = [line[16:] for line in lines[first : first + 21]]
    assert shown[0] == (
        "party-0: laplace, epsilon 1.75 of 2 (PLD 1.75, RDP 2.5) at delta 1e-05, 1 update"
    )
    assert shown[1] == "party-1: none, nothing bounds what its updates reveal"
    assert shown[20] == "and 10 more in privacy.json"


def test_the_table_is_aligned_and_plain(make_run: MakeRun) -> None:
    text = summary_table(make_run("x", status="failed", problem="line\x1b[31m red"))
    lines = text.splitlines()
    assert {line.index(line[15:].lstrip()[0], 15) for line in lines if line[15:].strip()} == {16}
    assert "\x1b" not in text


def test_the_table_of_a_run_that_failed_at_the_start(make_run: MakeRun) -> None:
    shown = rows(make_run(rounds=0, parties=0, status="failed", problem="no data", final=None))
    assert shown["problem"] == "no data"
    assert "error" not in shown
    assert "contributions" not in shown


def test_regression_names_its_error(make_run: MakeRun) -> None:
    assert "mean relative" in rows(make_run(task="regression"))["error"]


def test_json_is_the_summary_with_its_folder(make_run: MakeRun) -> None:
    content = json.loads(summary_json(make_run()))
    assert list(content)[:3] == ["folder", "schema_version", "status"]
    assert content["folder"] == "runs/credit"
    assert content["final"]["error"] == pytest.approx(0.08)
    assert len(content["parties"]) == 6


def test_json_has_null_where_a_metric_is_not_finite(
    make_run: MakeRun, exploded: list[RoundRecord]
) -> None:
    content = json.loads(summary_json(make_run(records=exploded)))
    assert content["final"] == {"loss": None, "error": None, "examples": 400, "attack_rate": None}


@pytest.mark.parametrize(
    ("metric", "first", "last"),
    [
        ("error", 0.8, 0.08),
        ("loss", 2.0, 0.2),
        ("attack_rate", 0.25, 0.25),
        ("bytes_sent", 1e6, 1e7),
    ],
)
def test_a_plot_has_the_runs_values(
    make_run: MakeRun, metric: str, first: float, last: float
) -> None:
    figure = plot([make_run("a"), make_run("b$1$", rounds=10)], metric)
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["a", r"b\$1\$"]
    for line in lines:
        points_R2 = np.asarray(line.get_xydata())
        np.testing.assert_array_equal(points_R2[:, 0], range(1, 11))
        assert (points_R2[0, 1], points_R2[-1, 1]) == pytest.approx((first, last))
    figure.canvas.draw()


def test_a_plot_of_one_run_needs_no_legend(make_run: MakeRun) -> None:
    figure = plot(make_run())
    assert figure.axes[0].get_legend() is None
    assert figure.axes[0].get_ylabel() == "error"


def test_a_plot_leaves_no_figure_behind(make_run: MakeRun) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plot(make_run())
    assert pyplot.get_fignums() == before


def test_a_plot_of_nothing_is_a_usage_error(make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="metric = 'accuracy' is not one of error, loss"):
        plot(make_run(), "accuracy")
    with pytest.raises(UsageError, match="no run"):
        plot([])


def test_the_report_does_not_import_what_only_plots_need() -> None:
    code = (
        "import sys, troth.report.plots, troth.report.page, troth.report.progress\n"
        "print(sorted({'matplotlib', 'torch', 'polars', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_says_how_far_each_measure_spreads(make_measured: MakeRun) -> None:
    shown = rows(make_measured({"stake": 5, "trust": 0.25}, {"stake": 1_200}, {}, {"stake": 25}))
    assert shown["stake"] == "5 to 1,200, mean 410"
    assert shown["trust"] == "0.25"


def test_measures_of_any_number_and_name_leave_the_table_readable(make_measured: MakeRun) -> None:
    names = [f"m{i:02}" for i in range(14)] + ["\x1b[31m" + "long" * 100]
    lines = summary_table(make_measured(dict.fromkeys(names, 1.0))).splitlines()
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) < 200
    assert any(line.strip() == "and 3 more measures in parties.jsonl" for line in lines)


def test_json_has_measures_only_of_parties_that_have_some(make_measured: MakeRun) -> None:
    parties = json.loads(summary_json(make_measured({"stake": 5}, {})))["parties"]
    assert parties[0]["measures"] == {"stake": 5}
    assert "measures" not in parties[1]
