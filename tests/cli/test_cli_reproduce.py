"""`troth reproduce`: paper and measured side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_lines import Troth, write_scenario

from troth.errors import ExitCode

EXPERIMENT = """\
title = "Two sizes"
source = "A paper, figure 1"
scenario = "../../small.toml"
about = "Six and four parties."
differences = "None."

[readings.error]
kind = "final_error"
label = "final error"

[[variants]]
name = "six"
label = "six parties"
paper = { error = 0.25 }

[[variants]]
name = "four"
label = "four parties"
set = ["parties.count=4"]

[[ratios]]
label = "six over four"
reading = "error"
over = "six"
under = "four"

[[statements]]
paper = "it learns"
here = "it does"
"""


@pytest.fixture
def experiment(folder: Path) -> Path:
    """`experiments/paper/sizes.toml` in the working folder."""
    write_scenario(folder)
    file = folder / "experiments" / "paper" / "sizes.toml"
    file.parent.mkdir(parents=True)
    file.write_text(EXPERIMENT)
    return file


def test_without_a_name_it_lists_what_there_is(troth: Troth, experiment: Path) -> None:
    assert experiment.is_file()
    outcome = troth("reproduce")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].split("  ") == [
        "paper/sizes",
        "Two sizes",
        "A paper, figure 1",
    ]
    listed = json.loads(troth("reproduce", "--format", "json").out)
    assert [entry["name"] for entry in listed] == ["paper/sizes"]


def test_it_prints_paper_and_measured(troth: Troth, experiment: Path, folder: Path) -> None:
    assert experiment.is_file()
    outcome = troth("reproduce", "paper/sizes", "--jobs", "1")
    assert outcome.code == 0, outcome.err
    kept = folder / "runs" / "reproduce" / "paper" / "sizes"
    results = json.loads((kept / "results.json").read_text())
    measured = results["rows"][0]["readings"]["error"]["measured"]
    head, six, four = outcome.out.split("\n\n")[2].splitlines()
    assert head.split() == ["final", "error:", "paper", "final", "error:", "measured"]
    assert six.split() == ["six", "parties", "25.00", "%", f"{100 * measured:.2f}", "%"]
    assert four.split()[:3] == ["four", "parties", "–"]
    for text in ("six over four", "paper: it learns", "here:  it does", "None."):
        assert text in outcome.out
    assert outcome.err.splitlines()[-2:] == [
        "plot: runs/reproduce/paper/sizes/plot.png",
        "report: runs/reproduce/paper/sizes/comparison.html",
    ]
    assert {path.name for path in kept.iterdir()} == {
        "six",
        "four",
        "results.json",
        "plot.png",
        "plot.svg",
        "comparison.html",
    }


def test_a_second_time_nothing_is_run(troth: Troth, experiment: Path) -> None:
    assert experiment.is_file()
    first = troth("reproduce", "paper/sizes", "--quiet", "--format", "json", "--jobs", "1")
    assert first.err == ""
    second = troth("reproduce", "paper/sizes", "--format", "json")
    assert json.loads(first.out) == json.loads(second.out)
    assert second.err.count("--again runs it anew") == 2


def test_one_variant_elsewhere(troth: Troth, experiment: Path, folder: Path) -> None:
    moved = experiment.parents[1].rename(folder / "elsewhere")
    outcome = troth(
        "reproduce", "paper/sizes", "--experiments", moved, "--into", "kept", "--only", "four"
    )
    assert outcome.code == 0, outcome.err
    assert (folder / "kept" / "four" / "report.html").is_file()
    assert not (folder / "kept" / "six").exists()
    assert "round 3/3" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["paper/size"], ExitCode.USAGE, "there is no experiment paper/size"),
        (["paper/sizes", "--only", "ten"], ExitCode.USAGE, "has no variant ten"),
        (["paper/sizes", "--jobs", "0"], ExitCode.USAGE, "--jobs"),
        (["--again"], ExitCode.USAGE, "no experiment is named"),
        (["--experiments", "nowhere"], ExitCode.USAGE, "nowhere is not a folder of experiments"),
    ],
)
def test_a_wrong_command_line(
    troth: Troth, experiment: Path, folder: Path, arguments: list[str], code: int, says: str
) -> None:
    assert experiment.is_file()
    outcome = troth("reproduce", *arguments)
    assert outcome.code == code
    assert says in outcome.err
    assert not (folder / "runs").exists()


def test_a_wrong_file(troth: Troth, experiment: Path, folder: Path) -> None:
    experiment.write_text(EXPERIMENT.replace("about", "abuot"))
    outcome = troth("reproduce", "paper/sizes")
    assert outcome.code == ExitCode.CHARTER
    assert "sizes.toml: abuot is not a known key" in outcome.err
    assert not (folder / "runs").exists()
