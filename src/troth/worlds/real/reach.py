"""How a curator or a provider reaches a broker: straight, or by Tor and no other way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

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
