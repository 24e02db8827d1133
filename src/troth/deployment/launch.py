"""`troth launch`: every node of a scenario as a process of its own on this machine, over TLS.

Each node gets an identity of its own for this one run. This process is no node: it starts them,
shows the rounds of the first, puts together what they leave, and stops all of them whatever
happens. Every node also stops when the pipe from this process closes, so that killing it leaves
none behind.

A launch that did not come to its end goes on from what its nodes keep: their folders, and beside
them their identities and what the protocol has made for the run, which are removed at its end. The
snapshot of a launch says what it came from.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from troth.charter.loading import LoadedScenario, load_scenario
from troth.charter.model import model_of
from troth.crypto.identity import holds_identity
from troth.data.root import data_root
from troth.deployment.launching import RESTORE, Launching, ThroughTor, mesh, star
from troth.deployment.play import JOURNAL
from troth.deployment.processes import Processes, identity_file
from troth.errors import UnreachableError, UsageError, VerificationError, charter_errors_in
from troth.ids import Bytes, NodeId
from troth.protocols.lookup import protocol_of
from troth.records import RoundRecord, Status, Summary
from troth.report.atomic import locked
from troth.report.folder import SNAPSHOT, RunFolder
from troth.report.progress import Display
from troth.report.read import ROUNDS, SCENARIO, SUMMARY
from troth.runs.life import Life, Models
from troth.runs.origin import Origin, origin_of_dealt
from troth.runs.summary import mean_metrics, summary_of
from troth.worlds.dealing import deal_rows
from troth.worlds.real.honest import check_honest
from troth.worlds.real.journal import sealed
from troth.worlds.real.reach import check_reachable_by_tor
from troth.worlds.real.stage import Mesh, node_names, topology_of

MAX_LAUNCHED = 64
"""Most nodes on one machine: each one is a process with PyTorch in it."""

NODES = "nodes"

LEASH_S = 10.0
"""How long the nodes of a launch that was killed may still hold their folders."""


class _Saved(msgspec.Struct):
    """What `snapshot.bin` of a launch holds."""

    base: bytes
    """The folder that the scenario's files are looked up in, as the system encodes names."""
    origin: Origin
    tor: bool
    tor_config: bytes | None


