"""The bounded, versioned message codec.

A message is one version byte and a msgpack array: the message's tag, then its fields in order.
Arrays travel as msgpack extension types (one per element type), little-endian and flat. Decoding
checks every type and length before anything is kept, and blames the sender for whatever does not
fit.

What a sender can make us hold while decoding is bounded by a small multiple of the bytes it sent
(arrays are not copied at all) plus `MAX_ELEMENTS` values of at most `MAX_ELEMENT_BYTES` each. The
walk that counts them comes first, because msgspec builds whatever stands in an array's place before
it asks `dec_hook` about it: a map with one key, three bytes there, becomes 300 here.

The same message may be written in several ways: msgpack can spend more bytes than needed on a
number or a length. Sign and hash a message's fields, or its bytes as received, never what one hopes
its bytes were.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from troth.errors import LocalError, PeerError
from troth.ids import NodeId

WIRE_VERSION = 1
MAX_MESSAGE_BYTES = 256 * 2**20
"""Largest message a codec takes unless it is told a smaller bound."""
MAX_ELEMENTS = 2**16
"""Most msgpack values in one message. A troth array is one value, however long."""
MAX_ELEMENT_BYTES = 512
"""Most memory that one msgpack value takes beyond its own bytes; an array's view takes most."""
MAX_SHOWN_CHARACTERS = 160
"""How much of a decoder's complaint goes into an error: it may quote what the peer sent."""

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


class Channel(Enum):
    """What a message needs of the way that it travels."""

    BROADCAST = "broadcast"
    """Whoever gets it knows who sent it, every node of the run may read it, and all are meant to
    get the same. That they did get the same is for the protocol to check where it matters."""
    AUTHENTICATED = "authenticated"
    """It is for one node, or some, and whoever gets it knows who sent it. Nothing is lost if others
    read it."""
    CONFIDENTIAL = "confidential"
    """As `AUTHENTICATED`, and nobody may read it but its sender and its receiver."""
    ANONYMOUS = "anonymous"
    """Nobody may read it but its sender and its receiver. Whoever asks shows no name and cannot be
    found by an address; whoever answers proves who it is. Only such messages travel by Tor."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """What nodes send to each other. Subclasses declare their fields; the class name is the tag.

    Facts about a message stand on its class as class variables. They are no fields, so they are
    never sent, and leave encodings and digests alone.
    """

    channel: ClassVar[Channel]
    """Stated by every class that is sent, or by a base of it."""


# What follows each of msgpack's 256 first bytes (msgpack specification, "Formats"): so many bytes
# to skip, so many values inside, or a length of so many bytes that counts either.
_SKIPPED = [0] * 256
_INSIDE = [0] * 256
_LENGTH_WIDTH = [0] * 256
_SKIPPED[0xA0:0xC0] = range(32)  # short strings
_SKIPPED[0xCA:0xCC] = (4, 8)  # floats
_SKIPPED[0xCC:0xD0] = (1, 2, 4, 8)  # unsigned
_SKIPPED[0xD0:0xD4] = (1, 2, 4, 8)  # signed
_SKIPPED[0xD4:0xD9] = (2, 3, 5, 9, 17)  # extensions of fixed size, with their type
_INSIDE[0x80:0x90] = range(0, 32, 2)  # small maps
_INSIDE[0x90:0xA0] = range(16)  # small arrays
_LENGTH_WIDTH[0xC4:0xC7] = (1, 2, 4)  # binary
_LENGTH_WIDTH[0xC7:0xCA] = (1, 2, 4)  # extensions
_LENGTH_WIDTH[0xD9:0xDC] = (1, 2, 4)  # strings
_LENGTH_WIDTH[0xDC:0xDE] = (2, 4)  # arrays
_LENGTH_WIDTH[0xDE:0xE0] = (2, 4)  # maps
_EXTENSION_HEADS = range(0xC7, 0xCA)
_ARRAY_HEADS = range(0xDC, 0xDE)
_MAP_HEADS = range(0xDE, 0xE0)


def check_elements(data: bytes | memoryview, start: int = 0) -> None:
    """Walk over the msgpack value that begins at `start`, from first byte to first byte.

    Keeps nothing, takes at most `MAX_ELEMENTS` steps, and leaves truncated or invalid input to the
    decoder, which meets it at the same place.

    Raises:
      ValueError: the value holds more than `MAX_ELEMENTS` values.
    """
    position, announced, seen = start, 1, 0
    while seen < announced and position < len(data):
        head = data[position]
        position += 1 + _SKIPPED[head]
        seen += 1
        width = _LENGTH_WIDTH[head]
        if width == 0:
            announced += _INSIDE[head]
        else:
            length = int.from_bytes(data[position : position + width])
            position += width
            if head in _ARRAY_HEADS:
                announced += length
            elif head in _MAP_HEADS:
                announced += 2 * length
            else:
                position += length + (head in _EXTENSION_HEADS)
        if announced > MAX_ELEMENTS:
            raise ValueError(f"at least {announced} values, above {MAX_ELEMENTS}")


def shown(error: Exception) -> str:
    """The error's text, shortened and with everything escaped that could steer a terminal."""
    text = str(error)
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = text[:MAX_SHOWN_CHARACTERS] + "..."
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def code_of(array: npt.NDArray[Any]) -> int | None:
    """The extension type that arrays of this element type travel as; None where there is none, or
    where the elements do not lie in memory as they travel."""
    return _CODES.get(array.dtype)


