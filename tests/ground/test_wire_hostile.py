"""Whatever bytes arrive, the codec gives a message or blames the sender, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_messages import CODEC, SENDER, Everything, Part, Ping, Update

from troth.errors import PeerError
from troth.wire import (
    MAX_ELEMENT_BYTES,
    MAX_ELEMENTS,
    MAX_SHOWN_CHARACTERS,
    Message,
    check_elements,
)

BYTES_HELD_PER_BYTE = 6
"""The small multiple that the codec promises: text of one wide character and many narrow ones is
held at four bytes per character, twice while it grows."""

VALID = [
    CODEC.encode(message)
    for message in (
        Ping(3),
        Update(1, np.arange(5, dtype=np.float32)),
        Everything(
            "text",
            b"raw",
            1.5,
            True,
            np.ones(3, np.float32),
            np.ones(300, np.uint32),
            np.ones(1, np.int64),
            np.zeros(0, np.float64),
            maybe=np.ones(2),
            names=["a", "b" * 40],
            table={"x": 1, "y": -(2**40)},
            parts=[Part("p", np.ones(2))],
            arrays=[np.zeros(2, np.float32)] * 3,
        ),
    )
]


def decode_or_blame(data: bytes) -> Message | None:
    """The message, or None where the sender was blamed; any other exception fails the test."""
    try:
        message = CODEC.decode(data, sender=SENDER)
    except PeerError as error:
        blamed = error
    else:
        assert isinstance(message, Ping | Update | Everything)
        return message
    assert blamed.culprits == (SENDER,)
    assert str(blamed).isprintable()
    assert len(str(blamed)) < 10 * MAX_SHOWN_CHARACTERS + 100
    return None


int64s = st.integers(-(2**63), 2**63 - 1)
scalars = [
    st.none(),
    st.booleans(),
    int64s,
    st.integers(2**63, 2**64 - 1),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(["Ping", "Update", "Everything"]),
    st.binary(max_size=20),
    st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=16)),
]
msgpack_values = st.recursive(
    st.one_of(scalars),
    lambda inner: (
        st.lists(inner, max_size=14)
        | st.dictionaries(int64s | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x01")
@example(b"\x01\xc1")
def test_any_bytes(data: bytes) -> None:
    decode_or_blame(data)
    decode_or_blame(b"\x01" + data)


@given(msgpack_values)
def test_any_msgpack(value: object) -> None:
    decode_or_blame(b"\x01" + msgspec.msgpack.encode(value))


@given(st.sampled_from(["Ping", "Update", "Everything"]), st.lists(msgpack_values, max_size=14))
def test_any_fields_behind_a_known_tag(tag: str, fields: list[object]) -> None:
    decode_or_blame(b"\x01" + msgspec.msgpack.encode([tag, *fields]))


@given(st.sampled_from(VALID), st.data())
def test_flipped_bits(valid: bytes, data: st.DataObject) -> None:
    mutated = bytearray(valid)
    for bit in data.draw(st.lists(st.integers(0, 8 * len(valid) - 1), min_size=1, max_size=4)):
        mutated[bit // 8] ^= 1 << bit % 8
    decode_or_blame(bytes(mutated))


@given(st.sampled_from(VALID), st.sampled_from(VALID), st.data())
def test_splices(head: bytes, tail: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(head)))
    resume = data.draw(st.integers(0, len(tail)))
    filling = data.draw(st.binary(max_size=6))
    decode_or_blame(head[:cut] + filling + tail[resume:])


@pytest.mark.parametrize("valid", VALID, ids=["Ping", "Update", "Everything"])
def test_every_truncation_and_every_trailing_byte_is_refused(valid: bytes) -> None:
    assert decode_or_blame(valid) is not None
    for length in range(len(valid)):
        assert decode_or_blame(valid[:length]) is None
    for extra in range(256):
        assert decode_or_blame(valid + bytes([extra])) is None


@pytest.mark.parametrize("version", [0, *range(2, 256)])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(PeerError, match=f"version {version} instead of wire version 1"):
        CODEC.decode(bytes([version]) + VALID[0][1:], sender=SENDER)


def test_what_a_peer_chose_is_shown_escaped_and_short() -> None:
    tag = "\x1b[31m\n\u202e" + "A" * 100_000
    with pytest.raises(PeerError) as caught:
        CODEC.decode(b"\x01" + msgspec.msgpack.encode([tag]), sender=SENDER)
    assert "\\x1b[31m\\n\\u202eAAA" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def array32(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4)


def map32(count: int) -> bytes:
    return b"\xdf" + count.to_bytes(4)


def ext32(code: int, size: int) -> bytes:
    return b"\xc9" + size.to_bytes(4) + code.to_bytes(1)


N = 2**20
UPDATE = b"\x01\x93\xa6Update\x01"
"""Up to where the array should begin."""
EVERYTHING = (
    b"\x01\x9e\xaaEverything\xa0\xc4\x00\xca\0\0\0\0\xc2"
    b"\xc7\x00\x01\xc7\x00\x02\xc7\x00\x03\xc7\x00\x04\xc0"
)
"""Up to where the list of names should begin."""
TEXT = b"\x01\x99\xaaEverything"
"""Up to where the text should begin."""

HOSTILE = {
    "array of 4 Gi values, none there": b"\x01" + array32(2**32 - 1),
    "array of 4 Gi values with a known tag": b"\x01" + array32(2**32 - 1) + b"\xa6Update",
    "map of 4 Gi keys": b"\x01" + map32(2**32 - 1),
    "string of 4 GiB": b"\x01\x93\xdb\xff\xff\xff\xff",
    "binary of 4 GiB": UPDATE + b"\xc6\xff\xff\xff\xff",
    "extension of 4 GiB": UPDATE + ext32(1, 2**32 - 1),
    "names: 4 Gi of them": EVERYTHING + array32(2**32 - 1) + b"\xa1a" * 100,
    "table: 4 Gi keys": EVERYTHING + b"\x90" + map32(2**32 - 1) + b"\xa1a\x01" * 100,
    "deep arrays": UPDATE + b"\x91" * N,
    "arrays as deep as the element bound": UPDATE + b"\x91" * (MAX_ELEMENTS - 4),
    "deep maps": UPDATE + b"\x81\x01" * N,
    "maps as deep as the element bound": UPDATE + b"\x81\x01" * (MAX_ELEMENTS // 2 - 4),
    "a million empty lists for an array": UPDATE + array32(N) + b"\x90" * N,
    "a million empty maps for an array": UPDATE + array32(N) + b"\x80" * N,
    "a million maps of one key for an array": UPDATE + array32(N) + b"\x81\x01\x80" * N,
    "a million empty arrays for an array": UPDATE + array32(N) + b"\xc7\x00\x01" * N,
    "a map of a million keys for an array": UPDATE + map32(N)
    + b"".join(b"\xce" + key.to_bytes(4) + b"\xc0" for key in range(N)),
    "a million names": EVERYTHING + array32(N) + b"\xa1a" * N,
    "as many arrays as allowed": EVERYTHING + b"\x90\x80\x90"
    + array32(MAX_ELEMENTS - 20) + b"\xc7\x00\x01" * (MAX_ELEMENTS - 20),
    "as many names as allowed": EVERYTHING + array32(MAX_ELEMENTS - 20)
    + b"\xa1a" * (MAX_ELEMENTS - 20) + b"\x80\x90\x90",
    "as many maps as allowed": UPDATE + array32(MAX_ELEMENTS // 3 - 9)
    + b"\x81\x01\x80" * (MAX_ELEMENTS // 3 - 9),
    "text of one wide character": TEXT + b"\xdb" + (N + 4).to_bytes(4)
    + b"a" * N + "\U0001f600".encode(),
    "text that is not Unicode": TEXT + b"\xdb" + N.to_bytes(4) + b"a" * (N - 1) + b"\xff",
    "a tag of a mebibyte": b"\x01\x93\xdb" + N.to_bytes(4) + b"A" * N,
    "an array of a mebibyte of the wrong type": UPDATE + ext32(4, N) + b"\x00" * N,
    "an unknown extension of a mebibyte": UPDATE + ext32(9, N) + b"\x00" * N,
    "a million trailing bytes": VALID[0] + b"\x90" * N,
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_memory_is_bounded_by_the_bytes_sent(data: bytes) -> None:
    tracemalloc.start()
    try:
        decode_or_blame(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Few values announced: only the multiple of what was sent counts. Otherwise each has its bound.
    try:
        check_elements(data, 1)
        values = min(len(data), MAX_ELEMENTS)
    except ValueError:
        values = 0
    allowed_bytes = BYTES_HELD_PER_BYTE * len(data) + values * MAX_ELEMENT_BYTES + 64 * 1024
    assert peak_bytes <= allowed_bytes


def test_hostile_headers_decode_under_a_hard_memory_limit() -> None:
    """The kernel's own count: what native code takes is in it, which tracemalloc may not see."""
    program = """
import resource
from test_wire_hostile import HOSTILE, decode_or_blame
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
limit = used + 128 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for name, data in HOSTILE.items():
    decode_or_blame(data)
print(len(HOSTILE))
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == str(len(HOSTILE)), result.stderr


def test_large_arrays_are_not_copied() -> None:
    data = CODEC.encode(Update(1, np.zeros(N, np.float32)))
    tracemalloc.start()
    try:
        message = decode_or_blame(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(message, Update)
    assert message.update_D.nbytes == 4 * N
    assert peak_bytes < 64 * 1024


@given(msgpack_values, st.binary(max_size=3))
@example({str(key): None for key in range(20)}, b"")
@example({str(key): None for key in range(20_000)}, b"")
@example([b"\x90" * size for size in (0, 200, 300, 70_000)], b"")
@example(["\x7f" * size for size in (0, 32, 300, 70_000)], b"")
@example(
    [msgspec.msgpack.Ext(1, b"\x90" * size) for size in (0, 1, 2, 3, 4, 8, 16, 17, 300, 70_000)],
    b"",
)
@example([[None] * size for size in (0, 15, 16, 300)], b"")
def test_the_element_walk_agrees_with_the_decoder(value: object, prefix: bytes) -> None:
    """Counted independently: the walk refuses exactly when the bound is below the true count."""

    def count(value: object) -> int:
        if isinstance(value, dict):
            return 1 + len(value) + sum(map(count, value.values()))
        return 1 + (sum(map(count, value)) if isinstance(value, list) else 0)

    encoded = msgspec.msgpack.encode(value)
    room = MAX_ELEMENTS - count(value) - 1
    fits = array32(room + 1) + encoded + b"\xc0" * room
    check_elements(prefix + fits, len(prefix))
    above = array32(room + 2) + encoded + b"\xc0" * (room + 1)
    with pytest.raises(ValueError, match=f"values, above {MAX_ELEMENTS}"):
        check_elements(prefix + above, len(prefix))


def test_a_map_counts_its_keys_and_its_values() -> None:
    check_elements(map32((MAX_ELEMENTS - 1) // 2))
    with pytest.raises(ValueError, match=f"at least {MAX_ELEMENTS + 1} values"):
        check_elements(map32(MAX_ELEMENTS // 2))
