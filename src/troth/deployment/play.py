"""What a node of a real run leaves: a run's folder, with its journal beside."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from troth.errors import PeerError, UsageError, VerificationError
from troth.ids import Bytes, PartyId, SimulatedSeconds
from troth.learning.requests import Evaluate
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Account
from troth.records import Metrics, PartyPrivacy, PrivacyRecord, RoundRecord, Status, Summary
from troth.report.atomic import locked
from troth.report.folder import PARAMS, RunFolder, digest_of_rounds, is_empty
from troth.report.privacy import UNKNOWN_PRIVACY, own_privacy_record
from troth.report.progress import Display
from troth.report.read import ROUNDS, SCENARIO
from troth.roles.effects import Report
from troth.runs.life import Life
from troth.runs.nothing import check_trained
from troth.runs.recorder import Recorder
from troth.runs.summary import (
    added,
    party_record,
    peak_rss_bytes,
    summary_of,
    traffic_of,
    with_rounds,
)
from troth.wire import Float32s
from troth.worlds.real.host import Tally
from troth.worlds.real.journal import LOST, Journal
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


def open_folder(stage: NodeStage, text: str, into: Path, *, base: Path | None = None) -> RunFolder:
    """The node's folder; one that it was started in before is gone on with.

    Args:
      base: as `RunFolder.create`.

    Raises:
      UsageError: it holds something else.
      VerificationError: a file in it is damaged, or it is of another scenario.
    """
    if not into.exists() or is_empty(into):
        summary = node_summary(stage, Tally(), status="running")
        # A name that somebody else takes at this moment is not ours to go on with.
        return RunFolder.create(into, text, summary, base=base, private=True)
    folder = RunFolder.open(into, private=True)
    if folder.summary().world != "real":
        raise UsageError(
            f"{into}: is the folder of a simulated run", hint="choose another one with --into"
        )
    if folder.scenario_text() != text:
        raise VerificationError(
            f"{into / SCENARIO}: is not the scenario that this node is started with",
            hint="put back the one it began with; a node of another run takes another --into",
        )
    return folder


class Play:
    """One start of a node: its journal, and what its folder and display are told. It is the node's
    observer. `close` closes the journal and the stage's engine.

    Args:
      run: what tells this run from others, for the journal.

    Raises:
      UsageError, VerificationError: as `Journal`.
    """

    def __init__(self, stage: NodeStage, folder: RunFolder, progress: Display, *, run: str) -> None:
        self.stage = stage
        self._lock = ExitStack()
        self._lock.enter_context(locked(folder.path))
        try:
            self.journal = Journal(
                folder.path / JOURNAL, node=stage.id, run=run, known=_known_of(folder)
            )
        except BaseException:
            self._lock.close()
            raise
        self._folder = folder
        self._traffic = (0, 0)
        self.life = Life(self._summary, progress, folder)
        """The node runs within `life.running()`, which ends with `finish` or an error."""
        with ExitStack() as on_error:
            on_error.callback(self.close)
            kept = self.journal.load().tally
            self._tally: Tally = decode_state(Tally, kept) if kept else Tally()
            recorded = folder.rounds()
            # Rounds after the last saved state will be reported again.
            self._recorded = recorded[-1].round if recorded else 0
            earlier = [each for each in recorded if each.round <= self._tally.rounds]
            if self.journal.kept_beside() not in (None, digest_of_rounds(earlier)):
                raise VerificationError(
                    f"{folder.path / ROUNDS}: is damaged: the rounds up to {self._tally.rounds} "
                    "are not those that this node has recorded",
                    hint=LOST,
                )
            self._digest = sha256(b"".join(map(msgspec.json.encode, earlier)))
            self._last, self._backwards = self._tally.rounds, False
            self._synced = True
            self.journal.beside = self
            self._recorder = Recorder(
                stage.scenario,
                stage.engine,
                traffic=lambda: self._traffic,
                on_round=self._round,
                earlier=earlier,
            )
            on_error.pop_all()

    def _round(self, record: RoundRecord) -> None:
        again = record.round <= self._recorded
        self.life.round(record, again=again)
        self._backwards = self._backwards or record.round <= self._last
        if again or self._backwards or record.round != self._last + 1:
            # Other records may stand between those that the digest is of and this one.
            kept = [each for each in self._folder.rounds() if each.round <= record.round]
            self._digest = sha256(b"".join(map(msgspec.json.encode, kept)))
        else:
            self._digest.update(msgspec.json.encode(record))
        self._last = record.round
        self._synced = False

    def digest(self) -> bytes:
        """The digest of all rounds that were reported (`journal.Beside`)."""
        return self._digest.digest()

    def sync(self) -> None:
        """Put all rounds that were reported on the disk (`journal.Beside`)."""
        if not self._synced:
            # A round that is reported meanwhile is put there by the next call.
            self._synced = True
            self._folder.sync_rounds()

    def close(self) -> None:
        """After the last use of journal and engine."""
        self.journal.close()
        self._lock.close()
        self.stage.engine.close()

    def report(self, report: Report, tally: Tally) -> None:
        """Records what the role reports and the traffic so far (`host.Observer`)."""
        self._traffic = _total(tally)
        self._recorder.report(self.stage.id, report, SimulatedSeconds(0.0))

    def refused(self, error: PeerError) -> None:
        """Records that a message of a peer was refused (`host.Observer`)."""
        self._recorder.refused(self.stage.id, error)

    def finish(self, outcome: Outcome) -> NodeResult:
        """The node has done its part.

        Raises:
          RoundFailedError: no update was ever accepted, as far as this node knows.
        """
        self._tally = outcome.tally
        if outcome.parameters is not None:
            check_trained(self._recorder.rounds, [outcome.parameters], self.stage.initial_D)
        summary = self._summary("finished")
        notes = [*summary.notes, *outcome.notes]
        if outcome.absent:
            notes.append(f"did not fetch the last messages in time: {', '.join(outcome.absent)}")
        summary = msgspec.structs.replace(summary, notes=notes)
        models = {}
        if outcome.parameters is not None:
            summary = self._measured(summary, outcome.parameters)
            own = self.stage.cast.own_models
            models[self.stage.id if own else PARAMS] = outcome.parameters
        self.life.finish(summary, models, seal=self.journal.seal)
        return NodeResult(summary, self._folder.path, outcome.parameters)

    def _summary(self, status: Status) -> Summary:
        saved = self.journal.load().state
        summary = node_summary(self.stage, self._tally, status=status, saved=saved)
        summary = with_rounds(summary, self._recorder.rounds)
        return msgspec.structs.replace(summary, measured_s=self._recorder.measured_s)

    def _measured(self, summary: Summary, params_D: Float32s) -> Summary:
        """The final model on the test set and, at a party, on its own rows."""
        engine, id = self.stage.engine, self.stage.id
        (final,) = engine.run([Evaluate(params_D, None, None, None)])
        parties = summary.parties
        if id in self.stage.parties:
            own: list[Metrics] = engine.run([Evaluate(params_D, id, None, None)])
            test = final if self.stage.cast.own_models else None
            parties = [msgspec.structs.replace(party, own=own[0], test=test) for party in parties]
        return msgspec.structs.replace(summary, final=final, parties=parties)


def _known_of(folder: RunFolder) -> str | None:
    """What the folder knows of the node's earlier starts; None if there may have been none."""
    rounds, summary = folder.rounds(), folder.summary()
    last = max(rounds[-1].round if rounds else 0, summary.rounds)
    if last:
        return f"knows of round {last}"
    return "says that it has finished" if summary.status == "finished" else None


