"""How whoever asks a broker reaches it: straight, or by Tor and no other way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from troth.errors import CharterError
from troth.protocols.protocol import Protocol
from troth.protocols.registry import PROTOCOLS
from troth.wire import Channel, Message
from troth.worlds.real.api.address import Address
from troth.worlds.real.tor.authorisation import ClientKey
from troth.worlds.real.tor.onion import check_transport
from troth.worlds.real.tor.socks import Socks, running_socks, tor_client

Reach = Callable[[Address], AbstractAsyncContextManager[Socks | None]]
"""The way to a broker: the SOCKS port of a tor, as long as the context lasts; None: straight."""


@asynccontextmanager
async def straight(broker: Address) -> AsyncIterator[None]:
    """Over the network, by the broker's address.

    Raises:
      UsageError: it is an onion address.
    """
    check_transport(broker.url, tor=False)
    yield None


def through_tor(folder: Path, *, key: ClientKey | None = None, config: Path | None = None) -> Reach:
    """By a tor of our own.

    Args:
      folder: of that tor.
      key: for a broker that lets in clients with a key only.
      config: more lines for tor.

    Raises:
      UsageError, UnreachableError: on entering, if there is no working Tor, or the address is not
        an onion address.
    """

    @asynccontextmanager
    async def reach(broker: Address) -> AsyncIterator[Socks]:
        onion = check_transport(broker.url, tor=True)
        assert onion is not None
        authorised = None if key is None else (onion, key)
        async with tor_client(folder, authorised=authorised, config=config) as socks:
            yield socks

    return reach


def through_socks(host: str, port: int) -> Reach:
    """By a tor that runs already; raises as `through_tor`."""

    @asynccontextmanager
    async def reach(broker: Address) -> AsyncIterator[Socks]:
        check_transport(broker.url, tor=True)
        yield await running_socks(host, port)

    return reach


def reachable_by_tor(messages: Sequence[type[Message]]) -> bool:
    """Whether nodes that exchange these messages can do so by Tor: all of them are anonymous.

    Other messages need a receiver that knows its sender, and travel over links between nodes that
    know each other's addresses.
    """
    return bool(messages) and all(kind.channel is Channel.ANONYMOUS for kind in messages)


def check_reachable_by_tor(protocol: Protocol[Any]) -> None:
    """Check that a protocol's nodes can reach each other by Tor.

    Raises:
      CharterError: they cannot.
    """
    if not reachable_by_tor(protocol.message_types()):
        able = [each for each in PROTOCOLS if reachable_by_tor(each.message_types())]
        names = " or ".join(f'"{each.name}"' for each in able)
        raise CharterError(
            "has nodes that know each other, which are not reached by Tor",
            key="protocol.name",
            value=protocol.name,
            hint=f"leave --tor out, or take name = {names}",
        )
