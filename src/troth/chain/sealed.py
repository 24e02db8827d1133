"""A sealed record: a wire message, its one canonical encoding, and a digest that tells its fields
apart.

The *index* of a record lists the length and SHA-256 of each field's bytes; the record's digest is
that of its index. Whoever keeps the index beside the bytes can say which field was altered, even
where what is left no longer decodes.

A message may be written in several ways (`troth.wire`), so only what `seal` writes is taken: one
content, one encoding, one digest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Generic, TypeVar

import msgspec

from troth.crypto.digest import DIGEST_BYTES
from troth.errors import PeerError
from troth.ids import NodeId
from troth.wire import WIRE_VERSION, Codec, Message

M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)

LENGTH_BYTES = 4
ENTRY_BYTES = LENGTH_BYTES + DIGEST_BYTES

HEAD = "head"
"""What stands before the first field: the wire version, the number of fields, the message's tag."""

_OURSELVES = NodeId("ourselves")
_FIELDS = msgspec.msgpack.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class Sealed(Generic[M_co]):
    """A message, and what names it. Equal digests mean equal messages."""

    content: M_co = field(compare=False)
    data: bytes = field(compare=False, repr=False)
    index: bytes = field(compare=False, repr=False)
    digest: bytes


def seal(codec: Codec, content: M) -> Sealed[M]:
    """The record that holds `content`. Arrays in it become views of the record's own bytes.

    Raises:
      LocalError: it cannot be encoded, or is larger than the codec allows.
    """
    return unseal(codec, type(content), codec.encode(content), sender=_OURSELVES)


def unseal(codec: Codec, kind: type[M], data: bytes, *, sender: NodeId) -> Sealed[M]:
    """The record that a peer sent as `data`: well-formed, and nothing more is known of it.

    Raises:
      PeerError: `data` is not what `seal` writes for any message of that kind; the culprit is
        `sender`.
    """
    content = codec.decode(data, sender=sender)
    if not isinstance(content, kind):
        raise PeerError(
            f"sent a {type(content).__name__} instead of a {kind.__name__}", culprits=(sender,)
        )
    if not codec.writes(content, data):
        raise PeerError(f"sent a {kind.__name__} in an encoding of its own", culprits=(sender,))
    index = index_of(data)
    return Sealed(content, data, index, index_digest(index))


def field_names(kind: type[Message]) -> tuple[str, ...]:
    """What the entries of an index stand for, in their order."""
    return (HEAD, *kind.__struct_fields__)


def index_of(data: bytes) -> bytes:
    """The index of a well-formed record: one entry for its head, and one for each field."""
    fields: list[bytes | memoryview] = [
        memoryview(raw) for raw in _FIELDS.decode(memoryview(data)[1:])[1:]
    ]
    head = data[: len(data) - sum(map(len, fields))]
    return b"".join(
        len(part).to_bytes(LENGTH_BYTES) + sha256(part).digest() for part in (head, *fields)
    )


def index_digest(index: bytes) -> bytes:
    """The digest of the record that `index` is of."""
    return sha256(b"troth-record\0" + bytes((WIRE_VERSION,)) + index).digest()


def altered_field(data: bytes, index: bytes) -> int | None:
    """The first field of `data` that is not what `index` says, as its place in the index; bytes
    after the last field are the last field's. None where all are."""
    start = 0
    for place in range(len(index) // ENTRY_BYTES):
        entry = index[place * ENTRY_BYTES : (place + 1) * ENTRY_BYTES]
        stop = start + int.from_bytes(entry[:LENGTH_BYTES])
        if sha256(data[start:stop]).digest() != entry[LENGTH_BYTES:]:
            return place
        start = stop
    return None if start == len(data) else len(index) // ENTRY_BYTES - 1
