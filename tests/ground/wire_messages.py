"""Messages that use everything the codec carries, for its tests and its fuzz target."""

from __future__ import annotations

import struct
from typing import Annotated

import msgspec
import numpy as np

from troth.ids import NodeId
from troth.wire import Codec, Float32s, Float64s, Int64s, Message, UInt32s

SENDER = NodeId("party-3")


class Ping(Message, frozen=True):
    round: Annotated[int, msgspec.Meta(ge=0, le=1000)]


class Update(Message, frozen=True):
    round: int
    update_D: Float32s


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A struct inside a message, with an array of its own."""

    name: str
    values: Float64s


class Everything(Message, frozen=True):
    text: str
    raw: bytes
    number: float
    flag: bool
    floats: Float32s
    counts: UInt32s
    wholes: Int64s
    doubles: Float64s
    maybe: Float64s | None = None
    names: list[str] = msgspec.field(default_factory=list)
    table: dict[str, int] = msgspec.field(default_factory=dict)
    parts: list[Part] = msgspec.field(default_factory=list)
    arrays: list[Float32s] = msgspec.field(default_factory=list)


CODEC = Codec([Ping, Update, Everything])


def same(left: object, right: object) -> bool:
    """Equal type and equal bits: NaNs with their payload, and -0.0 apart from 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    if isinstance(left, msgspec.Struct) and isinstance(right, msgspec.Struct):
        return same(list(msgspec.structs.astuple(left)), list(msgspec.structs.astuple(right)))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right