@dataclass(frozen=True)
class Launch:
    """One launch.

    Args:
      tor: None: straight, over loopback.
    """

    loaded: LoadedScenario
    progress: Display
    tor: ThroughTor | None = None

    def run(self, into: Path) -> Path:
        """Run all nodes to their ends; the run's folder.

        Raises:
          LocalError: the scenario cannot be launched, or a node has failed; with its exit code.
        """
        launching, origin = self._prepared()
        config = None if self.tor is None else self.tor.config
        saved = _Saved(
            os.fsencode(self.loaded.base.resolve()),
            origin,
            self.tor is not None,
            None if config is None else os.fsencode(config.resolve()),
        )
        folder = RunFolder.create(
            into,
            self.loaded.text,
            summary_of(self.loaded.scenario, "running", "real"),
            snapshot=msgspec.msgpack.encode(saved),
            base=self.loaded.base,
        )
        with locked(folder.path):
            return self._play(launching, folder)

    def go_on(self, folder: RunFolder, origin: Origin) -> Path:
        """Start the nodes of a launch again that did not come to its end; the run's folder, which
        this process has locked.

        Args:
          origin: what it came from.

        Raises:
          VerificationError: the scenario, data or code are not those that it came from.
          LocalError: as `run`.
        """
        launching, now = self._prepared()
        now.check(origin, folder.path)
        places = [folder.path / NODES / name for name in launching.names]
        _wait_for([place for place in places if place.exists()])
        for name in launching.names:
            identity = identity_file(folder.path / NODES, name)
            if (folder.path / NODES / name).exists() and not identity.exists():
                raise VerificationError(
                    f"{identity}: was lost, and others know {name} by it", hint=RESTORE
                )
            if identity.exists() and not holds_identity(identity):
                raise VerificationError(
                    f"{identity}: is damaged, and others know {name} by it", hint=RESTORE
                )
        launching.check(folder.path / NODES)
        left = folder.path / NODES / launching.names[0]
        if (left / SUMMARY).exists():
            _take_unheard(folder, RunFolder.open(left))
        elif rounds := folder.rounds():
            raise VerificationError(
                f"{left}: was lost: {folder.path} knows of round {rounds[-1].round}", hint=RESTORE
            )
        return self._play(launching, folder)

    def _prepared(self) -> tuple[Launching, Origin]:
        """How nodes are launched, and what the run comes from."""
        with charter_errors_in(self.loaded.path):
            launching = self._launching()
            if len(launching.names) > MAX_LAUNCHED:
                raise UsageError(
                    f"{len(launching.names)} nodes are more than {MAX_LAUNCHED} on one machine",
                    hint="lower [parties] count, or run it with: troth simulate",
                )
            scenario, base = self.loaded.scenario, self.loaded.base
            model_of(scenario, base=base)
            dealt = deal_rows(scenario, base=base, root=data_root())
        return launching, origin_of_dealt(self.loaded.text, dealt, base)

    def _play(self, launching: Launching, folder: RunFolder) -> Path:
        scenario = self.loaded.scenario

        def summary(status: Status) -> Summary:
            rounds = folder.rounds()
            return summary_of(
                scenario,
                status,
                "real",
                rounds=rounds[-1].round if rounds else 0,
                final=rounds[-1].metrics if rounds else None,
            )

        known = {record.round for record in folder.rounds()}

        def on_round(record: RoundRecord) -> None:
            life.round(record, again=record.round in known)

        life = Life(summary, self.progress, folder, problem=lambda error: error.message)
        # Nodes read what the folder keeps, so that they go on with what they began with.
        processes = Processes(
            launching.names, folder.path / NODES, folder.path / SCENARIO, on_round
        )
        with life.running():
            unheard = _unfinished_nodes(launching, folder)
            if unheard is None:
                try:
                    asyncio.run(_play(launching, processes))
                except UnreachableError:
                    unheard = _unfinished_nodes(launching, folder)
                    if unheard is None:
                        raise
            elif self.tor is None:
                asyncio.run(_tidy(launching, processes))
            # The node has compared its record with its journal; the launch's has no digest.
            first = RunFolder.open(folder.path / NODES / launching.names[0])
            folder.write_rounds(first.rounds())
            outcome, models = together(launching, folder)
            way = "over TLS on loopback" if self.tor is None else "over TLS, by Tor"
            notes = [f"{len(launching.names)} processes on one machine, {way}"]
            if unheard:
                notes.append(f"stopped before they heard that it is over: {', '.join(unheard)}")
            life.finish(msgspec.structs.replace(outcome, notes=[*outcome.notes, *notes]), models)
        processes.forget_identities()
        return folder.path

    def _launching(self) -> Launching:
        """How nodes are launched: as the protocol says, or else as the topology does.

        Raises:
          CharterError: the scenario cannot be launched, or not this way.
        """
        scenario = self.loaded.scenario
        check_honest(scenario)
        protocol = protocol_of(scenario.charter.protocol)
        if protocol.operation.launch is not None:
            launching: Launching = protocol.find(protocol.operation.launch)(self.loaded, self.tor)
        elif isinstance(topology_of(scenario), Mesh):
            launching = mesh(node_names(scenario))
        else:
            launching = star(node_names(scenario))
        if self.tor is not None:
            check_reachable_by_tor(protocol)
        return launching


def resume(path: Path, progress: Display) -> Path:
    """Go on with a launch that was interrupted, killed or has failed, to the end that it would have
    come to. Nothing is written into a folder that is refused.

    Raises:
      UsageError: there is no launch in `path`, it has finished, or another process runs there.
      VerificationError: its snapshot is damaged, or something has changed since it began.
      LocalError: as `Launch.run`.
    """
    _unfinished(path)
    with locked(path):
        # Another process may have finished the launch before this one got the lock.
        folder = _unfinished(path)
        data = folder.read_snapshot()
        try:
            saved = msgspec.msgpack.decode(data, type=_Saved)
        except msgspec.MsgspecError as error:
            raise VerificationError(f"{path}: the snapshot cannot be read: {error}") from None
        config = None if saved.tor_config is None else Path(os.fsdecode(saved.tor_config))
        saved.origin.check_scenario(folder.scenario_text(), path)
        loaded = load_scenario(path / SCENARIO, base=Path(os.fsdecode(saved.base)))
        launch = Launch(loaded, progress, ThroughTor(config) if saved.tor else None)
        return launch.go_on(folder, saved.origin)


