"""How a brokered run is launched: a broker, its curator, and providers that know neither."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from troth.charter.loading import LoadedScenario
from troth.deployment.launching import ThroughTor, own_records
from troth.deployment.processes import Processes
from troth.errors import RoundFailedError
from troth.ids import NodeId, party_id
from troth.protocols.tormentor.state import BROKER, CURATOR
from troth.records import RoundRecord, Summary
from troth.report.folder import RunFolder
from troth.worlds.real.tor.socks import tor_client

LINGER_S = 3600
"""How long a broker waits for its providers to hear that all is done: one that solves a hard puzzle
asks late. None is waited for that has ended, as the launch ends then."""

SHARED_TOR = "tor"


def launching(loaded: LoadedScenario, tor: ThroughTor | None) -> BrokeredLaunching:
    """All nodes of a scenario, each of which takes its rows from it."""
    count, parties = loaded.scenario.parties.count, range(loaded.scenario.parties.count)
    names = (BROKER, CURATOR, *(party_id(i, count) for i in parties))
    return BrokeredLaunching(names, loaded.base, loaded.scenario.seed, tor)


@dataclass(frozen=True)
class BrokeredLaunching:
    """A `troth.deployment.launching.Launching`.

    Args:
      base: folder of the code that the charter may name: all of it is the user's own.
      seed: of the scenario; a broker has none.
    """

    names: tuple[NodeId, ...]
    base: Path
    seed: int
    tor: ThroughTor | None
    owner: NodeId = CURATOR
    """A broker hands its model over, and measures on validation rows."""
    by_tor: bool = True
    leaves: tuple[str, ...] = ()

    def together(self, left: Mapping[NodeId, RunFolder], _: Sequence[RoundRecord], /) -> Summary:
        """What the broker says, which does not know its providers' rows."""
        summaries = {name: folder.summary() for name, folder in left.items()}
        return msgspec.structs.replace(
            summaries[BROKER], parties=own_records(summaries), seed=self.seed
        )

    async def play(self, processes: Processes) -> None:
        """Over loopback, or by Tor."""
        if self.tor is None:
            listen = ("--listen", "127.0.0.1:0")
            await processes.play(partial(self._start, processes, listen, ()))
            return
        config = self.tor.config
        shared = processes.place / SHARED_TOR
        listen = ("--tor", *(("--tor-config", str(config)) if config else ()))
        try:
            # One tor for all who connect: each of them has circuits of its own all the same, by its
            # SOCKS credentials, and the Tor network is not asked by dozens of tors for one run.
            async with tor_client(shared, config=config, shared=True) as socks:
                reach = ("--tor-socks", f"{socks.host}:{socks.port}")
                await processes.play(partial(self._start, processes, listen, reach))
        finally:
            # Guards and onion address were for this run only.
            for folder in (shared, processes.place / f"{BROKER}.tor"):
                shutil.rmtree(folder, ignore_errors=True)

    async def _start(
        self, processes: Processes, listen: Sequence[str], reach: Sequence[str]
    ) -> None:
        """Start the broker, then the curator, then providers with the model's address.

        Args:
          listen: how the broker is told where to wait.
          reach: how the others are told by which way.
        """
        identified, code = processes.identified, ("--code", str(self.base))
        curator = processes.public[CURATOR]
        broker = [*listen, *code, "--linger", str(LINGER_S), "--curator", curator]
        await processes.start(BROKER, "broker", *identified(BROKER), *broker)
        address = (await processes.said(BROKER, "listening")).listening
        assert address is not None
        curate = [processes.file, "--broker", address, *identified(CURATOR), *processes.changes]
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
        for name in self.names:
            if name not in (BROKER, CURATOR):
                joining = [model, *processes.scenario(name), *code, *reach]
                await processes.start(name, "join", *joining)
