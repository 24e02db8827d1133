"""Peers of a ledger as processes, each of which has made its own part of the genesis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node_processes import Node

from troth.cli import run
from troth.crypto.identity import Identity
from troth.deployment.bringing import NodeFiles
from troth.ids import NodeId
from troth.worlds.real.peers import peers_text

PATIENT_S = "600"
"""How long a peer waits for others: on a busy machine each of them may take a minute to start."""


class LedgerPeers:
    """All peers of a scenario in earnest.

    Args:
      folder: where everything of theirs lies; a peer's own folder has its name.
    """

    def __init__(self, scenario: Path, folder: Path, names: Sequence[NodeId]) -> None:
        self.scenario, self.folder = scenario, folder
        self.nodes: dict[str, Node] = {}
        self.urls: dict[NodeId, str] = {}
        entries = []
        for name in names:
            Identity.create().save(folder / f"{name}.pem")
            entry = str(folder / f"{name}.json")
            command = ["genesis", "entry", str(scenario), "--name", name, "--into", entry]
            assert run([*command, "--secret", str(self.files(name).secret)]) == 0
            entries.append(entry)
        genesis = str(self.files(names[0]).genesis)
        assert run(["genesis", "build", str(scenario), *entries, "--into", genesis]) == 0
        self.public = {name: Identity.load(folder / f"{name}.pem").public for name in names}

    def files(self, name: NodeId) -> NodeFiles:
        """What the peer brings along."""
        return NodeFiles(self.folder / f"{name}.secret", self.folder / "genesis.bin")

    def start(self, name: NodeId, *further: str) -> Node:
        """A peer that listens, where it was before if it was there before."""
        node = self.begin(name, *further)
        self.urls[name] = str(node.event("listening"))
        return node

    def begin(self, name: NodeId, *further: str) -> Node:
        """A peer that may not listen yet; the addresses of smaller ones have to be known."""
        peers, text = self.folder / "peers.toml", peers_text(self.public, self.urls)
        # Others may be reading it, and find it empty, if it is written again.
        if not peers.exists() or peers.read_text() != text:
            peers.write_text(text)
        node = self.nodes[name] = Node(
            self.scenario, self.folder, name,
            "--listen", self.urls.get(name, "https://127.0.0.1:0").removeprefix("https://"),
            "--secret", str(self.files(name).secret),
            "--genesis", str(self.files(name).genesis),
            "--give-up-after", PATIENT_S,
            *further,
        )  # fmt: skip
        return node
