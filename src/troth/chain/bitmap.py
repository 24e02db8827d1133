"""Which entries of a list are meant, one bit for each."""

from __future__ import annotations

from collections.abc import Iterable


def of(places: Iterable[int], count: int) -> bytes:
    """The bitmap of some places of a list of `count` entries; place 0 is the first byte's lowest
    bit."""
    bits = bytearray(-(-count // 8))
    for place in places:
        assert 0 <= place < count
        bits[place // 8] |= 1 << place % 8
    return bytes(bits)


def places(bitmap: bytes, count: int) -> tuple[int, ...]:
    """The places it means, ascending.

    Raises:
      ValueError: it is not the bitmap of a list of `count` entries.
    """
    if len(bitmap) != -(-count // 8):
        raise ValueError(f"has {len(bitmap)} bytes, not {-(-count // 8)} for {count} entries")
    value = int.from_bytes(bitmap, "little")
    if value >> count:
        raise ValueError(f"means entries beyond the last of {count}")
    return tuple(place for place in range(count) if value >> place & 1)
