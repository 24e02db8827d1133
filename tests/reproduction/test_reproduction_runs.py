"""Variants run once, leave ordinary runs, and come out the same side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_experiment import EXPERIMENT, SCENARIO, write_experiment

from troth.chain.export import blocks_of
from troth.chain.store import ChainFile
from troth.errors import DataError, UsageError
from troth.protocols.biscotti.ledger.block import CertifiedBlock
from troth.protocols.biscotti.ledger.kind import audit_structure
from troth.report.progress import QuietProgress
from troth.report.read import load_run
from troth.reproduction.loading import load_experiment
from troth.reproduction.reproduce import Reproduction, reproduce

LEDGER = """\
[protocol]
name = "biscotti"

[privacy]
mask = "none"

[parties]
count = 12

[network]
latency = 0.1

[cost]
kind = "fixed"
otherwise_s = 0.25

[cryptography]
group = "modelled"

[[attacks]]
kind = "label_flip"
parties = ["party-00", "party-01", "party-02", "party-03"]
"""
ATTACKERS = ("party-00", "party-01", "party-02", "party-03")


def blocks(path: Path) -> list[CertifiedBlock]:
    with ChainFile(path) as file:
        return list(blocks_of(file, audit_structure(file)))


def carry_out(tmp_path: Path, **options: object) -> Reproduction:
    loaded = load_experiment("paper/small", tmp_path / "experiments")
    return reproduce(loaded, tmp_path / "kept", progress=QuietProgress(), **options)


def folders(done: Reproduction) -> list[str | None]:
    return [row.folder for row in done.results.rows]


def test_paper_and_measured_stand_side_by_side(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    done = carry_out(tmp_path)
    two, four = done.results.rows
    runs = {row.name: load_run(tmp_path / "kept" / str(row.folder)) for row in (two, four)}
    assert two.readings["time"].paper == 1.5
    assert two.readings["time"].measured == runs["two"].summary.simulated_s > 0
    assert four.readings["time"].paper is None
    assert two.trace_digest == runs["two"].summary.trace_digest != four.trace_digest
    (ratio,) = done.results.ratios
    assert ratio.value.paper is None
    measured = runs["two"].summary.simulated_s / runs["four"].summary.simulated_s
    assert ratio.value.measured == measured
    written = json.loads((tmp_path / "kept" / "results.json").read_text())
    assert written["rows"][0]["readings"]["time"]["measured"] == two.readings["time"].measured
    assert done.plot.read_bytes().startswith(b"\x89PNG")
    assert "four parties" in done.plot.with_suffix(".svg").read_text()
    assert "two" in done.page.read_text()
    assert (tmp_path / "kept" / "two" / "report.html").is_file()


def test_what_has_finished_is_not_run_again(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    assert folders(carry_out(tmp_path)) == ["two", "four"]
    assert folders(carry_out(tmp_path)) == ["two", "four"]
    assert folders(carry_out(tmp_path, again=True, only=["four"])) == ["two", "four-2"]
    assert folders(carry_out(tmp_path)) == ["two", "four-2"]


def test_a_variant_in_which_nothing_was_accepted_is_read_like_any_other(tmp_path: Path) -> None:
    """An attack may be stronger than a defence in every round: that is what was to be shown."""
    nobody = """
