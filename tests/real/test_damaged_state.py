"""What a node keeps and reads back: damage is refused, and nothing that was recorded is lost."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from troth.charter.loading import LoadedScenario
from troth.deployment.play import JOURNAL, Play, open_folder
from troth.errors import VerificationError
from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.records import RoundRecord
from troth.report.folder import RunFolder
from troth.report.progress import QuietProgress
from troth.report.read import ROUNDS, SCENARIO
from troth.worlds.real.host import Tally
from troth.worlds.real.journal import Checkpoint, Journal
from troth.worlds.real.stage import NodeStage, prepare_node
from troth.worlds.states import encode_state

ANN, BOB, SERVER = NodeId("ann"), NodeId("bob"), NodeId("server")


def killed_journal(folder: Path, *, saves: int = 3) -> Path:
    """A journal as a kill leaves it, with what it knows in its write-ahead log."""
    living = folder / "living"
    living.mkdir()
    journal = Journal(living / JOURNAL, node=ANN, run="run")
    for number in range(1, saves + 1):
        journal.save(
            Checkpoint(
                state=bytes([number]) * 300,
                tally=b"t%d" % number,
                received={BOB: number},
                inbox={(BOB, number): b"in" * 40},
                outbox={(BOB, number): b"out" * 40},
            )
        )
    place = folder / "killed"
    shutil.copytree(living, place)
    journal.close()
    return place / JOURNAL


def closed_journal(folder: Path) -> Path:
    path = killed_journal(folder)
    Journal(path, node=ANN, run="run").close()
    return path


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_a_journal_left_by_a_kill_opens(tmp_path: Path) -> None:
    journal = Journal(killed_journal(tmp_path), node=ANN, run="run")
    assert journal.load().tally == b"t3"
    journal.close()


@pytest.mark.parametrize("part", range(16))
def test_a_flipped_bit_in_a_write_ahead_log_is_refused(tmp_path: Path, part: int) -> None:
    """SQLite takes a log up to the first frame that does not hold, and says nothing."""
    path = killed_journal(tmp_path)
    log = path.with_name(path.name + "-wal")
    # Salts, checksums and pages of the log's header and of its frames; not the bytes that SQLite
    # itself does not read.
    flip(log, 17 + part * (log.stat().st_size - 17) // 16)
    with pytest.raises(VerificationError) as refused:
        Journal(path, node=ANN, run="run")
    assert refused.value.hint is not None


@pytest.mark.parametrize("lost", ["", "-wal"])
def test_a_part_of_a_journal_that_is_missing_is_noticed(tmp_path: Path, lost: str) -> None:
    path = killed_journal(tmp_path)
    path.with_name(path.name + lost).unlink()
    for _ in range(2):
        with pytest.raises(VerificationError, match=r"lost|is not a journal"):
            Journal(path, node=ANN, run="run")


def test_an_earlier_copy_of_a_journal_is_refused(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    journal = Journal(path, node=ANN, run="run")
    journal.save(Checkpoint(state=b"more", tally=b"t4"))
    journal.close()
    shutil.copy(copy, path)
    with pytest.raises(VerificationError, match="knows less than it did"):
        Journal(path, node=ANN, run="run")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE node SET value = x'00' WHERE key = 'state'",
        "UPDATE node SET value = x'00' WHERE key = 'secret'",
        "UPDATE node SET value = CAST('7' AS BLOB) WHERE key = 'starts'",
        "DELETE FROM node WHERE key = 'digest'",
        "UPDATE peers SET received = 7",
        "UPDATE inbox SET data = x'00'",
        "DELETE FROM outbox",
        "INSERT INTO outbox VALUES ('bob', 9, x'00')",
        "INSERT INTO node VALUES ('result', x'00')",
    ],
)
def test_every_value_of_a_journal_is_covered(tmp_path: Path, change: str) -> None:
    path = closed_journal(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(change)
    with pytest.raises(VerificationError):
        Journal(path, node=ANN, run="run")


def test_a_flipped_bit_in_a_closed_journal_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    whole = path.read_bytes()
    mark = path.with_name(path.name + "-mark").read_bytes()
    journal = Journal(path, node=ANN, run="run")
    before = journal.load()
    journal.close()
    refused = 0
    for position in range(0, len(whole), 97):
        path.write_bytes(whole)
        path.with_name(path.name + "-mark").write_bytes(mark)
        flip(path, position)
        try:
            journal = Journal(path, node=ANN, run="run")
        except VerificationError:
            refused += 1
            continue
        assert journal.load() == before
        journal.close()
    assert refused


# ---------------------------------------------------------------- a folder beside its journal


@pytest.fixture
def stage(small: LoadedScenario) -> NodeStage:
    return prepare_node(small.scenario, SERVER, base=small.base, root=None)


def record(number: int) -> RoundRecord:
    return RoundRecord(
        round=Round(number),
        simulated_s=SimulatedSeconds(0.0),
        measured_s=MeasuredSeconds(0.0),
        metrics=None,
        accepted=[],
        rejected=[],
        missing=[],
        bytes_sent=Bytes(0),
        messages_sent=0,
    )


def played(stage: NodeStage, into: Path) -> Play:
    return Play(stage, open_folder(stage, "", into), QuietProgress(), run="run")


@pytest.mark.parametrize("status", ["interrupted", "finished"])
def test_a_folder_whose_journal_is_gone_keeps_its_record(
    stage: NodeStage, tmp_path: Path, status: str
) -> None:
    into = tmp_path / "server"
    play = played(stage, into)
    for number in (1, 2, 3):
        play.life.round(record(number))
    RunFolder(into).write_summary(play._summary(status))  # type: ignore[arg-type]  # a str here
    play.close()
    for file in into.glob(f"{JOURNAL}*"):
        file.unlink()
    before = {path: path.read_bytes() for path in into.iterdir()}
    for _ in range(2):
        with pytest.raises(VerificationError, match="knows of round 3") as refused:
            played(stage, into)
        assert refused.value.hint is not None
    assert {path: path.read_bytes() for path in into.iterdir() if path in before} == before


def test_rounds_beyond_the_journal_stay_until_they_are_reported_again(
    stage: NodeStage, tmp_path: Path
) -> None:
    """A node that is killed between a round's report and the save after it reports it again."""
    into = tmp_path / "server"
    play = played(stage, into)
    for number in (1, 2):
        play.life.round(record(number))
    play.close()
    again = played(stage, into)
    assert [kept.round for kept in RunFolder(into).rounds()] == [1, 2]
    for number in (1, 2, 3):
        again._recorder._on_round(record(number))
        kept = [each.round for each in RunFolder(into).rounds()]
        assert kept == list(range(1, max(2, number) + 1))
    again.close()


