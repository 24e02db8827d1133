"""The side of Tor that a broker has: its port on this machine as an onion service of version 3."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from troth.errors import UsageError
from troth.worlds.real.tor.authorisation import ClientPublicKey, write_authorised_clients
from troth.worlds.real.tor.onion import VIRTUAL_PORT, OnionAddress, parse_onion_address
from troth.worlds.real.tor.process import private_folder, running_tor
from troth.worlds.real.tor.program import TorProgram, find_tor
from troth.worlds.real.tor.torrc import Option, quoted

MAX_STREAMS = 16
"""How many connections a client may have open at once over its circuit; the circuit is closed when
it opens another."""

MAX_CLIENTS = 300
"""How many clients can be authorised. Each takes up room in the descriptor, of which Tor allows
50 kB: 350 clients fit in, 400 do not."""


@asynccontextmanager
async def onion_service(
    folder: Path,
    port: int,
    *,
    clients: Sequence[ClientPublicKey] = (),
    config: Path | None = None,
) -> AsyncIterator[OnionAddress]:
    """Publish what listens at 127.0.0.1:`port` for as long as the block runs.

    The address is at port `VIRTUAL_PORT`, so its URL is `https://ADDRESS`. It stays the same as
    long as `folder` is kept: whoever has its `onion/hs_ed25519_secret_key` has the address.

    Args:
      folder: of this service alone.
      clients: who may connect; everybody if there are none.
      config: see `running_tor`.

    Raises:
      UsageError, UnreachableError: see `find_tor` and `running_tor`.
    """
    if len(clients) > MAX_CLIENTS:
        raise UsageError(
            f"{len(clients)} authorised clients are more than {MAX_CLIENTS}",
            hint="let several providers share a key, or leave authorisation to the broker",
        )
    program = await find_tor()
    private_folder(folder)
    onion = private_folder(folder / "onion")
    write_authorised_clients(onion / "authorized_clients", tuple(clients))
    options = service_options(program, onion, port)
    async with running_tor(program, folder, options, config=config, publishes=True):
        address = parse_onion_address((onion / "hostname").read_text().strip())
        assert address is not None, "tor has written another address than it publishes"
        yield address


def service_options(program: TorProgram, onion: Path, port: int) -> list[Option]:
    """The options of a tor that publishes one onion service, and does nothing else."""
    options = [
        ("SocksPort", "0"),
        ("HiddenServiceDir", quoted(onion)),
        ("HiddenServicePort", f"{VIRTUAL_PORT} 127.0.0.1:{port}"),
        ("HiddenServiceMaxStreams", str(MAX_STREAMS)),
        ("HiddenServiceMaxStreamsCloseCircuit", "1"),
    ]
    if program.proof_of_work:
        options.append(("HiddenServicePoWDefensesEnabled", "1"))
    return options