def node_summary(
    stage: NodeStage, tally: Tally, *, status: Status, saved: bytes | None = None
) -> Summary:
    """What a node can say of its run: a hub of all parties, a party of itself.

    Args:
      saved: the state that the node's role has last saved.
    """
    account = _account(stage, saved)
    at_hub = isinstance(stage.topology, Star) and stage.id == stage.topology.hub
    parties = []
    for party, examples in stage.parties.items():
        if at_hub:
            sent, received = tally.received.get(party, {}), tally.sent.get(party, {})
        elif party == stage.id:
            sent, received = added(tally.sent.values()), added(tally.received.values())
        else:
            continue
        parties.append(
            party_record(
                party,
                examples,
                sent=sent,
                bytes_received=sum(size for _, size in received.values()),
                account=account if party == stage.id else None,
            )
        )
    return summary_of(
        stage.scenario,
        status,
        "real",
        dimension=stage.bench.model.dimension,
        engine=stage.engine.name,
        device=stage.device,
        notes=list(stage.notes),
        peak_rss_bytes=peak_rss_bytes(),
        parties=parties,
        traffic=traffic_of(added((*tally.sent.values(), *tally.received.values()))),
        bytes_sent=Bytes(_total(tally)[1]),
        privacy=_privacy(stage, account),
    )


def _total(tally: Tally) -> tuple[int, int]:
    """Messages and bytes that this node has sent and taken."""
    counts = added((*tally.sent.values(), *tally.received.values())).values()
    return sum(messages for messages, _ in counts), sum(size for _, size in counts)


def _account(stage: NodeStage, saved: bytes | None) -> Account:
    id = PartyId(stage.id)
    if id not in stage.parties:
        return Account(PartyPrivacy(party=id, mechanism="none"))

    def load(type_: type[Any]) -> Any:
        return None if saved is None else decode_state(type_, saved)

    charter = stage.scenario.charter
    return protocol_of(charter.protocol).account_of(
        charter.charter_tables, id, stage.privacy, load, stage.bench.model.dimension
    )


def _privacy(stage: NodeStage, account: Account) -> PrivacyRecord:
    """Of itself; whoever serves providers does not know theirs."""
    brokered = protocol_of(stage.scenario.charter.protocol).topology == "brokered"
    if brokered and PartyId(stage.id) not in stage.parties:
        return UNKNOWN_PRIVACY
    return own_privacy_record(account.privacy)
