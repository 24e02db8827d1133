"""A node's ledger, in memory and on its disk: one answer to the same question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_chain import empty, follow, open_store, small_blocks, small_genesis

from troth.chain.ledger import Ledger, MemoryLedger
from troth.protocols.biscotti.ledger.block import CertifiedBlock, VerifiedBlock
from troth.protocols.biscotti.ledger.link import first_state


@pytest.fixture(params=["memory", "disk"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger({})
        return
    with open_store(tmp_path / "chain.sqlite") as store:
        yield store


def line(ledger: Ledger, tip: bytes, above: int = 0, most_bytes: int = 2**30) -> list[bytes]:
    return [block.hash for block in ledger.line(tip, above=above, most_bytes=most_bytes)]


def test_a_line_is_a_branch_from_above_a_height(ledger: Ledger) -> None:
    blocks = small_blocks()
    hashes = [block.hash for block in blocks]
    for block in blocks:
        ledger.keep(VerifiedBlock(block))
    ledger.keep(VerifiedBlock(blocks[0]))
    assert len(hashes) > 2
    for above in range(len(hashes) + 1):
        assert line(ledger, hashes[-1], above) == hashes[above:]
    assert line(ledger, hashes[1]) == hashes[:2]
    assert line(ledger, bytes(32)) == line(ledger, small_genesis().id) == []


def test_a_line_ends_where_its_bytes_do(ledger: Ledger) -> None:
    blocks = small_blocks()
    for block in blocks:
        ledger.keep(VerifiedBlock(block))
    hashes, sizes = [block.hash for block in blocks], [len(block.block.data) for block in blocks]
    assert line(ledger, hashes[-1], most_bytes=0) == hashes[:1]
    assert line(ledger, hashes[-1], most_bytes=sizes[0] + sizes[1]) == hashes[:2]
    assert line(ledger, hashes[-1], most_bytes=sizes[0] + sizes[1] - 1) == hashes[:1]


def test_branches_are_told_apart(ledger: Ledger) -> None:
    first, *_ = small_blocks()
    state = first_state(small_genesis())
    other: CertifiedBlock = empty(state)
    above = empty(follow(state, other))
    for block in (first, other, above):
        ledger.keep(VerifiedBlock(block))
    assert line(ledger, first.hash) == [first.hash]
    assert line(ledger, above.hash) == [other.hash, above.hash]
