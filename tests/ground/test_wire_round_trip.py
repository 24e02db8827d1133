"""The codec carries every value unchanged, and refuses to send what it could not carry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from wire_messages import CODEC, SENDER, Everything, Part, Ping, Update, same

from troth.errors import LocalError
from troth.wire import MAX_ELEMENTS, WIRE_VERSION, Codec, Message

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


def one_array(dtype: str) -> type[Message]:
    """A message class with one field, an array of `dtype`."""
    scalar = np.dtype(dtype).type
    return type(
        f"One{dtype}",
        (Message,),
        {"__annotations__": {"values": npt.NDArray[scalar]}},  # type: ignore[valid-type]  # the class is made at run time
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("step", [1, 2, -1], ids=["contiguous", "strided", "reversed"])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_layout_of_the_input_does_not_matter(dtype: str, order: str, step: int, size: int) -> None:
    cls = one_array(dtype)
    codec = Codec([cls])
    values = np.arange(2 * size, dtype=np.dtype(dtype).newbyteorder(order))[::step]
    decoded = codec.decode(codec.encode(cls(values)), sender=SENDER).values  # type: ignore[attr-defined]  # see one_array
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


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Update(1, np.float32(1.0)), "float32"),  # type: ignore[arg-type]  # wrong on purpose, as all below
        (Update(1, np.zeros((), np.float32)), r"shape \(\)"),
        (Update(1, np.zeros((2, 2), np.float32)), r"shape \(2, 2\)"),
        (Update(1, np.zeros(2, np.float16)), "float16"),  # type: ignore[arg-type]
        (Update(1, np.zeros(2, np.complex64)), "complex64"),  # type: ignore[arg-type]
        (Update(1, np.array(["a", object()], dtype=object)), "object"),
        (Update(1, np.zeros(2, np.float64)), "expected an array of float32, got float64"),  # type: ignore[arg-type]
        (Update(1, None), "expected an array of float32, got NoneType"),  # type: ignore[arg-type]
        (Update("1", np.zeros(2, np.float32)), "Expected `int`, got `str`"),  # type: ignore[arg-type]
        (Update(2**64, np.zeros(2, np.float32)), "can't serialize ints"),
        (Ping(1001), "Expected `int` <= 1000"),
        (Ping(object()), "object has no wire encoder"),  # type: ignore[arg-type]
        (Part("a", np.zeros(1)), "Part is not a message of this protocol"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded_is_not_sent(message: Message, says: str) -> None:
    with pytest.raises(LocalError, match=says):
        CODEC.encode(message)


def test_text_that_is_not_unicode_is_not_sent() -> None:
    empty = np.zeros(0)
    message = Everything("\ud800", b"", 0.0, False, *(empty.astype(dtype) for dtype in DTYPES))  # type: ignore[arg-type]  # the four dtypes in order
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
    empty = [np.zeros(0, dtype) for dtype in DTYPES]
    besides = 1 + 1 + 13  # the message's own array, its tag, its fields

    def with_names(count: int) -> Everything:
        return Everything("", b"", 0.0, False, *empty, names=["a"] * count)  # type: ignore[arg-type]  # the four dtypes in order

    largest = with_names(MAX_ELEMENTS - besides)
    assert same(CODEC.decode(CODEC.encode(largest), sender=SENDER), largest)
    with pytest.raises(LocalError, match=f"values, above {MAX_ELEMENTS}"):
        CODEC.encode(with_names(MAX_ELEMENTS - besides + 1))


def test_a_codec_needs_a_message_type() -> None:
    with pytest.raises(LocalError, match="at least one message type"):
        Codec([])


def test_the_first_byte_is_the_version() -> None:
    assert CODEC.encode(Ping(0))[0] == WIRE_VERSION == 1