def rounds_kept(play: Play, *numbers: int) -> None:
    """The node's role reports these rounds, and saves after each."""
    assert numbers
    for number in numbers:
        play._round(record(number))
        tally = encode_state(Tally(rounds=number))
        play.journal.save(Checkpoint(b"state", tally, beside=play.digest()))


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "altered": lambda lines: [lines[0].replace(b'"bytes_sent":0', b'"bytes_sent":1'), *lines[1:]],
    "removed": lambda lines: [lines[0], *lines[2:]],
    "doubled": lambda lines: [lines[0], *lines],
    "cut": lambda lines: lines[:2],
    "emptied": lambda _: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_of_rounds_that_was_changed_is_refused(
    stage: NodeStage, tmp_path: Path, change: str
) -> None:
    """The journal knows by a digest which rounds were on record at its last save."""
    into = tmp_path / "server"
    play = played(stage, into)
    rounds_kept(play, 1, 2, 3)
    # The node is killed before it saves, and will report this round again.
    play._round(record(4))
    play.close()
    played(stage, into).close()
    file = into / ROUNDS
    whole = file.read_bytes()
    changed = b"".join(CHANGES[change](whole.splitlines(keepends=True)))
    assert changed != whole
    file.write_bytes(changed)
    with pytest.raises(VerificationError, match="rounds up to 3 are not those") as refused:
        played(stage, into)
    assert refused.value.hint is not None
    assert file.read_bytes() == changed
    file.write_bytes(whole)
    again = played(stage, into)
    # A peer may report rounds in any order, and some of them twice.
    rounds_kept(again, 4, 5, 7, 6, 8, 7, 9)
    again.close()
    played(stage, into).close()


def test_a_scenario_that_was_changed_in_the_folder_is_refused(
    stage: NodeStage, tmp_path: Path
) -> None:
    into = tmp_path / "server"
    played(stage, into).close()
    (into / SCENARIO).write_text("# other")
    with pytest.raises(VerificationError, match=r"scenario\.toml: is not the scenario") as refused:
        played(stage, into)
    assert refused.value.hint is not None


def test_an_emptied_journal_is_left_as_it_is(stage: NodeStage, tmp_path: Path) -> None:
    into = tmp_path / "server"
    play = played(stage, into)
    rounds_kept(play, 1)
    play.close()
    (into / JOURNAL).write_bytes(b"")
    with pytest.raises(VerificationError, match="is empty, and its folder knows of round 1"):
        played(stage, into)
    assert (into / JOURNAL).read_bytes() == b""


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    path = closed_journal(tmp_path)
    with closing(sqlite3.connect(path)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'peers'"
        ).fetchone()
    flip(path, (page - 1) * size)
    with pytest.raises(VerificationError, match="is damaged") as refused:
        Journal(path, node=ANN, run="run")
    assert "\n" not in refused.value.message