[churn]
absences = [{ party = "party-0", from_s = 0.0 }, { party = "party-1", from_s = 0.0 }]
"""
    scenario = SCENARIO.replace('update = "gradient"', 'update = "step"').replace(
        '"tormentor"\ndifficulty = 1\nadmission_difficulty = 1', '"dssgd"\ndeadline_s = 1.0'
    )
    experiment = EXPERIMENT.replace('["parties.count=4", "training.rounds=2"]', '["seed=2"]')
    write_experiment(tmp_path, experiment, scenario + nobody)
    done = carry_out(tmp_path)
    assert folders(done) == ["two", "four"]
    for row in done.results.rows:
        run = load_run(tmp_path / "kept" / str(row.folder))
        assert run.summary.status == "failed"
        assert len(run.rounds) == 3
        assert row.readings["error"].measured == run.summary.final.error
    assert folders(carry_out(tmp_path)) == ["two", "four"]


def test_a_changed_scenario_is_run_again(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    carry_out(tmp_path)
    write_experiment(tmp_path, scenario=SCENARIO.replace("seed = 1", "seed = 2"))
    done = carry_out(tmp_path)
    assert folders(done) == ["two-2", "four-2"]
    assert [row.seed for row in done.results.rows] == [2, 2]


def test_only_one_variant_is_run(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    done = carry_out(tmp_path, only=["four"])
    two, four = done.results.rows
    assert two.folder is None
    assert two.readings["time"].measured is None
    assert four.readings["time"].measured is not None
    with pytest.raises(UsageError, match="has no variant six"):
        carry_out(tmp_path, only=["six"])


def test_runs_are_the_same_side_by_side(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    alone = carry_out(tmp_path)
    together = carry_out(tmp_path, again=True, jobs=2)
    assert folders(together) == ["two-2", "four-2"]
    assert [row.trace_digest for row in together.results.rows] == [
        row.trace_digest for row in alone.results.rows
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_run_fails_the_experiment_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.delenv("TROTH_DATA", raising=False)
    write_experiment(tmp_path, EXPERIMENT.replace('"parties.count=4"', '"task.data=credit"'))
    with pytest.raises(DataError, match="TROTH_DATA is not set") as caught:
        carry_out(tmp_path, jobs=jobs)
    assert caught.value.hint is not None
    assert not (tmp_path / "kept" / "results.json").exists()
    assert folders(carry_out(tmp_path, only=["two"])) == ["two", None]


def test_an_interrupted_run_is_not_taken_for_finished(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    carry_out(tmp_path, only=["two"])
    summary = tmp_path / "kept" / "two" / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"interrupted"'))
    assert folders(carry_out(tmp_path, only=["two"])) == ["two-2", None]


def test_curves_over_time_and_over_rounds_stand_side_by_side(tmp_path: Path) -> None:
    write_experiment(tmp_path, f'{EXPERIMENT}\n[plot]\nkind = "curves"\nx = "both"\n')
    svg = carry_out(tmp_path).plot.with_suffix(".svg").read_text()
    assert all(svg.count(f"<!-- {axis} -->") == 1 for axis in ("simulated seconds", "round"))


def test_bars_are_drawn(tmp_path: Path) -> None:
    write_experiment(tmp_path, f'{EXPERIMENT}\n[plot]\nkind = "bars"\nreading = "time"\n')
    done = carry_out(tmp_path)
    assert "time to train" in done.plot.with_suffix(".svg").read_text()


def test_lines_are_drawn_through_variants(tmp_path: Path) -> None:
    """One line is named by its reading, several by their series."""
    text = EXPERIMENT.replace('label = "two parties"', 'label = "two"\nseries = ["quick"]\nat = 2')
    text = text.replace('label = "four parties"', 'label = "four"\nseries = ["slow"]\nat = 4')
    plot = '\n[plot]\nkind = "lines"\nreadings = ["time"]\nx = "how many"\n'
    write_experiment(tmp_path, text + plot)
    svg = carry_out(tmp_path).plot.with_suffix(".svg").read_text()
    assert all(f"<!-- {name} -->" in svg for name in ("quick", "slow", "how many"))


def test_stake_and_computing_time_are_read_off_a_ledgers_run(tmp_path: Path) -> None:
    """Of 12 peers with 10 each, 4 poison. What a round adds can be counted in its block."""
    scenario = SCENARIO[: SCENARIO.index("[protocol]")] + LEDGER
    reading = """
[readings.before]
kind = "stake_share"
label = "before"
of = "honest"
round = 0

[readings.after]
kind = "stake_share"
label = "after"
of = "honest"

[readings.computing]
kind = "computing_time"
label = "computing"
work = ["deal_shares", "verify_block"]
"""
    text = EXPERIMENT.replace("[readings.error]", f"{reading}\n[readings.error]")
    text = text.replace("parties.count=4", "seed=2")
    text += '\n[plot]\nkind = "curves"\ny = "honest_stake"\nx = "rounds"\n'
    write_experiment(tmp_path, text, scenario)
    done = carry_out(tmp_path, only=["two"])
    two = done.results.rows[0].readings
    assert two["before"].measured == pytest.approx(8 / 12)
    assert two["computing"].measured == pytest.approx(0.25 + 0.25)
    run = load_run(tmp_path / "kept" / "two")
    honest = total = 0
    for block in blocks(run.path / "chain.sqlite"):
        for change in block.block.content.stake_changes:
            total += change.amount
            honest += change.amount * (change.peer not in ATTACKERS)
    assert total > 0
    assert two["after"].measured == pytest.approx((80 + honest) / (120 + total))
    assert "stake of honest peers" in done.plot.with_suffix(".svg").read_text()
