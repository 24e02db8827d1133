"""`troth node`: one node of a real run, and the folder that it leaves.

A node's folder is a run's folder, with its journal beside. A node that is started again in its
folder goes on where it was; so does one that was killed at any point.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import msgspec

from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity, PublicId
from troth.data.root import data_root
from troth.deployment.recorder import NodeRecorder, total
from troth.errors import CharterError, LocalError, UsageError
from troth.ids import Bytes, NodeId, Round
from troth.learning.requests import Evaluate
from troth.records import Metrics, PartyRecord, RoundRecord, Status, Summary, Traffic
from troth.report.folder import RunFolder
from troth.report.progress import Progress
from troth.simulation import NO_PRIVACY, peak_rss_bytes
from troth.wire import Float32s
from troth.worlds.real.host import Tally
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Connect, Listen, Outcome, run_node
from troth.worlds.real.stage import NodeStage, prepare_node
from troth.worlds.states import decode_state

JOURNAL = "journal.sqlite"


@dataclass(frozen=True)
class NodeResult:
    """What a node leaves behind."""

    summary: Summary
    folder: Path
    parameters: Float32s | None


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
    folder = _folder(loaded, stage, into)
    journal = Journal(folder.path / JOURNAL, node=id, run=run)
    try:
        return _Play(stage, folder, journal, progress).go(identity, peers, where, limits)
    finally:
        journal.close()
        stage.engine.close()


def _folder(loaded: LoadedScenario, stage: NodeStage, into: Path) -> RunFolder:
    if not into.exists():
        summary = summary_of(stage, Tally(), status="running")
        # A name that somebody else takes at this moment is not ours to go on with.
        return RunFolder.create(into, loaded.text, summary)
    folder = RunFolder.open(into)
    if folder.summary().world != "real":
        raise UsageError(
            f"{into}: is the folder of a simulated run", hint="choose another one with --into"
        )
    return folder


class _Play:
    def __init__(
        self, stage: NodeStage, folder: RunFolder, journal: Journal, progress: Progress
    ) -> None:
        self._stage = stage
        self._folder = folder
        self._journal = journal
        self._progress = progress
        kept = journal.load().tally
        self._tally: Tally = decode_state(Tally, kept) if kept else Tally()
        # Rounds after the last saved state will be reported again.
        folder.truncate_rounds(self._tally.rounds)
        self._recorder = NodeRecorder(stage, earlier=folder.rounds(), on_round=self._on_round)

    def go(
        self,
        identity: Identity,
        peers: Mapping[NodeId, PublicId],
        where: Listen | Connect,
        limits: Limits | None,
    ) -> NodeResult:
        summary = self._summary("running")
        self._folder.write_summary(summary)
        self._progress.start(summary)
        try:
            outcome = asyncio.run(
                run_node(
                    self._stage,
                    identity,
                    peers,
                    where,
                    journal=self._journal,
                    observer=self._recorder,
                    limits=limits,
                )
            )
            return self._finish(outcome)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            problem = str(error) if isinstance(error, LocalError) else repr(error)
            summary = msgspec.structs.replace(
                self._summary("interrupted" if stopped else "failed"),
                problem="interrupted" if stopped else problem,
            )
            self._folder.finish(summary)
            self._progress.finish(summary)
            raise

    def _on_round(self, record: RoundRecord) -> None:

        self._folder.append_round(record)
        self._progress.round(record)

    def _summary(self, status: Status) -> Summary:
        summary = summary_of(self._stage, self._tally, status=status)
        return _with_rounds(summary, self._recorder)

    def _finish(self, outcome: Outcome) -> NodeResult:
        self._tally = outcome.tally
        summary = self._summary("finished")
        if outcome.absent:
            absent = ", ".join(outcome.absent)
            note = f"did not fetch the last messages in time: {absent}"
            summary = msgspec.structs.replace(summary, notes=[*summary.notes, note])
        if outcome.parameters is not None:
            summary = self._measured(summary, outcome.parameters)
            self._folder.write_model({"params": outcome.parameters}, summary.charter_digest)
        self._folder.write_privacy(NO_PRIVACY)
        self._folder.finish(summary)
        self._progress.finish(summary)
        return NodeResult(summary, self._folder.path, outcome.parameters)

    def _measured(self, summary: Summary, params_D: Float32s) -> Summary:
        """The final model on the test set and, at a party, on its own rows."""
        engine, id = self._stage.engine, self._stage.id
        (final,) = engine.run([Evaluate(params_D, None, None, None)])
        parties = summary.parties
        if id in self._stage.parties:
            own: list[Metrics] = engine.run([Evaluate(params_D, id, None, None)])
            parties = [msgspec.structs.replace(party, own=own[0]) for party in parties]
        return msgspec.structs.replace(summary, final=final, parties=parties)


def summary_of(stage: NodeStage, tally: Tally, *, status: Status) -> Summary:
    """What a node can say of its run: the hub of all parties, a party of itself."""
    charter = stage.scenario.charter
    at_hub = stage.id == stage.hub
    traffic: dict[str, list[int]] = {}
    for by_type in (*tally.sent.values(), *tally.received.values()):
        for name, (messages, size) in by_type.items():
            counts = traffic.setdefault(name, [0, 0])
            counts[0] += messages
            counts[1] += size
    parties = []
    for party, examples in stage.parties.items():
        if not at_hub and party != stage.id:
            continue
        link = party if at_hub else stage.hub
        theirs, ours = tally.received.get(link, {}), tally.sent.get(link, {})
        sent, received = (theirs, ours) if at_hub else (ours, theirs)
        parties.append(
            PartyRecord(
                party=party,
                examples=examples,
                bytes_sent=Bytes(sum(size for _, size in sent.values())),
                bytes_received=Bytes(sum(size for _, size in received.values())),
                messages_sent=sum(messages for messages, _ in sent.values()),
                sent={
                    name: Traffic(messages=messages, bytes=Bytes(size))
                    for name, (messages, size) in sorted(sent.items())
                },
            )
        )
    return Summary(
        status=status,
        world="real",
        name=charter.name,
        protocol=str(charter.protocol.__struct_config__.tag),
        seed=stage.scenario.seed,
        troth_version=version("troth"),
        charter_digest=charter_digest(charter),
        rounds_planned=charter.training.rounds,
        dimension=stage.bench.model.dimension,
        task=charter.task.kind,
        parties=parties,
        traffic={
            name: Traffic(messages=messages, bytes=Bytes(size))
            for name, (messages, size) in sorted(traffic.items())
        },
        bytes_sent=Bytes(total(tally)[1]),
        peak_rss_bytes=peak_rss_bytes(),
        engine=stage.engine.name,
        device=stage.device,
        privacy=NO_PRIVACY,
        notes=list(stage.notes),
    )


def _with_rounds(summary: Summary, recorder: NodeRecorder) -> Summary:
    """With what the rounds say: how far it came, and what became of every contribution."""
    rounds = recorder.rounds
    accepted = Counter(node for record in rounds for node in record.accepted)
    rejected = Counter(rejection.node for record in rounds for rejection in record.rejected)
    missing = Counter(node for record in rounds for node in record.missing)
    measured = [record.metrics for record in rounds if record.metrics is not None]
    return msgspec.structs.replace(
        summary,
        rounds=rounds[-1].round if rounds else Round(0),
        final=measured[-1] if measured else None,
        measured_s=recorder.measured_s,
        parties=[
            msgspec.structs.replace(
                party,
                accepted=accepted[party.party],
                rejected=rejected[party.party],
                missing=missing[party.party],
            )
            for party in summary.parties
        ],
    )
