"""Messages as pieces: the bytes that a codec writes, but for the arrays, which stay where they are.

A simulation hands messages from one role to another within one process. Its traces and counts need
a message's exact bytes, but nobody needs them in one place, and for a message that is nearly all
array, writing them there is most of the work. Joined, the pieces are what `Codec.encode` gives.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128

from troth.wire import WIRE_VERSION, Codec, Message, code_of, decode_array, decode_extension

SMALL_BYTES = 1024
"""Messages whose arrays have no more than this are written in one piece: to copy it costs less
than to take it apart."""

MAX_FORMS = 1024
"""Forms of messages that are remembered; when there are more, all are forgotten."""

MAX_TEXT = 256
"""The longest text, in characters or bytes, of a message that is taken apart: forms hold theirs."""

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class _Form:
    """What messages have in common that differ in the contents of their arrays only.

    Args:
      between: the bytes before the first array, between any two, and after the last.
      size: of the whole message, in bytes.
    """

    between: tuple[bytes, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """One message; `size` in bytes."""

    between: tuple[bytes, ...]
    arrays: tuple[Array, ...]
    size: int

    def join(self) -> bytes:
        """The message as the codec writes it."""
        parts: list[bytes | memoryview] = [self.between[0]]
        for array_N, after in zip(self.arrays, self.between[1:], strict=True):
            parts += (array_N.data.cast("B"), after)
        return b"".join(parts)

    def fingerprint(self) -> bytes:
        """XXH3-128 of the message's bytes: it tells apart what differs by accident, and nothing
        that somebody has made alike on purpose."""
        digest = xxh3_128(self.between[0])
        for array_N, after in zip(self.arrays, self.between[1:], strict=True):
            digest.update(array_N.data)
            digest.update(after)
        return digest.digest()


class PieceWriter:
    """Takes messages of one codec apart, where that is worth it and safe.

    Whoever is handed such a message gets the sender's own object instead of a decoded copy. So a
    message is taken apart only if nobody could tell: its fields are integers, texts, bytes and
    read-only arrays, and decoding it would give the same types.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._encoder = msgspec.msgpack.Encoder()
        self._decoders: dict[type[Message], msgspec.msgpack.Decoder[Any]] = {}
        self._forms: dict[Hashable, _Form | None] = {}

    def write(self, message: Message) -> Pieces | None:
        """The message as pieces; None where the codec has to write it in one, or to refuse it."""
        kind = type(message)
        key: list[Hashable] = [kind]
        arrays: list[Array] = []
        size = 0
        for name in kind.__struct_fields__:
            value = getattr(message, name)
            of = type(value)
            if of is np.ndarray:
                flags = value.flags
                if flags.writeable or not flags.c_contiguous or value.ndim != 1:
                    return None
                key.append((value.dtype, value.size))
                arrays.append(value)
                size += value.nbytes
            elif of is int or ((of is str or of is bytes) and len(value) <= MAX_TEXT):
                key.append(value)
            else:
                return None
        if size <= SMALL_BYTES:
            return None
        form_key = tuple(key)
        form = self._forms.get(form_key)
        if form is None:
            if form_key in self._forms:
                return None
            if len(self._forms) >= MAX_FORMS:
                self._forms.clear()
            form = self._forms[form_key] = self._form(message, arrays)
            if form is None:
                return None
        return Pieces(form.between, tuple(arrays), form.size)

    def _form(self, message: Message, arrays: Sequence[Array]) -> _Form | None:
        """None where the codec would not take the message, or decode it to other types."""
        kind = type(message)
        if not self._codec.knows(kind) or any(code_of(array_N) is None for array_N in arrays):
            return None
        values = [getattr(message, name) for name in kind.__struct_fields__]
        encode = self._encoder.encode
        nothing = [None] * (len(values) + 1)
        bare = bytes((WIRE_VERSION,)) + encode(nothing)[: -len(nothing)]
        bare += encode(kind.__struct_config__.tag)
        full = bare
        between: list[bytes] = []
        for value in values:
            if isinstance(value, np.ndarray):
                code = code_of(value)
                assert code is not None
                head = encode(msgspec.msgpack.Ext(code, bytes(value.nbytes)))
                between.append(full + head[: len(head) - value.nbytes])
                full = b""
                bare += encode(msgspec.msgpack.Ext(code, b""))
            else:
                try:
                    written = encode(value)
                except OverflowError:
                    return None
                full += written
                bare += written
        between.append(full)
        size = sum(map(len, between)) + sum(array_N.nbytes for array_N in arrays)
        if size > self._codec.max_bytes:
            return None
        try:
            decoded = self._decoder(kind).decode(bare[1:])
        except (msgspec.MsgspecError, ValueError):
            return None
        same = all(
            isinstance(value, np.ndarray) or type(getattr(decoded, name)) is type(value)
            for name, value in zip(kind.__struct_fields__, values, strict=True)
        )
        return _Form(tuple(between), size) if same else None

    def _decoder(self, kind: type[Message]) -> msgspec.msgpack.Decoder[Any]:
        decoder = self._decoders.get(kind)
        if decoder is None:
            decoder = self._decoders[kind] = msgspec.msgpack.Decoder(
                kind, dec_hook=decode_array, ext_hook=decode_extension
            )
        return decoder
