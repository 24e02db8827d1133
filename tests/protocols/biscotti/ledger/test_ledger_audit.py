"""An auditor has the file and nothing else: whatever byte was altered, it is found and named."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from small_chain import (
    PEERS,
    certify,
    changed,
    empty,
    follow,
    full_block,
    make_genesis,
    open_store,
    seed,
    small_blocks,
    small_genesis,
    write_chain,
)

from troth.chain.audit import Audit, BadChainError, DoubleSignature, audit
from troth.chain.sealed import ENTRY_BYTES, field_names, index_digest
from troth.chain.store import ChainFile, Facts
from troth.errors import ExitCode, PeerError, VerificationError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import (
    Block,
    CertifiedBlock,
    encode_certificate,
    seal_block,
)
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis, Genesis
from troth.protocols.biscotti.ledger.kind import KIND, audit_structure
from troth.protocols.biscotti.ledger.link import ChainState, first_state

FIRST = first_state(small_genesis())
BLOCKS = small_blocks()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody changes this file for good."""
    return write_chain(tmp_path_factory.mktemp("chain") / "chain.sqlite")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_chain(tmp_path / "chain.sqlite")


def audited(path: Path) -> Audit[CheckedGenesis, CertifiedBlock, ChainState]:
    with ChainFile(path) as file:
        return audit_structure(file)


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement, values).rowcount == 1


def test_a_sound_chain(sound: Path) -> None:
    found = audited(sound)
    assert found.genesis.id == small_genesis().id
    assert (found.tip.hash, found.tip.height, found.tip.certified) == (BLOCKS[-1].hash, 3, 2)
    assert found.state.stake.stake == (20, 20, 20, 10)
    assert found.branch == tuple(block.hash for block in BLOCKS)
    assert (found.blocks, found.branches, found.double_signatures) == (3, 1, ())


def test_a_chain_of_nothing_is_sound(tmp_path: Path) -> None:
    found = audited(write_chain(tmp_path / "chain.sqlite", []))
    assert (found.tip.height, found.branch, found.branches) == (0, (), 1)
    assert found.state == FIRST


def field_at(index: bytes, names: tuple[str, ...], place: int) -> str:
    for number, name in enumerate(names):
        place -= int.from_bytes(index[number * ENTRY_BYTES :][:4])
        if place < 0:
            return name
    raise AssertionError("beyond the last field")


Place = tuple[str, str, int, bytes]
"""A stored value: table, column or key, height, and its bytes."""


def stored_values() -> list[Place]:
    record = small_genesis().record
    with_genesis = [("facts", "genesis", 0, record.data), ("facts", "index", 0, record.index)]
    with_genesis += [
        ("facts", "id", 0, record.digest),
        ("facts", "charter", 0, b'{"name":"small"}'),
        ("facts", "model", 0, bytes(24)),
    ]
    anchor = record.digest
    for height, block in enumerate(BLOCKS, 1):
        anchor = anchor if block.certificate is None else block.hash
        with_genesis += [
            ("blocks", "data", height, block.block.data),
            ("blocks", "index", height, block.block.index),
            ("blocks", "hash", height, block.hash),
            ("blocks", "previous", height, block.block.content.previous),
            ("blocks", "anchor", height, anchor),
        ]
        if block.certificate is not None:
            data = encode_certificate(block.certificate)
            with_genesis.append(("blocks", "certificate", height, data))
    return with_genesis


def expected_field(column: str, height: int, place: int) -> str:
    if column == "data":
        return field_at(BLOCKS[height - 1].block.index, field_names(Block), place)
    if column == "genesis":
        return field_at(small_genesis().record.index, field_names(Genesis), place)
    return "hash" if column == "id" else column


VALUES = stored_values()
EVERY_BYTE = [
    (value, place) for value in range(len(VALUES)) for place in range(len(VALUES[value][3]))
]


@settings(max_examples=150)
@given(chosen=st.sampled_from(EVERY_BYTE), bit=st.integers(0, 7))
@example(chosen=(0, 186), bit=3).via("a peer's entry that no longer decodes")
def test_any_byte_of_any_block_or_of_the_genesis_is_found_and_named(
    sound: Path, chosen: tuple[int, int], bit: int
) -> None:
    (table, column, height, value), place = VALUES[chosen[0]], chosen[1]
    altered = bytearray(value)
    altered[place] ^= 1 << bit
    set_to = (
        f'UPDATE blocks SET "{column}" = ? WHERE height = {height}'
        if table == "blocks"
        else f"UPDATE facts SET value = ? WHERE key = '{column}'"
    )
    change(sound, set_to, bytes(altered))
    try:
        with pytest.raises(BadChainError) as caught:
            audited(sound)
    finally:
        change(sound, set_to, value)
    assert (caught.value.height, caught.value.field) == (
        height,
        expected_field(column, height, place),
    )
    assert caught.value.exit_code == ExitCode.VERIFICATION_FAILED
    assert str(sound) in caught.value.message


