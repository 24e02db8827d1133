"""A node's ledger, in memory and on its disk: one answer to the same question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from notes_chain import ANN, BOB, CHAIN, note, notes, open_notes

from troth.chain.ledger import KeepBlock, Ledger, MemoryLedger, MemoryLedgers, ReadBranch


@pytest.fixture(params=["memory", "disk"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger({})
        return
    with open_notes(tmp_path / "chain.sqlite") as store:
        yield store


def branch(ledger: Ledger, tip: bytes, above: int = 0, most_bytes: int = 2**30) -> list[bytes]:
    return [block.hash for block in ReadBranch(tip, above, most_bytes).run(ledger)]


def test_a_branch_is_read_from_above_a_height(ledger: Ledger) -> None:
    blocks = notes(b"one", b"two", b"three")
    hashes = [block.hash for block in blocks]
    for block in blocks:
        KeepBlock(block).run(ledger)
    ledger.keep(blocks[0])
    for above in range(len(hashes) + 1):
        assert branch(ledger, hashes[-1], above) == hashes[above:]
    assert branch(ledger, hashes[1]) == hashes[:2]
    assert branch(ledger, bytes(32)) == branch(ledger, CHAIN) == []


def test_a_block_comes_back_as_it_was_kept(ledger: Ledger) -> None:
    first, second = notes(b"one", b"two")
    third = note(b"nobody signs this", second, by=())
    for block in (first, second, third):
        ledger.keep(block)
    assert ledger.branch(third.hash, above=0, most_bytes=2**30) == (first, second, third)


def test_reading_ends_where_the_bytes_do(ledger: Ledger) -> None:
    blocks = notes(b"one", b"two", b"three")
    for block in blocks:
        ledger.keep(block)
    hashes, sizes = [block.hash for block in blocks], [len(block.data) for block in blocks]
    assert branch(ledger, hashes[-1], most_bytes=0) == hashes[:1]
    assert branch(ledger, hashes[-1], most_bytes=sizes[0] + sizes[1]) == hashes[:2]
    assert branch(ledger, hashes[-1], most_bytes=sizes[0] + sizes[1] - 1) == hashes[:1]


def test_branches_are_told_apart(ledger: Ledger) -> None:
    first, other = note(b"one"), note(b"another", by=())
    above = note(b"two", other, by=())
    for block in (first, other, above):
        ledger.keep(block)
    assert branch(ledger, first.hash) == [first.hash]
    assert branch(ledger, above.hash) == [other.hash, above.hash]


def test_only_keeping_changes_a_ledger() -> None:
    block = note(b"one")
    assert KeepBlock(block).change() == (b"keep", block.hash)
    assert ReadBranch(block.hash, 0, 1).change() is None


def test_the_ledgers_of_a_world_come_back_from_a_snapshot_and_hold_equal_blocks_once() -> None:
    first, second = notes(b"one", b"two")
    ledgers = MemoryLedgers()
    for node in (ANN, BOB):
        ledgers.of(node).keep(first)
    ledgers.of(BOB).keep(second)
    written = msgspec.msgpack.encode(ledgers.contents())
    assert written.count(first.data) == 1
    restored = MemoryLedgers()
    restored.restore(msgspec.msgpack.decode(written))
    assert restored.of(ANN).blocks() == [first]
    assert restored.of(BOB).blocks() == [first, second]
    assert restored.of(BOB).blocks()[0] is restored.of(ANN).blocks()[0]
    assert msgspec.msgpack.encode(restored.contents()) == written
