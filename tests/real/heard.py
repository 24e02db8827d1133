"""What somebody heard on a connection: HTTP messages, and what they carry.

Written without the libraries that send it, so that nothing they add goes unseen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from troth.ids import NodeId
from troth.protocols.tormentor.messages import MESSAGES
from troth.protocols.tormentor.operation.face import CURATE_BYTES
from troth.wire import Codec, Message

CODEC = Codec(MESSAGES, max_bytes=CURATE_BYTES)
MSGPACK = b"application/msgpack"
JSON = b"application/json"

Field = tuple[str, Any]
"""Where it is, `GradientUpdate.puzzle.nonce`, and the value: a number, text, bytes or array."""

Headers = tuple[tuple[bytes, bytes], ...]
"""Names as they were written, and values."""


@dataclass(frozen=True)
class Heard:
    """One request or answer."""

    first: bytes
    """The line before the headers."""
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes:
        return _header(self.headers, name)

    @property
    def head(self) -> bytes:
        """What stands before the body, but for the body's length, which whoever has it knows."""
        others = [
            name + b": " + value
            for name, value in self.headers
            if name.lower() != b"content-length"
        ]
        return b"\r\n".join((self.first, *others, b"", b""))

    @property
    def plain(self) -> bytes:
        return self.head + self.body

    def fields(self) -> list[Field]:
        """What the body says."""
        if not self.body:
            return []
        if self.header(b"content-type") == MSGPACK:
            message = CODEC.decode(self.body, sender=NodeId("somebody"))
            return list(_fields(type(message).__name__, message))
        if self.header(b"content-type") == JSON:
            return list(_fields("json", json.loads(self.body)))
        raise AssertionError(f"a body of a form that is not looked at: {self.headers}")


def heard(data: bytes) -> list[Heard]:
    """All messages that went one way over one connection."""
    messages = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        named = [line.partition(b":") for line in lines]
        headers = tuple((name, value.strip()) for name, _, value in named)
        length = int(_header(headers, b"content-length") or b"0")
        messages.append(Heard(first, headers, rest[:length]))
        data = rest[length:]
    return messages


def _header(headers: Headers, name: bytes) -> bytes:
    return {own.lower(): value for own, value in headers}.get(name, b"")


def said(message: Message) -> Heard:
    """What is heard when a message is sent."""
    body = CODEC.encode(message)
    headers = ((b"content-type", MSGPACK), (b"content-length", str(len(body)).encode()))
    return Heard(b"POST / HTTP/1.1", headers, body)


def _fields(place: str, value: object) -> Iterator[Field]:
    match value:
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from _fields(f"{place}.{name}", getattr(value, name))
        case dict():
            for name, inner in value.items():
                yield from _fields(f"{place}.{name}", inner)
        case str() | bytes() | np.ndarray():
            yield place, value
        case Sequence():
            for inner in value:
                yield from _fields(f"{place}[]", inner)
        case None | bool():
            pass
        case int() | float():
            yield place, value
        case _:
            raise AssertionError(f"{place} is of a type that is not looked at: {type(value)}")