@pytest.mark.parametrize(
    ("column", "height", "field"), [("height", 2, "height"), ("certified", 3, "certified")]
)
def test_numbers_beside_a_block_are_checked(
    path: Path, column: str, height: int, field: str
) -> None:
    for value in (-1, 0, 7, 2**62):
        change(
            path, f"UPDATE blocks SET {column} = ? WHERE hash = ?", value, BLOCKS[height - 1].hash
        )
        with pytest.raises(BadChainError) as caught:
            audited(path)
        assert (caught.value.height, caught.value.field) == (height, field)


def test_a_peer_is_named_whose_entry_was_altered(path: Path) -> None:
    data = small_genesis().record.data
    root = small_genesis().content.peers[2].noise_root
    change(
        path,
        "UPDATE facts SET value = ? WHERE key = 'genesis'",
        data.replace(root, bytes(31) + b"\1"),
    )
    with pytest.raises(BadChainError, match="peers: party-2 sent a wrong signature"):
        audited(path)


@given(place=st.integers(0, 2**20), bit=st.integers(0, 7))
@example(place=18, bit=0)
@example(place=18, bit=1)
@example(place=47, bit=0)
@example(place=4107, bit=1).via("a key of the facts that is a number")
@example(place=3773, bit=7).via("SQLite quotes a statement that is no UTF-8")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_byte_of_the_file_is_found_or_says_nothing(
    sound: Path, tmp_path: Path, place: int, bit: int
) -> None:
    """Pages have unused space. What is altered there changes nothing that anybody reads."""
    data = bytearray(sound.read_bytes())
    data[place % len(data)] ^= 1 << bit
    spoilt = tmp_path / "spoilt.sqlite"
    spoilt.write_bytes(data)
    try:
        found = audited(spoilt)
    except VerificationError:
        return
    assert found.tip == audited(sound).tip
    assert found.state == audited(sound).state


@pytest.mark.parametrize("text", [b"CREATE INDEX by_height", b"charter{", b"format"])
def test_text_that_is_no_text_any_more_is_noticed(path: Path, text: bytes) -> None:
    data = path.read_bytes()
    assert text in data
    path.write_bytes(data.replace(text, bytes([text[0] | 0x80]) + text[1:]))
    with pytest.raises(VerificationError):
        audited(path)
    with pytest.raises(VerificationError):
        open_store(path)


@pytest.mark.parametrize("kept", range(0, 14_000, 1_000))
def test_a_file_that_was_cut_short_is_noticed(sound: Path, tmp_path: Path, kept: int) -> None:
    data = sound.read_bytes()
    assert kept < len(data)
    cut = tmp_path / "cut.sqlite"
    cut.write_bytes(data[:kept])
    with pytest.raises(VerificationError):
        audited(cut)


def test_a_block_taken_out_is_missed_by_the_next(path: Path) -> None:
    change(path, "DELETE FROM blocks WHERE height = 2")
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (3, "previous")


def test_the_last_block_taken_out_is_not_seen_in_the_file(path: Path) -> None:
    """Why an auditor asks peers for the hash of their last block."""
    change(path, "DELETE FROM blocks WHERE height = 3")
    assert audited(path).tip.height == 2


def rewritten(path: Path, height: int, block: Block, certificate: bytes) -> None:
    """Put another block in place of one, with everything beside it as it should be."""
    sealed = seal_block(block)
    change(
        path,
        'UPDATE blocks SET data = ?1, "index" = ?2, hash = ?3, anchor = ?3, certificate = ?4 '
        "WHERE height = ?5",
        sealed.data, sealed.index, sealed.digest, certificate, height,
    )  # fmt: skip


def test_a_forger_who_mends_all_digests_lacks_the_signatures(path: Path) -> None:
    last = BLOCKS[-1]
    assert last.certificate is not None
    forged = changed(last.block.content, model=bytes(32))
    rewritten(path, 3, forged, encode_certificate(last.certificate))
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (3, "certificate")


def test_a_forger_who_has_the_signers_still_breaks_the_links(path: Path) -> None:
    forged = certify(changed(BLOCKS[0].block.content, model=bytes(32)))
    assert forged.certificate is not None
    rewritten(path, 1, forged.block.content, encode_certificate(forged.certificate))
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (2, "previous")


def test_a_certificate_taken_away_is_missed(path: Path) -> None:
    change(path, "UPDATE blocks SET certificate = NULL WHERE height = 1")
    with pytest.raises(BadChainError, match="not the empty block") as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (1, "certificate")


