"""A relay between an onion service and its broker that sees everything in the clear.

It holds the broker's key, so providers take it for the broker. What they say comes by

    tor -> tap (as sent: the ClientHello) -> terminator (as meant: HTTP) -> tap -> broker

and what the broker says comes back the same way.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from troth.crypto.identity import Identity
from troth.worlds.real.tls import open_server_context, stranger_context
from troth.worlds.real.tor.onion import OnionAddress
from troth.worlds.real.tor.service import onion_service
from troth.worlds.real.tor.socks import Socks, tor_client

WAIT_S = 120.0
"""Longer than a tor takes to start."""


@dataclass
class Connection:
    """What went over one connection, both ways."""

    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    certificate: bytes | None = None
    """What the broker has shown, where TLS is spoken."""


@dataclass
class Relay:
    """What goes from one port to another, and back.

    Args:
      inward, outward: TLS with who connects, and with whom it leads to; None: none.
    """

    inward: ssl.SSLContext | None = None
    outward: ssl.SSLContext | None = None
    port: int = 0
    to: int = 0
    connections: list[Connection] = field(default_factory=list)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            await self._carry(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self.inward)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = None if self.outward is None else "node.invalid"
        there, back = await asyncio.open_connection(
            "127.0.0.1", self.to, ssl=self.outward, server_hostname=name
        )
        connection = Connection()
        if self.outward is not None:
            connection.certificate = back.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.connections.append(connection)
        pumps = [
            asyncio.create_task(_pump(reader, back, connection.asked)),
            asyncio.create_task(_pump(there, writer, connection.answered)),
        ]
        try:
            # When either side hangs up, the other is hung up on.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            back.close()
            writer.close()
            await asyncio.gather(
                *pumps, back.wait_closed(), writer.wait_closed(), return_exceptions=True
            )


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray
) -> None:
    while data := await reader.read(2**16):
        heard += data
        writer.write(data)
        await writer.drain()


class Recorded:
    """An onion service with the relay behind it."""

    def __init__(self, identity: Identity) -> None:
        self.before = Relay()
        self.clear = Relay(open_server_context(identity), stranger_context(identity.public))
        self.behind = Relay()
        self.address: OnionAddress
        self.socks: Socks
        """By which it is reached; many may share it."""

    def leads_to(self, port: int) -> None:
        """The broker listens here."""
        self.behind.to = port


@contextmanager
def recorded(identity: Identity, folder: Path, config: Path) -> Iterator[Recorded]:
    """The relay behind an onion service of its own, while the block runs.

    Args:
      identity: the broker's.
      config: of the private Tor network.
    """
    relay = Recorded(identity)
    ready, done = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def play() -> None:
        loops.append(asyncio.get_running_loop())
        try:
            async with relay.behind.open(), relay.clear.open(), relay.before.open():
                relay.before.to, relay.clear.to = relay.clear.port, relay.behind.port
                async with (
                    onion_service(
                        folder / "onion", relay.before.port, config=config
                    ) as relay.address,
                    tor_client(folder / "client", config=config, shared=True) as relay.socks,
                ):
                    ready.set()
                    await done.wait()
        finally:
            ready.set()

    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(asyncio.run, play())
        assert ready.wait(WAIT_S), "the onion service does not start"
        if playing.done():
            playing.result()
        try:
            yield relay
        finally:
            loops[0].call_soon_threadsafe(done.set)
            playing.result()
