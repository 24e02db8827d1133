"""A message taken apart is the message that the codec writes, and what cannot be is left to it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_messages import CODEC, SENDER, Everything, Ping, Update, same
from xxhash import xxh3_128_digest

from troth.pieces import SMALL_BYTES, PieceWriter
from troth.wire import Codec, Float32s, Float64s, Int64s, Message, UInt32s


class Several(Message, frozen=True):
    """Arrays of every element type, between other fields and beside each other."""

    round: int
    floats: Float32s
    name: str
    counts: UInt32s
    wholes: Int64s
    raw: bytes
    doubles: Float64s


class Weighted(Message, frozen=True):
    weight: float
    update_D: Float32s


SEVERAL = Codec([Several, Weighted, Update])


def read_only(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    array.flags.writeable = False
    return array


def arrays(dtype: str) -> st.SearchStrategy[npt.NDArray[np.generic]]:
    """Lengths around those at which msgpack changes how it writes a length."""
    lengths = st.sampled_from([0, 1, 2, 4, 16, 63, 64, 255, 256, 300, 8192, 16384])
    return lengths.map(lambda n: read_only(np.arange(n).astype(dtype)))


several = st.builds(
    Several,
    round=st.integers(-(2**63), 2**64 - 1),
    floats=arrays("float32"),
    name=st.text(max_size=40),
    counts=arrays("uint32"),
    wholes=arrays("int64"),
    raw=st.binary(max_size=40),
    doubles=arrays("float64"),
)


@given(st.lists(several, min_size=1, max_size=3))
def test_the_pieces_of_a_message_are_its_bytes(messages: list[Several]) -> None:
    writer = PieceWriter(SEVERAL)
    for message in messages * 2:
        data = SEVERAL.encode(message)
        pieces = writer.write(message)
        large = sum(getattr(message, name).nbytes for name in ("floats", "counts", "wholes"))
        if large + message.doubles.nbytes <= SMALL_BYTES:
            assert pieces is None
            continue
        assert pieces is not None
        assert pieces.join() == data
        assert pieces.size == len(data)
        assert pieces.fingerprint() == xxh3_128_digest(data)
        assert same(SEVERAL.decode(data, sender=SENDER), message)


def test_forms_are_told_apart_by_all_but_the_contents_of_arrays() -> None:
    writer = PieceWriter(SEVERAL)
    zeros, ones = (read_only(np.full(500, n, np.float32)) for n in (0, 1))
    for message in (
        Update(1, zeros),
        Update(1, ones),
        Update(2, ones),
        Update(1, read_only(np.ones(501, np.float32))),
    ):
        pieces = writer.write(message)
        assert pieces is not None
        assert pieces.join() == SEVERAL.encode(message)


LARGE = read_only(np.ones(1000, np.float32))
TWO = np.ones((2, 1000), np.float32)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(Update(1, np.ones(1000, np.float32)), id="an array that may change"),
        pytest.param(Update(1, read_only(np.ones(2000, np.float32)[::2])), id="with gaps"),
        pytest.param(Update(1, read_only(TWO)), id="two dimensions"),
        pytest.param(Update(1, read_only(np.ones(1000, ">f4"))), id="another order of bytes"),
        pytest.param(Update(1, read_only(np.ones(1000, np.float64))), id="another type"),
        pytest.param(Update(1, read_only(np.ones(1000, np.float16))), id="a type without a code"),
        pytest.param(Update(True, LARGE), id="a truth value for a number"),
        pytest.param(Update(np.int64(1), LARGE), id="a number of numpy's"),  # type: ignore[arg-type]
        pytest.param(Update(2**64, LARGE), id="a number that is too large"),
        pytest.param(Weighted(1, LARGE), id="a whole number, which is decoded as a float"),
        pytest.param(Weighted(1.0, LARGE), id="a float"),
        pytest.param(Ping(3), id="no array"),
        pytest.param(Update(1, LARGE[:10]), id="a small one"),
    ],
)
def test_what_cannot_be_handed_on_as_it_is_is_left_to_the_codec(message: Message) -> None:
    writer = PieceWriter(SEVERAL)
    assert writer.write(message) is None
    assert writer.write(message) is None


def test_a_message_of_another_protocol_or_too_large_is_left_to_the_codec() -> None:
    message = Update(1, LARGE)
    assert PieceWriter(SEVERAL).write(message) is not None
    assert PieceWriter(Codec([Ping])).write(message) is None
    assert PieceWriter(Codec([Update], max_bytes=4000)).write(message) is None


def test_a_message_with_lists_or_structs_is_left_to_the_codec() -> None:
    """Whoever holds them could change them after the message was sent."""
    empty = read_only(np.zeros(0, np.float32))
    counts, wholes, doubles = (
        read_only(np.zeros(0, kind)) for kind in (np.uint32, np.int64, np.float64)
    )
    message = Everything("", b"", 1.0, True, LARGE, counts, wholes, doubles, arrays=[empty])
    assert PieceWriter(CODEC).write(message) is None
