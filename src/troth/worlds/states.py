"""What a role saves, as the bytes that a disk keeps."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

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
