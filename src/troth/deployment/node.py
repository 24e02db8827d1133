"""`troth node`: one node of a real run, and the folder that it leaves.

A node's folder is a run's folder, with its journal beside. A node that is started again in its
folder goes on where it was; so does one that was killed at any point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity, PublicId
from troth.data.root import data_root
from troth.deployment.play import JOURNAL, NodeResult, Play, open_folder
from troth.errors import CharterError
from troth.ids import NodeId
from troth.report.progress import Progress
from troth.worlds.real.journal import Journal
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
    progress: Progress,
    limits: Limits | None = None,
) -> NodeResult:
    """Run one node of a scenario until its role has returned.

    Args:
      into: the node's folder; one that it was started in before is gone on with.

    Raises:
      LocalError: as `run_node`; the folder is another node's or another run's.
    """
    try:
        stage = prepare_node(loaded.scenario, id, base=loaded.base, root=data_root())
    except CharterError as error:
        raise error.in_file(error.file or loaded.path) from error
    run = sha256(loaded.text.encode()).hexdigest()
    folder = open_folder(stage, loaded.text, into)
    journal = Journal(folder.path / JOURNAL, node=id, run=run)
    try:
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
                    limits=limits,
                )
            )
            return played.finish(outcome)
        except BaseException as error:
            played.fail(error)
            raise
    finally:
        journal.close()
        stage.engine.close()
