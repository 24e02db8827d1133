"""`troth node`: one node of a real run, and the folder that it leaves.

A node's folder is a run's folder, with its journal beside, and its chain where the protocol has a
ledger. A node that is started again in its folder goes on where it was; so does one that was killed
at any point. A peer of a ledger may bring a chain to begin with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity, PublicId
from troth.data.root import data_root
from troth.deployment.play import JOURNAL, NodeResult, Play, open_folder
from troth.errors import CharterError
from troth.ids import NodeId
from troth.protocols.biscotti.operation.peer_files import PeerFiles, read_peer
from troth.protocols.biscotti.operation.starting import checked_file, settle_start
from troth.report.progress import Progress
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Connect, Listen, run_node
from troth.worlds.real.stage import prepare_node, topology_of


def play(
    loaded: LoadedScenario,
    id: NodeId,
    identity: Identity,
    peers: Mapping[NodeId, PublicId],
    where: Listen | Connect,
    *,
    into: Path,
    progress: Progress,
    addresses: Mapping[NodeId, str] | None = None,
    files: PeerFiles | None = None,
    limits: Limits | None = None,
) -> NodeResult:
    """Run one node of a scenario until its role has returned.

    Args:
      into: the node's folder; one that it was started in before is gone on with.
      addresses: in a mesh, where those peers listen that the node connects to.
      files: of a peer of a ledger; None for any other node.

    Raises:
      LocalError: as `run_node`; the folder is another node's or another run's; a chain that was
        brought along does not hold, or contradicts the peer's own.
    """
    try:
        topology_of(loaded.scenario)
        peer = None if files is None else read_peer(loaded, id, files)
        stage = prepare_node(
            loaded.scenario,
            id,
            base=loaded.base,
            root=data_root(),
            brought=None if peer is None else peer.members,
        )
    except CharterError as error:
        raise error.in_file(error.file or loaded.path) from error
    run = sha256(loaded.text.encode()).hexdigest()
    with ExitStack() as opened:
        opened.callback(stage.engine.close)
        brought = None
        if peer is not None and files is not None and files.chain is not None:
            # Before there is a folder, as nothing is written if it does not hold.
            progress.message(f"checks {files.chain}")
            brought = opened.enter_context(checked_file(peer, files.chain, files.trusted))
        folder = open_folder(stage, loaded.text, into)
        journal = opened.enter_context(closing(Journal(folder.path / JOURNAL, node=id, run=run)))
        ledger = None
        if peer is not None:
            ledger = opened.enter_context(peer.open_chain(folder.path))
            notes = settle_start(peer, ledger, journal, brought)
            stage = replace(stage, notes=(*stage.notes, *peer.notes, *notes))
        played = Play(stage, folder, journal, progress)
        played.start()
        try:
            outcome = asyncio.run(
                run_node(
                    stage,
                    identity,
                    peers,
                    where,
                    journal=journal,
                    observer=played.recorder,
                    addresses=addresses,
                    limits=limits,
                    store=ledger,
                )
            )
            return played.finish(outcome)
        except BaseException as error:
            played.fail(error)
            raise
