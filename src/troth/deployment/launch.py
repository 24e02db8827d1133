"""`troth launch`: every node of a scenario as a process of its own on this machine, over TLS.

Each node gets an identity of its own for this one run. This process is no node: it starts them,
shows the rounds of the first, puts together what they leave, and stops all of them whatever
happens. Every node also stops when the pipe from this process closes, so that killing it leaves
none behind.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from troth.charter.loading import LoadedScenario
from troth.deployment.launching import Launching, ThroughTor, mesh, star
from troth.deployment.processes import Processes
from troth.errors import UsageError, charter_errors_in
from troth.ids import Bytes
from troth.protocols.lookup import protocol_of
from troth.records import Status, Summary
from troth.report.atomic import locked
from troth.report.folder import RunFolder
from troth.report.progress import Display
from troth.runs.life import Life, Models
from troth.runs.summary import mean_metrics, summary_of
from troth.worlds.real.honest import check_honest
from troth.worlds.real.reach import check_reachable_by_tor
from troth.worlds.real.stage import Mesh, node_names, topology_of

MAX_LAUNCHED = 64
"""Most nodes on one machine: each one is a process with PyTorch in it."""

NODES = "nodes"


@dataclass(frozen=True)
class Launch:
    """One launch.

    Args:
      loaded: the scenario, `file` with `changes` applied.
      changes: `key=value`, which every node applies too.
      tor: None: straight, over loopback.
    """

    loaded: LoadedScenario
    file: Path
    changes: Sequence[str]
    progress: Display
    tor: ThroughTor | None = None

    def run(self, into: Path) -> Path:
        """Run all nodes to their ends; the run's folder.

        Raises:
          LocalError: the scenario cannot be launched, or a node has failed; with its exit code.
        """
        with charter_errors_in(self.loaded.path):
            launching = self._launching()
        if len(launching.names) > MAX_LAUNCHED:
            raise UsageError(
                f"{len(launching.names)} nodes are more than {MAX_LAUNCHED} on one machine",
                hint="lower [parties] count, or run it with: troth simulate",
            )
        scenario = self.loaded.scenario
        running = summary_of(scenario, "running", "real")
        folder = RunFolder.create(into, self.loaded.text, running, base=self.loaded.base)

        def summary(status: Status) -> Summary:
            rounds = folder.rounds()
            return summary_of(
                scenario,
                status,
                "real",
                rounds=rounds[-1].round if rounds else 0,
                final=rounds[-1].metrics if rounds else None,
            )

        life = Life(summary, self.progress, folder, problem=lambda error: error.message)
        processes = Processes(
            launching.names, folder.path / NODES, self.file, self.changes, life.round
        )
        with locked(folder.path), life.running():
            asyncio.run(_play(launching, processes))
            outcome, models = together(launching, folder)
            way = "over TLS on loopback" if self.tor is None else "over TLS, by Tor"
            note = f"{len(launching.names)} processes on one machine, {way}"
            life.finish(msgspec.structs.replace(outcome, notes=[*outcome.notes, note]), models)
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


async def _play(launching: Launching, processes: Processes) -> None:
    async with launching.bring(processes) as brought:
        await processes.play(lambda: launching.start(processes, brought))


def together(launching: Launching, folder: RunFolder) -> tuple[Summary, Models]:
    """What the nodes of a launch have left in their folders, as the outcome of one run: its summary
    without its way over the network, and its model, or that of each party.

    Args:
      folder: the run's, with the nodes' folders in it.
    """
    left = {name: RunFolder.open(folder.path / NODES / name) for name in launching.names}
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