def encode_array(value: object) -> msgspec.msgpack.Ext:
    """`enc_hook` of msgspec: a one-dimensional array as an extension value."""
    if not isinstance(value, np.ndarray):
        raise LocalError(f"a {type(value).__name__} has no wire encoder")
    code = _CODES.get(value.dtype.newbyteorder("<"))
    if code is None or value.ndim != 1:
        raise LocalError(f"an array of {value.dtype} with shape {value.shape} has no wire encoder")
    little = np.ascontiguousarray(value, dtype=_EXTENSIONS[code])
    return msgspec.msgpack.Ext(code, little.data.cast("B") if little.size else b"")


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
    if not isinstance(value, np.ndarray) or value.dtype != np.dtype(declared).newbyteorder("<"):
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
        """The message's bytes, which every node of this protocol can decode.

        Raises:
          LocalError: as `encode_buffer`.
        """
        return bytes(self.encode_buffer(message))

    def encode_buffer(self, message: Message) -> bytearray:
        """The same in a buffer of the caller's own, which saves a copy of a large message.

        It is decoded once here (arrays are not copied), so that whoever receives a mistake of
        ours never takes it for an attack.

        Raises:
          LocalError: a type this codec does not know, a field that is not what its class declares,
            or more than `max_bytes` or `MAX_ELEMENTS`.
        """
        name = type(message).__name__
        if type(message) not in self._types:
            raise LocalError(f"{name} is not a message of this protocol")
        buffer = bytearray((WIRE_VERSION,))
        try:
            self._encoder.encode_into(message, buffer, 1)
            if len(buffer) <= self.max_bytes:
                self._parse(memoryview(buffer).toreadonly())
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
            raise LocalError(f"{name} cannot be sent: {shown(error)}") from error
        if len(buffer) > self.max_bytes:
            raise LocalError(f"{name} is {len(buffer)} bytes, above max_bytes = {self.max_bytes}")
        return buffer

    def knows(self, type: type[Message]) -> bool:
        """Whether messages of this class may be sent."""
        return type in self._types

    def writes(self, message: Message, data: bytes) -> bool:
        """Whether `data`, which `message` was decoded from, is what `encode` makes of it."""
        buffer = bytearray((WIRE_VERSION,))
        self._encoder.encode_into(message, buffer, 1)
        return buffer == data

    def decode(self, data: bytes | memoryview, *, sender: NodeId) -> Message:
        """The message that `data` holds.

        Its arrays are read-only views of `data` and need not be aligned.

        Raises:
          PeerError: `data` is not exactly one message of this protocol; the culprit is `sender`.
        """
        if len(data) > self.max_bytes:
            raise PeerError(
                f"sent {len(data)} bytes, above max_bytes = {self.max_bytes}", culprits=(sender,)
            )
        if not data or data[0] != WIRE_VERSION:
            found = "nothing" if not data else f"version {data[0]}"
            raise PeerError(
                f"sent {found} instead of wire version {WIRE_VERSION}", culprits=(sender,)
            )
        try:
            return self._parse(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise PeerError(
                f"sent a malformed message: {shown(error)}", culprits=(sender,)
            ) from None

    def _parse(self, data: bytes | memoryview) -> Message:
        check_elements(data, 1)
        message: Message = self._decoder.decode(memoryview(data)[1:])
        return message
