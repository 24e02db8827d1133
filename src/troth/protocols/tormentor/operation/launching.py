"""How a brokered run is launched: a broker, its curator, and providers that know neither."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from troth.charter.loading import LoadedScenario
from troth.deployment.launching import Launching, ThroughTor, own_records
from troth.deployment.processes import Processes
from troth.errors import RoundFailedError
from troth.ids import NodeId, party_id
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.records import RoundRecord, Summary
from troth.report.folder import RunFolder
from troth.worlds.real.tor.socks import tor_client

LINGER_S = 3600
"""How long a broker waits for its providers to hear that all is done: one that solves a hard puzzle
asks late. None is waited for that has ended, as the launch ends then."""

SHARED_TOR = "tor"


Ways = tuple[Sequence[str], Sequence[str]]
"""How the broker is told where to wait, and how the others are told by which way they reach it."""


def launching(loaded: LoadedScenario, tor: ThroughTor | None) -> Launching:
    """All nodes of a scenario, each of which takes its rows from it."""
    count, seed = loaded.scenario.parties.count, loaded.scenario.seed
    return Launching(
        (BROKER, CURATOR, *(party_id(i, count) for i in range(count))),
        # A broker hands its model over, and measures on validation rows.
        CURATOR,
        partial(_start, loaded.base),
        partial(_together, seed),
        partial(_ways, tor),
        # A broker is gone once it has told its providers, whether they have written that down or
        # not, and nobody tells them again.
        deciding=(BROKER, CURATOR),
    )


def _together(seed: int, left: Mapping[NodeId, RunFolder], _: Sequence[RoundRecord]) -> Summary:
    """A broker does not know its providers' rows, and has no seed."""
    summaries = {name: folder.summary() for name, folder in left.items()}
    parties = own_records(summaries)
    return msgspec.structs.replace(summaries[BROKER], parties=parties, seed=seed)


@asynccontextmanager
async def _ways(tor: ThroughTor | None, processes: Processes) -> AsyncIterator[Ways]:
    if tor is None:
        yield ("--listen", "127.0.0.1:0"), ()
        return
    shared = processes.place / SHARED_TOR
    listen = ("--tor", *(("--tor-config", str(tor.config)) if tor.config else ()))
    try:
        # One tor for all who connect: each of them has circuits of its own all the same, by its
        # SOCKS credentials, and the Tor network is not asked by dozens of tors for one run.
        async with tor_client(shared, config=tor.config, shared=True) as socks:
            yield listen, ("--tor-socks", f"{socks.host}:{socks.port}")
    finally:
        # Guards and onion address were for this run only.
        for folder in (shared, processes.place / f"{BROKER}.tor"):
            shutil.rmtree(folder, ignore_errors=True)


async def _start(base: Path, processes: Processes, ways: Ways) -> None:
    listen, reach = ways
    # All code below `base` is the user's own, who has named this scenario.
    identified, code = processes.identified, ("--code", str(base))
    curator = processes.public[CURATOR]
    broker = [*listen, *code, "--linger", str(LINGER_S), "--curator", curator]
    await processes.start(BROKER, "broker", *identified(BROKER), *broker)
    address = (await processes.said(BROKER, "listening")).listening
    assert address is not None
    curate = [processes.file, "--broker", address, *identified(CURATOR)]
    await processes.start(CURATOR, "curate", *curate, *reach)
    deployed = asyncio.create_task(processes.said(BROKER, "deployed"))
    # A curator that fails would leave the broker waiting for another.
    failed = processes.watched(CURATOR)
    await asyncio.wait((deployed, failed), return_when=asyncio.FIRST_COMPLETED)
    if not deployed.done():
        deployed.cancel()
        await failed
        raise RoundFailedError("the curator ended before it had a broker")
    model = (await deployed).deployed
    assert model is not None
    for name in processes.names:
        if name not in (BROKER, CURATOR):
            joining = [model, *processes.scenario(name), *code, *reach]
            await processes.start(name, "join", *joining)
