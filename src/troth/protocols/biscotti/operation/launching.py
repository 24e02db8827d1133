"""How peers of a ledger are launched: with secrets and a genesis that are made for this one run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.deployment.launching import Launching, Options, ThroughTor, mesh
from troth.deployment.processes import Processes
from troth.ids import NodeId
from troth.protocols.biscotti.operation.founding import (
    build,
    make_own,
    noise_file,
    terms_of,
    write_genesis_file,
)
from troth.report.read import CHAIN
from troth.worlds.real.stage import node_names

GENESIS = "genesis"


def launching(loaded: LoadedScenario, _: ThroughTor | None) -> Launching:
    """Peers, whose chain is the run's: it is the same at all of them.

    Raises:
      CharterError: as `node_names`.
    """
    return mesh(node_names(loaded.scenario), partial(_bring, loaded), leaves=(CHAIN,))


@asynccontextmanager
async def _bring(loaded: LoadedScenario, processes: Processes) -> AsyncIterator[Options]:
    genesis = processes.place / GENESIS

    def secret(name: NodeId) -> Path:
        return processes.place / f"{name}.secret"

    def make() -> None:
        terms = terms_of(loaded)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(lambda name: make_own(terms, name, secret(name)), processes.names)
        write_genesis_file(genesis, build(terms, [own.entry for own in made]))

    # In a thread, so that an interrupt is heard meanwhile. What an earlier start has made is used
    # again, and so is there until the run has come to its end.
    await asyncio.to_thread(make)
    yield lambda name: ("--genesis", str(genesis), "--secret", str(secret(name)))
    for name in processes.names:
        for file in (secret(name), noise_file(secret(name))):
            file.unlink(missing_ok=True)
