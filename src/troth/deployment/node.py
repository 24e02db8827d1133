"""`troth node`: one node of a real run, and the folder that it leaves.

A node's folder is a run's folder, with its journal beside, and what else the protocol keeps there.
A node that is started again in its folder goes on where it was; so does one that was killed at any
point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity, PublicId
from troth.data.root import data_root
from troth.deployment.bringing import Bringing, NodeFiles
from troth.deployment.play import NodeResult, Play, open_folder
from troth.errors import CharterError, charter_errors_in
from troth.ids import NodeId
from troth.protocols.lookup import protocol_of
from troth.protocols.registry import PROTOCOLS
from troth.report.progress import Display
from troth.runs.origin import origin_of
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Connect, Listen, run_node
from troth.worlds.real.stage import prepare_node


def play(
    loaded: LoadedScenario,
    id: NodeId,
    identity: Identity,
    peers: Mapping[NodeId, PublicId],
    where: Listen | Connect,
    *,
    into: Path,
    progress: Display,
    addresses: Mapping[NodeId, str] | None = None,
    files: NodeFiles | None = None,
    limits: Limits | None = None,
) -> NodeResult:
    """Run one node of a scenario until its role has returned.

    Args:
      into: the node's folder; one that it was started in before is gone on with.
      addresses: in a mesh, where those peers listen that the node connects to.
      files: what it brings; None where the protocol asks for nothing.

    Raises:
      LocalError: as `run_node`; the folder is another node's or another run's; as `Bringing`.
    """
    with ExitStack() as opened:
        with charter_errors_in(loaded.path):
            bringing = None if files is None else _bringing(loaded, id, files)
            stage = prepare_node(
                loaded.scenario,
                id,
                base=loaded.base,
                root=data_root(),
                bring=None if bringing is None else bringing.read,
            )
        opened.callback(stage.engine.close)
        if bringing is not None:
            bringing.check(opened, progress)
        folder = open_folder(stage, loaded.text, into, base=loaded.base)
        run = origin_of(loaded.text, stage.bench, loaded.base).digest()
        played = opened.enter_context(closing(Play(stage, folder, progress, run=run)))
        store = None
        if bringing is not None:
            store, notes = bringing.open(opened, folder.path, played.journal)
            stage = played.stage = replace(stage, notes=(*stage.notes, *notes))
        with played.life.running():
            outcome = asyncio.run(
                run_node(
                    stage,
                    identity,
                    peers,
                    where,
                    journal=played.journal,
                    observer=played,
                    addresses=addresses,
                    limits=limits,
                    store=store,
                )
            )
            return played.finish(outcome)


def _bringing(loaded: LoadedScenario, id: NodeId, files: NodeFiles) -> Bringing:
    protocol = protocol_of(loaded.scenario.charter.protocol)
    if protocol.brings is None:
        names = " or ".join(f'"{each.name}"' for each in PROTOCOLS if each.brings is not None)
        raise CharterError(
            "needs no genesis",
            key="protocol.name",
            value=protocol.name,
            hint=f"a genesis is for protocol = {names}",
        )
    bringing: Bringing = protocol.find(protocol.brings.real)(loaded, id, files)
    return bringing
