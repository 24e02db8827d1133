"""The side of Tor that whoever asks a broker has: the SOCKS port of a tor of our own, or of one
that runs already."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpcore

from troth.errors import UnreachableError, UsageError
from troth.worlds.real.tor.authorisation import ClientKey
from troth.worlds.real.tor.onion import OnionAddress
from troth.worlds.real.tor.process import private_folder, running_tor
from troth.worlds.real.tor.program import find_tor
from troth.worlds.real.tor.socks5 import Command, SocksError, ask
from troth.worlds.real.tor.torrc import Option, quoted

ANSWER_S = 10.0
"""How many seconds a tor that runs already may take to answer on its SOCKS port."""

_START = "start it, or leave --tor-socks out and give --tor: Troth then starts a tor of its own"


@dataclass(frozen=True)
class Socks:
    """Where the SOCKS port of a tor is, on this machine as a rule."""

    host: str
    port: int


@asynccontextmanager
async def tor_client(
    folder: Path,
    *,
    authorised: tuple[OnionAddress, ClientKey] | None = None,
    config: Path | None = None,
    shared: bool = False,
) -> AsyncIterator[Socks]:
    """Run a tor of our own that reaches onion addresses and nothing else, while the block runs.

    Args:
      folder: of this tor alone; it keeps the guards, so take the same one next time.
      authorised: the service that asks for client authorisation, and the key for it.
      config: see `running_tor`.
      shared: other nodes use it too, as one that runs already: `running_socks`.

    Raises:
      UsageError, UnreachableError: see `find_tor` and `running_tor`.
    """
    program = await find_tor()
    private_folder(folder)
    keys = private_folder(folder / "client_keys")
    if authorised is not None:
        address, key = authorised
        key.write_for_tor(keys, address)
    options = client_options(keys, shared=shared)
    async with running_tor(program, folder, options, config=config) as tor:
        (listeners, *_) = await tor.control.ask("GETINFO net/listeners/socks")
        # net/listeners/socks="127.0.0.1:PORT"
        yield Socks("127.0.0.1", int(listeners.rstrip('"').rpartition(":")[2]))


def client_options(keys: Path, *, shared: bool = False) -> list[Option]:
    """The options of a tor that only reaches onion addresses.

    `keys` is the folder of keys for client authorisation.

    Such a tor does not answer how `running_socks` asks, so a `shared` one is not bound to them: its
    users have to look at addresses themselves, as our nodes do.
    """
    return [
        (
            "SocksPort",
            "127.0.0.1:auto IsolateSOCKSAuth" + ("" if shared else " OnionTrafficOnly"),
        ),
        ("ClientOnionAuthDir", quoted(keys)),
    ]


async def running_socks(host: str, port: int) -> Socks:
    """The SOCKS port at `host` and `port`, after it was seen that a tor is behind it.

    It is asked to resolve an address that is one already, by a command that other SOCKS proxies do
    not have; tor answers without sending anything. No onion address is told before.

    Raises:
      UnreachableError: nobody answers there.
      UsageError: whoever answers is not Tor, or does not separate circuits by password.
    """
    place, address = f"{host}:{port}", bytes([192, 0, 2, 1])  # RFC 5737: for documentation
    try:
        with anyio.fail_after(ANSWER_S):
            stream = await httpcore.AnyIOBackend().connect_tcp(host, port)
            try:
                answer = await ask(stream, secrets.token_hex(16), Command.RESOLVE, address, 0)
            finally:
                await stream.aclose()
    except TimeoutError:
        raise UnreachableError(f"no Tor at {place}: it does not answer", hint=_START) from None
    except httpcore.ConnectError as error:
        raise UnreachableError(f"no Tor at {place}: {str(error).lower()}", hint=_START) from None
    except (SocksError, httpcore.NetworkError) as error:
        raise UsageError(f"{place} is not Tor's SOCKS port: {error}", hint=_START) from None
    if answer != address:
        raise UsageError(f"{place} is not Tor's SOCKS port: it resolves wrongly", hint=_START)
    return Socks(host, port)
