"""The live display: one line per round, and no control characters where nobody watches."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console

from troth.ids import NodeId
from troth.records import Rejection, RoundRecord, Summary
from troth.report.progress import BarProgress, Display, LineProgress, QuietProgress, live_progress

MakeRecord = Callable[[int], RoundRecord]


def play(progress: Display, summary: Summary, records: list[RoundRecord]) -> None:
    progress.start(summary)
    for record in records:
        progress.round(record)
    progress.message("report: runs/credit/report.html")
    progress.finish(msgspec.structs.replace(summary, status="finished", rounds=records[-1].round))


@pytest.fixture
def piped(summary: Summary, record: MakeRecord) -> list[str]:
    stream = io.StringIO()
    progress = live_progress(stream)
    assert isinstance(progress, LineProgress)
    play(progress, summary, [record(round) for round in range(1, 11)])
    assert all(character.isprintable() or character == "\n" for character in stream.getvalue())
    return stream.getvalue().splitlines()


def test_a_pipe_gets_one_plain_line_per_round(piped: list[str]) -> None:
    assert piped[0] == "credit: federated, seed 7"
    rounds = [line for line in piped if line.startswith("round")]
    assert [line.split("/")[0].split()[1] for line in rounds] == [str(r) for r in range(1, 11)]
    assert piped[-2:] == ["report: runs/credit/report.html", "credit: finished after 10 rounds"]


def test_a_round_line_says_what_happened(piped: list[str]) -> None:
    second = " ".join(piped[2].split())
    assert second.startswith("round 2/10 error 40.00 % loss 1 attack rate 25.00 %")
    assert "accepted 4 rejected 1 missing 1 simulated 1.0 s" in second
    assert "rounds/s" in second
    assert "ETA" in second
    assert "ETA" not in piped[10]


def test_what_a_round_does_not_have_is_not_mentioned(summary: Summary, record: MakeRecord) -> None:
    stream = io.StringIO()
    bare = msgspec.structs.replace(record(1), metrics=None, accepted=[], rejected=[], missing=[])
    unplanned = msgspec.structs.replace(summary, rounds_planned=0)
    play(LineProgress(stream), unplanned, [bare])
    line = stream.getvalue().splitlines()[1]
    assert line.startswith("round 1  simulated 0.50 s")
    assert not {"error", "accepted", "ETA"} & set(line.split())


def test_a_resumed_run_says_so_and_counts_its_own_rounds(
    summary: Summary, record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([100.0, 104.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    stream = io.StringIO()
    play(LineProgress(stream), msgspec.structs.replace(summary, rounds=6), [record(8)])
    opening, line, *_ = stream.getvalue().splitlines()
    assert opening.endswith("goes on after round 6")
    assert line.endswith("0.5 rounds/s  ETA 4.0 s")


def test_a_failed_run_tells_why(summary: Summary) -> None:
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.start(summary)
    progress.finish(
        msgspec.structs.replace(summary, status="failed", problem="deadlock: party-1 waits")
    )
    assert stream.getvalue().endswith("credit: failed after 0 rounds: deadlock: party-1 waits\n")


def test_a_terminal_gets_every_line_once_in_order(summary: Summary, record: MakeRecord) -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, force_jupyter=False, width=200, color_system=None
    )
    play(BarProgress(console), summary, [record(round) for round in range(1, 201)])
    shown = stream.getvalue()
    places = [shown.index(f"round {round:>2}/10  ") for round in range(1, 201)]
    assert places == sorted(places)
    assert shown.count("/10  error") == 200
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")
    assert "credit: finished after 200 rounds" in shown


def test_a_second_run_uses_the_same_display(summary: Summary, record: MakeRecord) -> None:
    stream = io.StringIO()
    progress = BarProgress(Console(file=stream, force_terminal=True, width=200, color_system=None))
    for _ in range(2):
        play(progress, summary, [record(1)])
    assert stream.getvalue().count("round  1/10  error") == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_escape_codes_from_outside_are_inert(summary: Summary, terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, color_system=None)
    progress = BarProgress(console) if terminal else LineProgress(stream)
    evil = "\x1b]0;owned\x07\x9b31m[/][bold]"
    progress.start(msgspec.structs.replace(summary, name=evil))
    progress.message(evil)
    progress.finish(msgspec.structs.replace(summary, status="failed", problem=evil))
    assert "\x1b]0" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()
    assert "\x9b" not in stream.getvalue()
    assert "[/][bold]" in stream.getvalue()


def test_quiet_shows_nothing(
    summary: Summary, record: MakeRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    play(QuietProgress(), summary, [record(1)])
    assert capfd.readouterr() == ("", "")


def test_a_round_does_not_read_more_than_it_counts(summary: Summary, record: MakeRecord) -> None:
    many = [NodeId(f"party-{index}") for index in range(1_000)]
    refused = [Rejection(node=node, reason="late") for node in many]
    stream = io.StringIO()
    crowd = msgspec.structs.replace(record(1), accepted=many, rejected=refused)
    play(LineProgress(stream), summary, [crowd])
    assert "accepted 1000  rejected 1000" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) < 200


class Full(io.StringIO):
    """Takes a few lines, and then no more, like a disk that is full."""

    def write(self, text: str) -> int:
        if len(self.getvalue()) > 100:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(text)


@pytest.mark.parametrize("lost", [Full(), io.StringIO()], ids=["full", "closed"])
def test_a_run_goes_on_where_its_lines_cannot_be_written(
    lost: io.StringIO, summary: Summary, record: MakeRecord
) -> None:
    progress = live_progress(lost)
    assert isinstance(progress, LineProgress)
    progress.start(summary)
    if not isinstance(lost, Full):
        lost.close()
    for round in range(1, 11):
        progress.round(record(round))
    progress.finish(summary)
    if isinstance(lost, Full):
        assert 0 < len(lost.getvalue()) < 300


def test_without_standard_error_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(live_progress(), QuietProgress)
