"""Answers wait for the disk; the role does not, and what it does meanwhile is written at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Semaphore

import pytest

from troth.errors import UsageError
from troth.ids import NodeId
from troth.worlds.real.commits import Commits
from troth.worlds.real.journal import Checkpoint, Journal


class SlowJournal(Journal):
    """Writes a checkpoint when the disk lets it, or fails where it is full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, node=NodeId("broker"), run="run")
        self.disk = Semaphore(0)
        self.full = False
        self.written: list[bytes | None] = []

    def save(self, checkpoint: Checkpoint) -> None:
        assert self.disk.acquire(timeout=60.0)
        if self.full:
            raise UsageError("the disk is full")
        super().save(checkpoint)
        self.written.append(checkpoint.state)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SlowJournal]:
    opened = SlowJournal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def state(data: bytes) -> Checkpoint:
    return Checkpoint(state=data, tally=b"")


def test_an_answer_waits_for_the_state_that_it_depends_on(journal: SlowJournal) -> None:
    async def run() -> None:
        commits, said = Commits(journal, failed=lambda: None), list[str]()
        commits.when_safe(lambda: said.append("of nothing"))
        assert said == ["of nothing"]
        commits.put(state(b"1"))
        commits.when_safe(lambda: said.append("of 1"))
        await asyncio.sleep(0)
        # The first is on its way to the disk by now, and these come too late for it.
        for number in (2, 3):
            commits.put(state(b"%d" % number))
            commits.when_safe(partial(said.append, f"of {number}"))
        assert said == ["of nothing"]
        first = asyncio.Event()
        commits._after_this.append(first.set)
        journal.disk.release()
        await first.wait()
        assert said == ["of nothing", "of 1"]
        assert journal.load().state == b"1"
        journal.disk.release()
        await commits.settled()
        assert said == ["of nothing", "of 1", "of 2", "of 3"]
        assert journal.written == [b"1", b"3"]
        commits.when_safe(lambda: said.append("of 3 again"))
        assert said[-1] == "of 3 again"
        assert journal.load().state == b"3"

    asyncio.run(run())


def test_nobody_is_told_of_what_could_not_be_written(journal: SlowJournal) -> None:
    async def run() -> None:
        failed = asyncio.Event()
        commits, said = Commits(journal, failed=failed.set), list[str]()
        commits.put(state(b"1"))
        commits.when_safe(lambda: said.append("of 1"))
        journal.full = True
        journal.disk.release()
        await failed.wait()
        with pytest.raises(UsageError, match="the disk is full"):
            await commits.settled()
        for late in (commits.check, lambda: commits.put(state(b"2"))):
            with pytest.raises(UsageError, match="the disk is full"):
                late()
        assert said == []
        assert journal.load().state is None

    asyncio.run(run())


def test_who_is_closed_tells_nobody(journal: SlowJournal) -> None:
    async def run() -> None:
        commits, said = Commits(journal, failed=lambda: None), list[str]()
        commits.put(state(b"1"))
        await asyncio.sleep(0)
        commits.when_safe(lambda: said.append("of 1"))
        await commits.close()
        journal.disk.release()
        assert said == []

    asyncio.run(run())
