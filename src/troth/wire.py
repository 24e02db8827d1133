"""The bounded, versioned message codec.

A message is one version byte and a msgpack array: the message's tag, then its fields in order. Arrays
travel as msgpack extension types (one per element type), little-endian and flat. Decoding checks
every type and length before anything is kept, never allocates more than a small multiple of the bytes
it was given, and blames the sender for whatever does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from troth.errors import LocalError, PeerError
from troth.ids import NodeId

WIRE_VERSION = 1
MAX_MESSAGE_BYTES = 256 * 2**20
"""Largest message a codec takes unless it is told a smaller bound."""

Float32s = npt.NDArray[np.float32]
UInt32s = npt.NDArray[np.uint32]
Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

_EXTENSIONS: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<u4"),
    3: np.dtype("<i8"),
    4: np.dtype("<f8"),
}
_CODES = {dtype: code for code, dtype in _EXTENSIONS.items()}


class Message(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True
):
    """What nodes send to each other. Subclasses declare their fields; the class name is the tag."""


def encode_array(value: object) -> msgspec.msgpack.Ext:
    """`enc_hook` of msgspec: a one-dimensional array as an extension value."""
    if not isinstance(value, np.ndarray):
        raise LocalError(f"a {type(value).__name__} has no wire encoder")
    code = _CODES.get(value.dtype.newbyteorder("<"))
    if code is None or value.ndim != 1:
        raise LocalError(f"an array of {value.dtype} with shape {value.shape} has no wire encoder")
    little = np.ascontiguousarray(value, dtype=_EXTENSIONS[code])
    return msgspec.msgpack.Ext(code, memoryview(little).cast("B") if little.size else b"")


def decode_extension(code: int, data: memoryview) -> object:
    """`ext_hook` of msgspec: a read-only view of the message's own bytes, nothing is copied."""
    dtype = _EXTENSIONS.get(code)
    if dtype is None:
        raise ValueError(f"unknown extension type {code}")
    if len(data) % dtype.itemsize:
        raise ValueError(f"{len(data)} bytes are not a whole number of {dtype} values")
    return np.frombuffer(data, dtype=dtype)


def decode_array(expected: Any, value: object) -> object:
    """`dec_hook` of msgspec: the array has the element type that the field declares."""
    declared = get_args(get_args(expected)[1])[0]
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(declared):
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"expected an array of {np.dtype(declared)}, got {found}")
    return value


class Codec:
    """Encodes and decodes the messages of one protocol.

    Args:
      types: every message class that may arrive; anything else is refused.
      max_bytes: the largest message taken or made, in bytes.
    """

    def __init__(
        self, types: Sequence[type[Message]], *, max_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        if not types:
            raise LocalError("a codec needs at least one message type")
        union: Any = types[0]
        for other in types[1:]:
            union = union | other
        self.max_bytes = max_bytes
        self._types = tuple(types)
        self._encoder = msgspec.msgpack.Encoder(enc_hook=encode_array)
        self._decoder = msgspec.msgpack.Decoder(
            union, dec_hook=decode_array, ext_hook=decode_extension
        )

    def encode(self, message: Message) -> bytes:
        """The message's bytes.

        Raises:
          LocalError: a type this codec does not know, or more than `max_bytes`.
        """
        if type(message) not in self._types:
            raise LocalError(f"{type(message).__name__} is not a message of this protocol")
        buffer = bytearray((WIRE_VERSION,))
        self._encoder.encode_into(message, buffer, 1)
        if len(buffer) > self.max_bytes:
            raise LocalError(
                f"a {type(message).__name__} of {len(buffer)} bytes is above max_bytes = {self.max_bytes}"
            )
        return bytes(buffer)

    def decode(self, data: bytes, *, sender: NodeId) -> Message:
        """The message that `data` holds; its arrays are read-only views of `data`.

        Raises:
          PeerError: `data` is not exactly one message of this protocol; the culprit is `sender`.
        """
        if len(data) > self.max_bytes:
            raise PeerError(
                f"sent {len(data)} bytes, above max_bytes = {self.max_bytes}", culprits=(sender,)
            )
        if not data or data[0] != WIRE_VERSION:
            found = "nothing" if not data else f"version {data[0]}"
            raise PeerError(f"sent {found} instead of wire version {WIRE_VERSION}", culprits=(sender,))
        try:
            message: Message = self._decoder.decode(memoryview(data)[1:])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise PeerError(f"sent a malformed message: {error}", culprits=(sender,)) from None
        return message
