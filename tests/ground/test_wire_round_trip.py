"""The codec carries every value unchanged, and refuses to send what it could not carry."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from wire_messages import CODEC, SENDER, Everything, Part, Ping, Update, same

from troth.errors import LocalError
from troth.wire import (
    MAX_ELEMENTS,
    WIRE_VERSION,
    Codec,
    Float32s,
    Float64s,
    Int64s,
    Message,
    UInt32s,
)

DTYPES = ("float32", "uint32", "int64", "float64")


def arrays(dtype: str) -> st.SearchStrategy[npt.NDArray[np.generic]]:
    """Any bit pattern: Hypothesis alone would give only one NaN."""
    itemsize = np.dtype(dtype).itemsize
    return st.integers(0, 20).flatmap(
        lambda n: st.binary(min_size=n * itemsize, max_size=n * itemsize).map(
            lambda raw: np.frombuffer(raw, dtype=dtype)
        )
    )


everything = st.builds(
    Everything,
    text=st.text(),
    raw=st.binary(),
    number=st.floats(),
    flag=st.booleans(),
    floats=arrays("float32"),
    counts=arrays("uint32"),
    wholes=arrays("int64"),
    doubles=arrays("float64"),
    maybe=st.none() | arrays("float64"),
    names=st.lists(st.text(), max_size=20),
    table=st.dictionaries(st.text(), st.integers(-(2**63), 2**64 - 1), max_size=20),
    parts=st.lists(st.builds(Part, name=st.text(), values=arrays("float64")), max_size=4),
    arrays=st.lists(arrays("float32"), max_size=4),
)


@given(everything)
def test_decode_after_encode(message: Everything) -> None:
    assert same(CODEC.decode(CODEC.encode(message), sender=SENDER), message)


@given(everything)
def test_a_decoded_message_encodes_to_the_same_bytes(message: Everything) -> None:
    data = CODEC.encode(message)
    assert CODEC.encode(CODEC.decode(data, sender=SENDER)) == data


def one_array(dtype: str) -> Any:
    """A message class with one field, an array of `dtype`."""
    types = {"float32": Float32s, "uint32": UInt32s, "int64": Int64s, "float64": Float64s}
    return msgspec.defstruct(f"One{dtype}", [("values", types[dtype])], bases=(Message,), tag=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("step", [1, 2, -1], ids=["contiguous", "strided", "reversed"])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_layout_of_the_input_does_not_matter(dtype: str, order: str, step: int, size: int) -> None:
    cls = one_array(dtype)
    codec = Codec([cls])
    values = np.arange(2 * size, dtype=order + np.dtype(dtype).str[1:])[::step]
    message: Any = codec.decode(codec.encode(cls(values)), sender=SENDER)
    decoded = message.values
    np.testing.assert_array_equal(decoded, values)
    assert decoded.dtype == np.dtype(dtype).newbyteorder("<")


@given(
    npst.arrays(np.float32, st.integers(0, 8), elements=st.floats(width=32, allow_nan=True)),
    st.integers(0, 1000),
)
def test_arrays_are_read_only_views_of_the_message(values: npt.NDArray[np.float32], r: int) -> None:
    data = CODEC.encode(Update(r, values))
    decoded = CODEC.decode(data, sender=SENDER)
    assert isinstance(decoded, Update)
    assert not decoded.update_D.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        decoded.update_D.setflags(write=True)
    if values.size:
        assert np.shares_memory(decoded.update_D, np.frombuffer(data, dtype=np.uint8))


def test_the_encoder_copies_what_it_was_given() -> None:
    values = np.ones(3, dtype=np.float32)
    data = CODEC.encode(Update(1, values))
    values[:] = 7
    decoded = CODEC.decode(data, sender=SENDER)
    assert isinstance(decoded, Update)
    assert decoded.update_D.tolist() == [1.0, 1.0, 1.0]


# Called with what their types forbid, on purpose.
update: Any = Update
ping: Any = Ping


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (update(1, np.float32(1.0)), "float32"),
        (update(1, np.zeros((), np.float32)), r"shape \(\)"),
        (update(1, np.zeros((2, 2), np.float32)), r"shape \(2, 2\)"),
        (update(1, np.zeros(2, np.float16)), "float16"),
        (update(1, np.zeros(2, np.complex64)), "complex64"),
        (update(1, np.array(["a", object()], dtype=object)), "object"),
        (update(1, np.zeros(2, np.float64)), "expected an array of float32, got float64"),
        (update(1, None), "expected an array of float32, got NoneType"),
        (update("1", np.zeros(2, np.float32)), "Expected `int`, got `str`"),
        (update(2**64, np.zeros(2, np.float32)), "can't serialize ints"),
        (Ping(1001), "Expected `int` <= 1000"),
        (ping(object()), "object has no wire encoder"),
        (Part("a", np.zeros(1)), "Part is not a message of this protocol"),
    ],
)
def test_what_cannot_be_decoded_is_not_sent(message: Message, says: str) -> None:
    with pytest.raises(LocalError, match=says):
        CODEC.encode(message)


def empty_everything(text: str, names: list[str]) -> Everything:
    return Everything(
        text,
        b"",
        0.0,
        False,
        np.zeros(0, np.float32),
        np.zeros(0, np.uint32),
        np.zeros(0, np.int64),
        np.zeros(0, np.float64),
        names=names,
    )


def test_text_that_is_not_unicode_is_not_sent() -> None:
    message = empty_everything("\ud800", [])
    with pytest.raises(LocalError, match="surrogates not allowed"):
        CODEC.encode(message)


def test_the_size_bound_holds_both_ways() -> None:
    data = CODEC.encode(Update(1, np.zeros(100, np.float32)))
    exact = Codec([Update], max_bytes=len(data))
    tight = Codec([Update], max_bytes=len(data) - 1)
    message = exact.decode(data, sender=SENDER)
    assert exact.encode(message) == data
    with pytest.raises(LocalError, match=f"{len(data)} bytes, above max_bytes = {len(data) - 1}"):
        tight.encode(message)


def test_the_element_bound_holds_both_ways() -> None:
    besides = 1 + 1 + 13  # the message's own array, its tag, its fields

    largest = empty_everything("", ["a"] * (MAX_ELEMENTS - besides))
    assert same(CODEC.decode(CODEC.encode(largest), sender=SENDER), largest)
    with pytest.raises(LocalError, match=f"values, above {MAX_ELEMENTS}"):
        CODEC.encode(empty_everything("", ["a"] * (MAX_ELEMENTS - besides + 1)))


def test_a_codec_needs_a_message_type() -> None:
    with pytest.raises(LocalError, match="at least one message type"):
        Codec([])


def test_the_first_byte_is_the_version() -> None:
    assert CODEC.encode(Ping(0))[0] == WIRE_VERSION == 1
