"""`troth.chain` knows no protocol: a chain of plain notes goes through all of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from notes_chain import (
    ANN,
    BOB,
    CAT,
    CHAIN,
    CHARTER,
    NOTES,
    SignedNote,
    Start,
    note,
    notes,
    open_notes,
    write_notes,
)

from troth.chain.audit import Audit, BadChainError, DoubleSignature, Trusted, audit
from troth.chain.block import SealedBlock, VerifiedBlock
from troth.chain.errors import BlockError
from troth.chain.export import blocks_of, export_lines
from troth.chain.sealed import altered_field, index_digest
from troth.chain.store import ChainFile, Facts, Tip
from troth.errors import LocalError, PeerError, VerificationError
from troth.ids import NodeId

Texts = tuple[bytes, ...]


def begin(start: Start, facts: Facts) -> Texts:
    assert (facts.id, facts.charter) == (start.record.digest, CHARTER)
    return ()


def follow(_: Start, below: Texts, found: SignedNote, /, *, sender: NodeId) -> Texts:
    """The rules of the notes: none is empty, and no two of a branch are equal."""
    text = found.block.content.text
    if not text:
        raise BlockError(found.block.content.height, "text", "is empty", sender=sender)
    if text in below:
        raise PeerError("are there already", culprits=(sender,))
    return (*below, text)


def audited(path: Path) -> Audit[Start, SignedNote, Texts]:
    with ChainFile(path) as file:
        return audit(file, NOTES, begin=begin, follow=follow)


def test_notes_are_kept_audited_and_exported(tmp_path: Path) -> None:
    blocks = notes(b"one", b"two", b"three")
    path = write_notes(tmp_path / "notes.sqlite", blocks)
    found = audited(path)
    assert found.state == (b"one", b"two", b"three")
    assert found.tip == Tip(blocks[2].hash, 3, 3, anchor=blocks[2].hash)
    assert found.branch == tuple(block.hash for block in blocks)
    assert (found.blocks, found.branches, found.double_signatures) == (3, 1, ())
    with ChainFile(path) as file:
        assert [read.sealed for read in blocks_of(file, found)] == blocks
        first, *lines = map(json.loads, export_lines(file, found))
    assert first == {
        "kind": "genesis",
        "id": CHAIN.hex(),
        "title": "notes",
        "charter": {"name": "notes"},
    }
    assert [line["text"] for line in lines] == [b"one".hex(), b"two".hex(), b"three".hex()]
    assert lines[1] == {
        "kind": "block",
        "hash": blocks[1].hash.hex(),
        "height": 2,
        "previous": blocks[0].hash.hex(),
        "text": b"two".hex(),
        "certificate": {"signers": ["ann", "bob"]},
    }


def test_a_store_gives_the_notes_back_and_takes_none_without_the_one_below(tmp_path: Path) -> None:
    first, second, third = notes(b"one", b"two", b"three")
    path = write_notes(tmp_path / "notes.sqlite", [first, second])
    with open_notes(path) as store:
        assert store.get(second.hash) == second
        assert store.branch(second.hash, above=1, most_bytes=1) == (second,)
        with pytest.raises(LocalError, match="no block below it"):
            store.keep(note(b"four", third))
        assert store.append(third).height == 3


@pytest.mark.parametrize("field", ["height", "previous", "text"])
def test_an_altered_field_is_named(tmp_path: Path, field: str) -> None:
    block = note(b"one")
    value = {"height": b"\1", "previous": CHAIN, "text": b"one"}[field]
    place = block.data.rindex(value)
    altered = bytearray(block.data)
    altered[place] ^= 2
    assert altered_field(bytes(altered), block.index) is not None
    path = write_notes(tmp_path / "notes.sqlite", [block])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE blocks SET data = ?", (bytes(altered),))
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (1, field)


def test_what_the_rules_refuse_is_named(tmp_path: Path) -> None:
    first = note(b"one")
    for number, (text, field) in enumerate([(b"", "text"), (b"one", "contents")]):
        path = write_notes(tmp_path / str(number), [first, note(text, first)])
        with pytest.raises(BadChainError) as caught:
            audited(path)
        assert (caught.value.height, caught.value.field) == (2, field)


def test_a_block_that_does_not_say_its_own_place_is_named(tmp_path: Path) -> None:
    """A store takes hash, height and previous at their word."""
    first, other = note(b"one"), note(b"another")
    second = note(b"two", first)
    moved = SealedBlock(second.hash, 2, other.hash, second.index, second.data, second.certificate)
    path = write_notes(tmp_path / "notes.sqlite", [first, other, VerifiedBlock(moved)])
    assert index_digest(moved.index) == moved.hash
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (2, "previous")


def test_branches_are_chosen_by_certificates_and_double_signers_named(tmp_path: Path) -> None:
    one = note(b"one", by=(ANN, BOB))
    other = note(b"another", by=(BOB, CAT))
    alone = note(b"nobody signs this", by=())
    above = note(b"two", one)
    path = write_notes(tmp_path / "notes.sqlite", [one, other, alone, above])
    found = audited(path)
    assert (found.tip.hash, found.branches) == (above.hash, 3)
    assert found.state == (b"one", b"two")
    pair = tuple(sorted((one.hash, other.hash)))
    assert found.double_signatures == (DoubleSignature(1, pair, (BOB,)),)


def test_up_to_a_trusted_block_other_checks_follow(tmp_path: Path) -> None:
    first, empty = note(b"one"), b""
    second = note(empty, first)
    third = note(b"three", second)
    path = write_notes(tmp_path / "notes.sqlite", [first, second, third])

    def believe(_: Start, below: Texts, found: SignedNote, /, *, sender: NodeId) -> Texts:
        return (*below, b"believed " + found.block.content.text)

    with ChainFile(path) as file:
        found = audit(
            file, NOTES, begin=begin, follow=follow, trusted=Trusted(second.hash, believe)
        )
        assert found.state == (b"believed one", b"believed ", b"three")
        with pytest.raises(VerificationError, match="no block has the hash"):
            audit(file, NOTES, begin=begin, follow=follow, trusted=Trusted(bytes(32), believe))


def test_a_genesis_that_is_refused_is_named(tmp_path: Path) -> None:
    path = write_notes(tmp_path / "notes.sqlite", [])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE facts SET value = ? WHERE key = 'charter'", (b"{}",))
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (0, "charter")