def _unfinished(path: Path) -> RunFolder:
    folder = RunFolder.open(path)
    summary = folder.summary()
    if summary.world != "real":
        raise UsageError(
            f"{path}: is the folder of a simulated run",
            hint=f"go on with: troth simulate --resume {shlex.quote(str(path))}",
        )
    if summary.status == "finished" or not (path / SNAPSHOT).exists():
        raise UsageError(
            f"{path}: there is no launch to resume, its status is {summary.status}",
            hint="launch its scenario.toml again with: troth launch",
        )
    return folder


def _take_unheard(folder: RunFolder, left: RunFolder) -> None:
    """Put into the launch's record what its first node has recorded and nobody has heard any more.

    Args:
      left: what that node has left.

    Raises:
      VerificationError: the launch knows of a round that the node does not.
    """
    known = {record.round for record in folder.rounds()}
    unheard = {record.round: record for record in left.rounds()}
    lost = known - unheard.keys()
    if lost:
        raise VerificationError(
            f"{left.path / ROUNDS}: is damaged: lacks round {min(lost)}, which {folder.path} has",
            hint=RESTORE,
        )
    for round, record in unheard.items():
        if round not in known:
            folder.replace_round(record)


def _wait_for(places: Sequence[Path]) -> None:
    """Until nobody writes in these folders any more: the nodes of a launch that was killed notice
    it, and need a moment to end.

    Raises:
      UsageError: somebody still does.
    """
    until_s = time.monotonic() + LEASH_S
    for place in places:
        while True:
            try:
                with locked(place):
                    break
            except UsageError:
                if time.monotonic() >= until_s:
                    raise
                time.sleep(0.1)


def _unfinished_nodes(launching: Launching, folder: RunFolder) -> list[NodeId] | None:
    """The nodes that did not hear any more that the run is over, where it is; None: it is not."""
    places = {name: folder.path / NODES / name for name in launching.names}
    if not all((place / SUMMARY).exists() for place in places.values()):
        return None
    left = [
        name
        for name, place in places.items()
        if RunFolder.open(place).summary().status != "finished"
    ]
    deciding = launching.names if launching.deciding is None else launching.deciding
    return None if set(left) & set(deciding) else left


async def _tidy(launching: Launching, processes: Processes) -> None:
    """Remove what was made for nodes that have all come to their ends."""
    async with launching.bring(processes):
        pass


async def _play(launching: Launching, processes: Processes) -> None:
    async with launching.bring(processes) as brought:
        await processes.play(lambda: launching.start(processes, brought))


def _check_sealed(node: RunFolder) -> None:
    """Compare what a node has left with the digest that it keeps of it. A node that has heard that
    the run is over keeps one.

    Raises:
      VerificationError: it is not what the node has left, or its journal is damaged.
    """
    if node.summary().status == "finished" and sealed(node.path / JOURNAL) != node.outcome_digest():
        raise VerificationError(
            f"{node.path}: is damaged: model and summary are not what the node has left",
            hint=RESTORE,
        )


def together(launching: Launching, folder: RunFolder) -> tuple[Summary, Models]:
    """What the nodes of a launch have left in their folders, as the outcome of one run: its summary
    without its way over the network, and its model, or that of each party.

    Args:
      folder: the run's, with the nodes' folders in it.

    Raises:
      VerificationError: a node's folder does not hold what the node has left in it.
    """
    left = {name: RunFolder.open(folder.path / NODES / name) for name in launching.names}
    for node in left.values():
        _check_sealed(node)
    for file in launching.leaves:
        shutil.copyfile(left[launching.names[0]].path / file, folder.path / file)
    summaries = {name: node.summary() for name, node in left.items()}
    summary = launching.together(left, folder.rounds())
    # Nobody else can measure a model on a party's own rows.
    measured = {
        party.party: party
        for each in summaries.values()
        for party in each.parties
        if party.own is not None
    }
    # A party says of its model on the test set only if that is not the model of all.
    own = {name: party.test for name, party in measured.items() if party.test is not None}
    models: Models = {name: left[name].read_model()[0][name] for name in own}
    final = mean_metrics(list(own.values()))
    if not own:
        models, _ = left[launching.owner].read_model()
        final = summaries[launching.owner].final
    parties = []
    for party in summary.parties:
        said = measured.get(party.party, party)
        parties.append(msgspec.structs.replace(party, own=said.own, test=said.test))
    return msgspec.structs.replace(
        summary,
        final=final,
        parties=parties,
        peak_rss_bytes=Bytes(sum(each.peak_rss_bytes for each in summaries.values())),
    ), models
