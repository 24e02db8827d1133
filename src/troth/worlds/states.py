"""What a role saves, as the bytes that a disk keeps."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np

from troth.wire import code_of, decode_array, decode_extension, encode_array

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_array)


@cache
def _decoder(type_: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(type_, dec_hook=decode_array, ext_hook=decode_extension)


def encode_state(state: object) -> bytes:
    """A struct or computed value as bytes, as a disk would keep it."""
    return _encoder.encode(state)


def decode_state(type_: Any, data: bytes) -> Any:
    """The inverse of `encode_state`."""
    return _decoder(type_).decode(data)


_UNCHANGING = frozenset({int, float, bool, str, bytes, type(None)})


class KeptState:
    """A state as a simulated node keeps it.

    A struct that nobody can change, of plain values and read-only arrays, is kept as it is, and
    shares its arrays with the messages and results that hold them too. Of anything else the bytes
    are made at once.
    """

    __slots__ = ("_state",)

    def __init__(self, state: msgspec.Struct) -> None:
        self._state: msgspec.Struct | bytes = state if _unchanging(state) else encode_state(state)

    def whole(self) -> bytes:
        """What `encode_state` gives of the state as it was when it was kept."""
        return self._state if isinstance(self._state, bytes) else encode_state(self._state)


def _unchanging(state: msgspec.Struct) -> bool:
    if not state.__struct_config__.frozen:
        return False
    for name in state.__struct_fields__:
        value = getattr(state, name)
        if type(value) is np.ndarray:
            if value.flags.writeable or value.ndim != 1 or code_of(value) is None:
                return False
        elif type(value) not in _UNCHANGING:
            return False
    return True
