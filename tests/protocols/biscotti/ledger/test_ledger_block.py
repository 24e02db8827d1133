"""Blocks as bytes: one encoding each, a hash over all of it, and nothing unbounded."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_chain import PEERS, SENDER, certify, full_block, small_blocks, small_genesis

from troth.chain import bitmap
from troth.chain.sealed import altered_field, field_names, index_of
from troth.errors import LocalError, PeerError
from troth.ids import Round
from troth.protocols.biscotti.ledger.block import (
    MAX_EVIDENCE,
    Block,
    Certificate,
    Evidence,
    encode_certificate,
    read_block,
    read_certificate,
    seal_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.link import first_state

BLOCK = full_block(first_state(small_genesis()))
SEALED = seal_block(BLOCK)


def test_a_block_comes_back() -> None:
    for certified in small_blocks():
        again = read_block(certified.block.data, sender=SENDER)
        assert again == certified.block
        assert again.index == certified.block.index
        assert repr(again.content) == repr(certified.block.content)


def test_a_sealed_block_is_not_changed_through_the_array_it_was_made_of() -> None:
    values = np.arange(3)
    sealed = seal_block(msgspec.structs.replace(BLOCK, aggregate=values))
    values[0] = 9
    assert sealed.content.aggregate is not None
    assert list(sealed.content.aggregate) == [0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        sealed.content.aggregate[0] = 9


@pytest.mark.parametrize("field", Block.__struct_fields__)
def test_every_field_is_in_the_hash(field: str) -> None:
    value = getattr(BLOCK, field)
    other: object
    match value:
        case bytes():
            other = bytes(len(value)) if any(value) else b"\1" * len(value)
        case int():
            other = value + 1
        case str():
            other = PEERS[0]
        case tuple():
            other = ()
            value = value or (Evidence("kind", PEERS[0], Round(1), b""),)
        case _:
            other = None
    one = msgspec.structs.replace(BLOCK, **{field: value})
    changed = msgspec.structs.replace(BLOCK, **{field: other})
    assert seal_block(one).digest != seal_block(changed).digest


@given(place=st.integers(0, len(SEALED.data) - 1), bit=st.integers(0, 7))
def test_an_altered_byte_is_found_in_its_field(place: int, bit: int) -> None:
    data = bytearray(SEALED.data)
    data[place] ^= 1 << bit
    found = altered_field(bytes(data), SEALED.index)
    assert found is not None
    start = len(SEALED.data)
    names = field_names(Block)
    for name in reversed(names[found:]):
        entry = SEALED.index[36 * names.index(name) :]
        start -= int.from_bytes(entry[:4])
    assert start <= place < start + int.from_bytes(SEALED.index[36 * found :][:4])
    with suppress(PeerError):
        assert read_block(bytes(data), sender=SENDER).digest != SEALED.digest


@pytest.mark.parametrize("data", [SEALED.data[:-1], SEALED.data + b"\0"])
def test_bytes_missing_or_added_are_found(data: bytes) -> None:
    assert altered_field(data, SEALED.index) == len(field_names(Block)) - 1


def test_one_block_has_one_encoding() -> None:
    data = SEALED.data
    height = index_length(0) + index_length(1)
    assert data[height] == 1
    longer = data[:height] + b"\xcd\x00\x01" + data[height + 1 :]
    with pytest.raises(PeerError, match="an encoding of its own"):
        read_block(longer, sender=SENDER)


def index_length(place: int) -> int:
    return int.from_bytes(index_of(SEALED.data)[36 * place :][:4])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_block_or_the_senders_fault(data: bytes) -> None:
    for start in (b"", SEALED.data[:40]):
        with pytest.raises(PeerError) as caught:
            read_block(start + data, sender=SENDER)
        assert caught.value.culprits == (SENDER,)


def test_what_a_block_makes_us_hold_is_bounded() -> None:
    many = tuple(Evidence("kind", PEERS[0], Round(1), b"") for _ in range(MAX_EVIDENCE + 1))
    with pytest.raises(LocalError, match="length"):
        seal_block(msgspec.structs.replace(BLOCK, evidence=many))


def test_a_certificate_comes_back() -> None:
    certificate = certify(BLOCK).certificate
    assert certificate is not None
    data = encode_certificate(certificate)
    assert read_certificate(data, sender=SENDER) == certificate
    for bad in (b"", data[:-1], data + b"\0", SEALED.data):
        with pytest.raises(PeerError) as caught:
            read_certificate(bad, sender=SENDER)
        assert caught.value.culprits == (SENDER,)
    with pytest.raises(LocalError):
        encode_certificate(Certificate(b"\1", b"short"))


def test_signed_lists_differ_by_chain_round_and_entries() -> None:
    texts = {
        signed_list(chain, Round(number), entries)
        for chain in (bytes(32), b"\1" * 32)
        for number in (1, 2)
        for entries in (b"", bytes(32), bytes(64))
    }
    assert len(texts) == 12


@given(st.integers(0, 70).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n)))))
def test_bitmaps_come_back(case: tuple[int, set[int]]) -> None:
    count, chosen = case
    chosen.discard(count)
    written = bitmap.of(chosen, count)
    assert len(written) == (count + 7) // 8
    assert bitmap.places(written, count) == tuple(sorted(chosen))


@pytest.mark.parametrize(("written", "count"), [(b"\x08", 3), (b"", 1), (b"\0\0", 8), (b"\1", 0)])
def test_a_bitmap_fits_its_list(written: bytes, count: int) -> None:
    with pytest.raises(ValueError, match=r"bytes, not|beyond"):
        bitmap.places(written, count)
