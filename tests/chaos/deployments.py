"""How the nodes of a protocol are started, by who speaks to whom: the commands that a person would
give, each node with a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from troth.charter.loading import load_scenario
from troth.cli import run
from troth.crypto.identity import Identity
from troth.ids import NodeId, party_id
from troth.protocols.protocol import Protocol
from troth.worlds.real.peers import peers_text


class Deployment:
    """The nodes of a scenario, and the words by which each is started.

    Args:
      folder: where everything of theirs lies.
      give_up_s: after how long nodes give up whom they do not hear of.
    """

    def __init__(
        self, record: Protocol[Any], scenario: Path, folder: Path, give_up_s: float
    ) -> None:
        self.record, self.scenario, self.folder = record, scenario, folder
        self.give_up_s = give_up_s
        count = load_scenario(scenario).scenario.parties.count
        self.parties = tuple(party_id(i, count) for i in range(count))
        self.names: tuple[NodeId, ...] = (*record.coordinators, *self.parties)
        self.public = {}
        for name in self.names:
            identity = Identity.create()
            identity.save(folder / f"{name}.pem")
            self.public[name] = identity.public
        self.places: dict[str, str] = {}
        """Where nodes have said that they listen; they keep that when they are started again."""
        self.deployed: str | None = None

    def ready(self, name: NodeId) -> bool:
        """Whether all has been said that the node has to be told when it is started."""
        raise NotImplementedError  # each topology says it

    def words(self, name: NodeId, into: Path) -> list[object]:
        """The command line of a node, with its run in `into`."""
        raise NotImplementedError  # each topology says it

    def said(self, name: str, event: Mapping[str, Any]) -> None:
        """Take note of what a node has said, for those that are started after it."""
        if "listening" in event:
            self.places[name] = event["listening"]

    def _common(self, name: NodeId, into: Path) -> list[object]:
        identity = ["--identity", self.folder / f"{name}.pem"]
        return [*identity, "--into", into, "--format", "json"]

    def _node(self, name: NodeId, into: Path, *further: object) -> list[object]:
        peers = self.folder / f"{name}.peers.toml"
        addresses = {NodeId(node): url for node, url in self.places.items()}
        peers.write_text(peers_text(self.public, addresses))
        words = ["node", "--scenario", self.scenario, "--as", name, "--peers", peers]
        words += ["--give-up-after", self.give_up_s, *further]
        return [*words, *self._common(name, into)]

    def _own_place(self, name: NodeId) -> str:
        return self.places.get(name, "https://127.0.0.1:0").removeprefix("https://")


class Star(Deployment):
    """A hub that listens, and parties that connect to it."""

    def ready(self, name: NodeId) -> bool:
        return name == self.names[0] or self.names[0] in self.places

    def words(self, name: NodeId, into: Path) -> list[object]:
        hub = self.names[0]
        if name == hub:
            return self._node(name, into, "--listen", self._own_place(hub))
        return self._node(name, into, "--connect", self.places[hub])


class Mesh(Deployment):
    """Peers that all listen. Where they bring files, each makes its own and one the genesis."""

    def __init__(
        self, record: Protocol[Any], scenario: Path, folder: Path, give_up_s: float
    ) -> None:
        super().__init__(record, scenario, folder, give_up_s)
        if record.brings is None:
            return
        entries = []
        for name in self.names:
            entry = folder / f"{name}.json"
            words = ["genesis", "entry", scenario, "--name", name, "--into", entry]
            _run([*words, "--secret", self._secret(name)])
            entries.append(entry)
        _run(["genesis", "build", scenario, *entries, "--into", folder / "genesis.bin"])

    def ready(self, name: NodeId) -> bool:
        return all(other in self.places for other in self.names if other < name)

    def _secret(self, name: NodeId) -> Path:
        return self.folder / f"{name}.secret"

    def words(self, name: NodeId, into: Path) -> list[object]:
        # A second one beside the first cannot have its port.
        first = into == self.folder / name
        where = self._own_place(name) if first else "127.0.0.1:0"
        brought: list[object] = []
        if self.record.brings is not None:
            brought = ["--secret", self._secret(name), "--genesis", self.folder / "genesis.bin"]
        return self._node(name, into, "--listen", where, *brought)


class Brokered(Deployment):
    """A broker, its curator, and providers that know neither."""

    def ready(self, name: NodeId) -> bool:
        broker, curator = self.record.coordinators
        if name == broker:
            return True
        return broker in self.places if name == curator else self.deployed is not None

    def words(self, name: NodeId, into: Path) -> list[object]:
        broker, curator = self.record.coordinators
        if name == broker:
            words = ["broker", "--listen", self._listen(), "--linger", self.give_up_s]
            words += ["--tell-after", self.give_up_s]
            return [*words, "--curator", self.public[curator], *self._common(name, into)]
        give_up = ["--give-up-after", self.give_up_s]
        if name == curator:
            words = ["curate", self.scenario, "--broker", self.places[broker], *give_up]
            return [*words, *self._common(name, into)]
        words = ["join", self.deployed, "--scenario", self.scenario, "--as", name, *give_up]
        return [*words, "--into", into, "--format", "json"]

    def _listen(self) -> str:
        return self.places.get(self.names[0], "@127.0.0.1:0").rpartition("@")[2]

    def said(self, name: str, event: Mapping[str, Any]) -> None:
        if "listening" in event:
            self.places[name] = event["listening"].split("/sha256:")[0]
        if "deployed" in event:
            self.deployed = event["deployed"]


def _run(words: Sequence[object]) -> None:
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run([*map(str, words)])
    assert code == 0, said.getvalue()


DEPLOYMENTS: dict[str, type[Deployment]] = {"star": Star, "mesh": Mesh, "brokered": Brokered}
"""By the topology that a protocol's record names; who is `alone` has no nodes."""
