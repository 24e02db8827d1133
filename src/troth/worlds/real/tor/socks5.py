"""SOCKS version 5 (RFC 1928) with user name and password (RFC 1929), as far as Tor needs it.

httpx can speak SOCKS itself, but its library leaves the connection open when tor refuses one, waits
for tor's answer without any timeout, and raises errors that are not its own.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from httpcore import AsyncNetworkStream

VERSION, PASSWORD, SUCCEEDED = 5, 2, 0
IPV4, NAME, IPV6 = 1, 3, 4
ADDRESS_BYTES = {IPV4: 4, IPV6: 16}

REPLIES = {
    1: "general failure",
    2: "not allowed",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "it took too long",
    7: "unknown command",
    8: "unknown kind of address",
}


class Command(IntEnum):
    CONNECT = 1
    RESOLVE = 0xF0
    """Resolve a name without connecting to it; only Tor has it (socks-extensions, section 2)."""


class SocksError(Exception):
    """The proxy refuses what it is asked, or does not speak SOCKS 5; the message says which."""


async def ask(
    stream: AsyncNetworkStream, credentials: str, command: Command, host: str | bytes, port: int
) -> bytes:
    """Send one command to a SOCKS server, on a connection that was just opened.

    Args:
      credentials: user name and password at once, at most 255 characters of ASCII.
      host: a name, which the server resolves, or the 4 bytes of an IPv4 address.

    Returns:
      The address that the server answers with.

    Raises:
      SocksError: it refuses, hangs up, or says something else.
    """
    if await _exchange(stream, bytes([VERSION, 1, PASSWORD]), 2) != bytes([VERSION, PASSWORD]):
        raise SocksError("it takes no user name and password")
    own = credentials.encode("ascii")
    login = b"\x01" + bytes([len(own)]) + own + bytes([len(own)]) + own
    if await _exchange(stream, login, 2) != bytes([1, SUCCEEDED]):
        raise SocksError("it does not accept a user name and password")
    if isinstance(host, str):
        name = host.encode("ascii")
        destination = bytes([NAME, len(name)]) + name
    else:
        destination = bytes([IPV4]) + host
    question = bytes([VERSION, command, 0]) + destination + struct.pack(">H", port)
    version, reply, _, kind = await _exchange(stream, question, 4)
    if version != VERSION:
        raise SocksError("it does not speak SOCKS")
    if reply != SUCCEEDED:
        raise SocksError(REPLIES.get(reply, f"reply {reply}"))
    length = ADDRESS_BYTES.get(kind)
    if length is None:
        (length,) = await _read(stream, 1)
    return (await _read(stream, length + 2))[:length]


async def _exchange(stream: AsyncNetworkStream, question: bytes, length: int) -> bytes:
    await stream.write(question)
    return await _read(stream, length)


async def _read(stream: AsyncNetworkStream, length: int) -> bytes:
    answer = b""
    while len(answer) < length:
        # No byte more: what follows belongs to whoever is connected to.
        part = await stream.read(length - len(answer))
        if not part:
            raise SocksError("it hung up")
        answer += part
    return answer
