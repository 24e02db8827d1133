"""What a node of a real run leaves: a run's folder, with its journal beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from troth.charter.digest import charter_digest
from troth.deployment.recorder import NodeRecorder, total
from troth.errors import LocalError, UsageError
from troth.ids import Bytes, PartyId, Round
from troth.learning.requests import Evaluate
from troth.protocols.account import own_account
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Account
from troth.records import (
    Metrics,
    PartyPrivacy,
    PartyRecord,
    PrivacyRecord,
    RoundRecord,
    Status,
    Summary,
    Traffic,
)
from troth.report.folder import RunFolder
from troth.report.privacy import UNKNOWN_PRIVACY, own_privacy_record
from troth.report.progress import Progress
from troth.simulation import peak_rss_bytes
from troth.wire import Float32s
from troth.worlds.real.host import Tally
from troth.worlds.real.journal import Journal
from troth.worlds.real.node import Outcome
from troth.worlds.real.stage import NodeStage, Star
from troth.worlds.states import decode_state

JOURNAL = "journal.sqlite"


@dataclass(frozen=True)
class NodeResult:
    """What a node leaves behind."""

    summary: Summary
    folder: Path
    parameters: Float32s | None


def open_folder(stage: NodeStage, text: str, into: Path) -> RunFolder:
    """The node's folder; one that it was started in before is gone on with.

    Raises:
      UsageError: it holds something else.
    """
    if not into.exists():
        summary = summary_of(stage, Tally(), status="running")
        # A name that somebody else takes at this moment is not ours to go on with.
        return RunFolder.create(into, text, summary)
    folder = RunFolder.open(into)
    if folder.summary().world != "real":
        raise UsageError(
            f"{into}: is the folder of a simulated run", hint="choose another one with --into"
        )
    return folder


class Play:
    """The folder of one start of a node: what is written before, during and after it runs."""

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

    @property
    def recorder(self) -> NodeRecorder:
        """The node's observer."""
        return self._recorder

    def start(self) -> None:
        """The node runs."""
        summary = self._summary("running")
        self._folder.write_summary(summary)
        self._progress.start(summary)

    def fail(self, error: BaseException) -> None:
        """The node has stopped early."""
        stopped = isinstance(error, KeyboardInterrupt)
        problem = str(error) if isinstance(error, LocalError) else repr(error)
        summary = msgspec.structs.replace(
            self._summary("interrupted" if stopped else "failed"),
            problem="interrupted" if stopped else problem,
        )
        self._folder.finish(summary)
        self._progress.finish(summary)

    def _on_round(self, record: RoundRecord) -> None:
        self._folder.append_round(record)
        self._progress.round(record)

    def _summary(self, status: Status) -> Summary:
        saved = self._journal.load().state
        summary = summary_of(self._stage, self._tally, status=status, saved=saved)
        summary = with_rounds(summary, self._recorder.rounds)
        return msgspec.structs.replace(summary, measured_s=self._recorder.measured_s)

    def finish(self, outcome: Outcome) -> NodeResult:
        """The node has done its part."""
        self._tally = outcome.tally
        summary = self._summary("finished")
        summary = msgspec.structs.replace(summary, notes=[*summary.notes, *outcome.notes])
        if outcome.absent:
            absent = ", ".join(outcome.absent)
            note = f"did not fetch the last messages in time: {absent}"
            summary = msgspec.structs.replace(summary, notes=[*summary.notes, note])
        if outcome.parameters is not None:
            summary = self._measured(summary, outcome.parameters)
            self._folder.write_model({"params": outcome.parameters}, summary.charter_digest)
        assert summary.privacy is not None
        self._folder.write_privacy(summary.privacy)
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


def summary_of(
    stage: NodeStage, tally: Tally, *, status: Status, saved: bytes | None = None
) -> Summary:
    """What a node can say of its run: a hub of all parties, a party of itself.

    Args:
      saved: the state that the node's role has last saved.
    """
    charter = stage.scenario.charter
    account = _account(stage, saved)
    at_hub = isinstance(stage.topology, Star) and stage.id == stage.topology.hub
    traffic = _by_type((*tally.sent.values(), *tally.received.values()))
    parties = []
    for party, examples in stage.parties.items():
        if not at_hub and party != stage.id:
            continue
        if at_hub:
            sent, received = tally.received.get(party, {}), tally.sent.get(party, {})
        else:
            sent, received = _by_type(tally.sent.values()), _by_type(tally.received.values())
        parties.append(
            PartyRecord(
                party=party,
                examples=examples,
                bytes_sent=Bytes(sum(size for _, size in sent.values())),
                bytes_received=Bytes(sum(size for _, size in received.values())),
                messages_sent=sum(messages for messages, _ in sent.values()),
                told=account.told if party == stage.id else None,
                stopped=account.stopped if party == stage.id else None,
                measures=dict(account.measures if party == stage.id else {}) or msgspec.UNSET,
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
        privacy=_privacy(stage, account),
        notes=list(stage.notes),
    )


def _by_type(counts: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Messages and bytes, of all peers together."""
    together: dict[str, tuple[int, int]] = {}
    for of_peer in counts:
        for name, (messages, size) in of_peer.items():
            before = together.get(name, (0, 0))
            together[name] = (before[0] + messages, before[1] + size)
    return together


def _account(stage: NodeStage, saved: bytes | None) -> Account:
    protocol, id = stage.scenario.charter.protocol, PartyId(stage.id)
    if id not in stage.parties:
        return Account(PartyPrivacy(party=id, mechanism="none"))

    def load(type_: type[Any]) -> Any:
        return None if saved is None else decode_state(type_, saved)

    return own_account(
        protocol,
        id,
        stage.privacy,
        load,
        training=stage.scenario.charter.training,
        dimension=stage.bench.model.dimension,
    )


def _privacy(stage: NodeStage, account: Account) -> PrivacyRecord:
    """Of itself; whoever serves providers does not know theirs."""
    brokered = protocol_of(stage.scenario.charter.protocol).topology == "brokered"
    if brokered and PartyId(stage.id) not in stage.parties:
        return UNKNOWN_PRIVACY
    return own_privacy_record(account.privacy)


def with_rounds(summary: Summary, rounds: Sequence[RoundRecord]) -> Summary:
    """With what the rounds say: how far it came, and what became of every contribution."""
    accepted = Counter(node for record in rounds for node in record.accepted)
    rejected = Counter(rejection.node for record in rounds for rejection in record.rejected)
    missing = Counter(node for record in rounds for node in record.missing)
    measured = [record.metrics for record in rounds if record.metrics is not None]
    return msgspec.structs.replace(
        summary,
        rounds=rounds[-1].round if rounds else Round(0),
        final=measured[-1] if measured else None,
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
