"""What a role saves, as the bytes that a disk keeps."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from troth.wire import decode_array, decode_extension, encode_array

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


_ELSEWHERE = 127
"""Extension type of an array that lies beside a kept state's bytes."""


class KeptState:
    """A state as a simulated node keeps it: `encode_state` of it, but for read-only arrays.

    Those stay where they are, as nobody can change them, and are shared with the messages and
    results that hold them too. Anything else is copied when the state is kept.
    """

    __slots__ = ("_arrays", "_rest")

    def __init__(self, state: object) -> None:
        self._arrays: list[npt.NDArray[Any]] = []
        self._rest = msgspec.msgpack.encode(state, enc_hook=self._put_aside)

    def _put_aside(self, value: object) -> msgspec.msgpack.Ext:
        if not isinstance(value, np.ndarray) or value.flags.writeable:
            return encode_array(value)
        encode_array(value[:0])
        self._arrays.append(value)
        return msgspec.msgpack.Ext(_ELSEWHERE, (len(self._arrays) - 1).to_bytes(4))

    def bytes(self) -> bytes:
        """What `encode_state` gives."""
        if not self._arrays:
            return self._rest

        def array(code: int, data: memoryview) -> object:
            if code == _ELSEWHERE:
                return self._arrays[int.from_bytes(data)]
            return msgspec.msgpack.Ext(code, bytes(data))

        return _encoder.encode(msgspec.msgpack.decode(self._rest, ext_hook=array))
