"""A TLS ClientHello as it is seen by whoever watches (RFC 8446, 4.1.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

SERVER_NAME, PRE_SHARED_KEY, EARLY_DATA, KEY_SHARE = 0, 41, 42, 51
HANDSHAKE, CLIENT_HELLO = 22, 1


@dataclass(frozen=True)
class ClientHello:
    random: bytes
    session_id: bytes
    ciphers: bytes
    extensions: tuple[tuple[int, bytes], ...]

    @property
    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.extensions]

    def fingerprint(self) -> tuple[object, ...]:
        """All that is not fresh and random each time; of key shares, their groups and sizes."""
        fixed = [(kind, data) for kind, data in self.extensions if kind != KEY_SHARE]
        (shares,) = (data for kind, data in self.extensions if kind == KEY_SHARE)
        return self.ciphers, len(self.session_id), tuple(self.kinds), tuple(fixed), _groups(shares)


def parse_client_hello(data: bytes) -> ClientHello:
    """The one that a client's bytes begin with."""
    assert data[0] == HANDSHAKE
    (size,) = struct.unpack(">H", data[3:5])
    body = data[5 : 5 + size]
    assert body[0] == CLIENT_HELLO
    assert int.from_bytes(body[1:4]) == size - 4, "it goes on in another record"
    random, rest = body[6:38], body[38:]
    session_id, rest = _vector(rest, 1)
    ciphers, rest = _vector(rest, 2)
    _, rest = _vector(rest, 1)
    inner, rest = _vector(rest, 2)
    assert not rest
    extensions = []
    while inner:
        kind = int.from_bytes(inner[:2])
        content, inner = _vector(inner[2:], 2)
        extensions.append((kind, content))
    return ClientHello(random, session_id, ciphers, tuple(extensions))


def _groups(shares: bytes) -> tuple[tuple[int, int], ...]:
    inner, _ = _vector(shares, 2)
    groups = []
    while inner:
        group = int.from_bytes(inner[:2])
        key, inner = _vector(inner[2:], 2)
        groups.append((group, len(key)))
    return tuple(groups)


def _vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    """Bytes that a length of `width` bytes stands before, and what follows."""
    size = int.from_bytes(data[:width])
    assert width + size <= len(data)
    return data[width : width + size], data[width + size :]
