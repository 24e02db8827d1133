"""How peers of a ledger are launched: with secrets and a genesis that are made for this one run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.crypto.secret_file import read_secret
from troth.deployment.launching import RESTORE, Launching, Options, ThroughTor, mesh
from troth.deployment.processes import Processes
from troth.errors import LocalError, VerificationError
from troth.ids import NodeId
from troth.protocols.biscotti.keys import SEED_BYTES
from troth.protocols.biscotti.operation.founding import (
    build,
    make_own,
    noise_file,
    read_genesis_file,
    read_keys,
    read_own,
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
    names = node_names(loaded.scenario)
    return mesh(names, partial(_bring, loaded), partial(_check, loaded, names), leaves=(CHAIN,))


def _check(loaded: LoadedScenario, names: Sequence[NodeId], place: Path) -> None:
    """Whether the secrets are those that the genesis was made of. Another genesis would be made of
    others, and no peer goes on with that.

    Raises:
      UsageError: a file cannot be read, or others may read a secret.
      VerificationError: one is gone, damaged or another one.
    """
    made = place / GENESIS
    if not made.exists() and not any((place / name).exists() for name in names):
        return  # It ended before the genesis was made, and goes on with making it.
    terms = terms_of(loaded)
    try:
        genesis = read_genesis_file(made)
    except LocalError:
        genesis = None  # Of the same secrets it is made again.
    for name in names:
        secret = place / f"{name}.secret"
        if not secret.exists():
            raise VerificationError(
                f"{secret}: was lost, and the genesis names {name} by it", hint=RESTORE
            )
        if len(read_secret(secret, hint=RESTORE)) != SEED_BYTES:
            raise VerificationError(
                f"{secret}: is damaged: it does not hold {SEED_BYTES} bytes", hint=RESTORE
            )
        keys = read_keys(secret, terms.charter)
        if genesis is not None:
            entry = genesis.by_name.get(name)
            if entry is None or entry.signing != keys.signing.public:
                raise VerificationError(
                    f"{secret}: is damaged: the genesis names {name} by another", hint=RESTORE
                )
        if noise_file(secret).exists():
            read_own(terms, name, secret)


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
