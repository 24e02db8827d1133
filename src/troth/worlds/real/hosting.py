"""Makes the host of a node, the same way whatever network it is on."""

from __future__ import annotations

from collections.abc import Sequence

from troth import streams
from troth.chain.ledger import Ledger
from troth.ids import NodeId
from troth.roles.node import Node
from troth.wire import Codec
from troth.worlds.real.host import Host, Observer
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.line import Line
from troth.worlds.real.stage import NodeStage


def make_host(
    stage: NodeStage,
    journal: Journal,
    observer: Observer,
    limits: Limits,
    *,
    peers: Sequence[NodeId] = (),
    largest_bytes: int = 0,
    line: Line | None = None,
    ledger: Ledger | None = None,
    lossy: bool = False,
) -> Host:
    """The host of the stage's node, whose random streams follow from the scenario's seed and whose
    secrets from the journal's.

    Args:
      limits: with `body_bytes` as large as this protocol's messages are.
      largest_bytes: of a message that may be larger than `limits.body_bytes`.
      peers, line, ledger, lossy: as `Host`.
    """
    learning, secret = streams.learning(stage.scenario.seed), streams.secret(journal.secret_seed)
    return Host(
        Node(stage.id, learning.child("node", stage.id), secret.child("node", stage.id)),
        stage.cast.roles[stage.id],
        peers=peers,
        codec=Codec(stage.cast.messages, max_bytes=max(limits.body_bytes, largest_bytes)),
        engine=stage.engine,
        journal=journal,
        observer=observer,
        limits=limits,
        line=line,
        ledger=ledger,
        lossy=lossy,
    )