def test_a_block_without_sense_is_named_though_all_digests_hold(path: Path) -> None:
    """Its writer wrote nonsense from the start."""
    block = changed(BLOCKS[-1].block.content, aggregate=None)
    certificate = certify(block).certificate
    assert certificate is not None
    rewritten(path, 3, block, encode_certificate(certificate))
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (3, "aggregate")


def test_another_genesis_has_another_id(tmp_path: Path) -> None:
    """Whoever swaps the genesis makes a sound file of another chain; only its id tells."""
    other = make_genesis(rounds=Round(11))
    path = write_chain(tmp_path / "chain.sqlite", [])
    change(path, "UPDATE facts SET value = ? WHERE key = 'genesis'", other.record.data)
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (0, "rounds")
    change(path, "UPDATE facts SET value = ? WHERE key = 'index'", other.record.index)
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (0, "hash")
    change(path, "UPDATE facts SET value = ? WHERE key = 'id'", other.id)
    assert audited(path).genesis.id == other.id != small_genesis().id


def branches() -> Iterator[CertifiedBlock]:
    """Two certified blocks of round 1 and an empty one, and a block on the first."""
    one = certify(full_block(FIRST), PEERS[:3])
    yield one
    yield certify(changed(full_block(FIRST), model=seed("other")), PEERS[1:])
    yield empty(FIRST)
    yield certify(full_block(follow(FIRST, one)))


def test_all_branches_are_checked_and_double_signers_named(tmp_path: Path) -> None:
    one, other, nothing, above = branches()
    found = audited(write_chain(tmp_path / "chain.sqlite", [one, other, nothing, above]))
    assert (found.tip.hash, found.tip.height, found.blocks, found.branches) == (above.hash, 2, 4, 3)
    assert found.branch == (one.hash, above.hash)
    pair = tuple(sorted((one.hash, other.hash)))
    assert found.double_signatures == (DoubleSignature(1, pair, (PEERS[1], PEERS[2])),)


Heights = tuple[int, ...]


def begin(genesis: CheckedGenesis, facts: Facts) -> Heights:
    assert facts.id == genesis.id
    return ()


def test_the_protocols_own_checks_follow_every_branch(tmp_path: Path) -> None:
    one, other, nothing, above = branches()
    seen: list[tuple[bytes, Heights]] = []

    def follow(
        _: CheckedGenesis, below: Heights, block: CertifiedBlock, /, *, sender: NodeId
    ) -> Heights:
        assert sender == "chain.sqlite"
        seen.append((block.hash, below))
        return (*below, block.block.content.height)

    path = write_chain(tmp_path / "chain.sqlite", [one, other, nothing, above])
    with ChainFile(path) as file:
        found = audit(file, KIND, begin=begin, follow=follow)
    assert found.state == (1, 2)
    assert sorted(seen[:3]) == sorted((block.hash, ()) for block in (one, other, nothing))
    assert seen[3:] == [(above.hash, (1,))]


def test_what_the_protocol_refuses_is_named(path: Path) -> None:
    def follow(
        _: CheckedGenesis, below: Heights, block: CertifiedBlock, /, *, sender: NodeId
    ) -> Heights:
        if block.block.content.height == 3:
            raise PeerError("has no majority of verifiers", culprits=(NodeId("party-2"),))
        return below

    with (
        ChainFile(path) as file,
        pytest.raises(BadChainError, match="no majority of verifiers") as caught,
    ):
        audit(file, KIND, begin=begin, follow=follow)
    assert (caught.value.height, caught.value.field) == (3, "contents")


@pytest.mark.parametrize(
    "data", [b"", b"\1", b"\1\xc0", b"\1\xdd\xff\xff\xff\xff" + bytes(100), b"\1" + b"\x91" * 5000]
)
def test_bytes_that_were_never_a_block(path: Path, data: bytes) -> None:
    """With all digests as they should be, without, and with an index of another length."""
    change(path, "UPDATE blocks SET data = ? WHERE height = 2", data)
    change(path, "UPDATE blocks SET hash = ? WHERE height = 2", bytes(32))
    with pytest.raises(BadChainError) as caught:
        audited(path)
    assert (caught.value.height, caught.value.field) == (2, "head")
    for index in (b"", bytes(ENTRY_BYTES * len(field_names(Block)))):
        change(path, 'UPDATE blocks SET "index" = ? WHERE height = 2', index)
        for digest in (bytes(32), index_digest(index)):
            change(path, "UPDATE blocks SET hash = ? WHERE height = 2", digest)
            with pytest.raises(BadChainError) as caught:
                audited(path)
            assert caught.value.height == 2
