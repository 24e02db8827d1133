"""How others find a broker: its address, and how it says it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from troth.crypto.identity import PublicId
from troth.deployment.events import Event, EventProgress
from troth.report.progress import Display
from troth.worlds.real.api.address import Address
from troth.worlds.real.tor.authorisation import ClientPublicKey
from troth.worlds.real.tor.onion import VIRTUAL_PORT
from troth.worlds.real.tor.service import onion_service

Publish = Callable[[int], AbstractAsyncContextManager[Address]]
"""Makes the broker that listens at a port known: the address by which others reach it, as long as
the context lasts."""


def at_host(public: PublicId, host: str, port: int | None = None) -> Publish:
    """Over the network, by a name or address of this machine.

    Args:
      port: by which others come; None: the one it listens at.
    """

    @asynccontextmanager
    async def publish(listening: int) -> AsyncIterator[Address]:
        yield Address(public, host, port or listening)

    return publish


def as_onion(
    public: PublicId,
    folder: Path,
    *,
    clients: Sequence[ClientPublicKey] = (),
    config: Path | None = None,
) -> Publish:
    """By Tor only, as an onion service.

    Args:
      folder: of its tor; who has it has the onion address.
      clients: the keys of those who may connect; everybody if there are none.
      config: more lines for tor.

    Raises:
      UsageError, UnreachableError: on entering, if there is no working Tor. Nothing is published
        any other way then.
    """

    @asynccontextmanager
    async def publish(listening: int) -> AsyncIterator[Address]:
        async with onion_service(folder, listening, clients=clients, config=config) as onion:
            yield Address(public, onion, VIRTUAL_PORT)

    return publish


class Told:
    """Says where a broker is: to whoever reads, or as events to a program that has started it."""

    def __init__(self, progress: Display, events: EventProgress | None) -> None:
        self._progress = progress
        self._events = events

    def listening(self, address: Address) -> None:
        """Says by which address curators can ask the broker now."""
        if self._events is not None:
            self._events.write(Event(listening=str(address)))
        else:
            self._progress.message(f"the broker is at {address}")

    def deployed(self, address: Address) -> None:
        """Says by which address providers can join now."""
        if self._events is not None:
            self._events.write(Event(deployed=str(address)))
        else:
            self._progress.message(f"providers come with: troth join {address}")
