"""Watches a run and turns what nodes report into round records, metrics and tallies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from troth.errors import PeerError, RoundFailedError
from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.learning.requests import Evaluate
from troth.records import Metrics, Rejection, RoundRecord
from troth.roles.effects import Report
from troth.wire import Float32s
from troth.worlds.simulated.stage import Stage
from troth.worlds.states import decode_state, encode_state

MAX_REFUSALS_PER_ROUND = 1_000
"""Refused messages listed in one round's record; the rest are counted in its last line."""


class _OwnRound(msgspec.Struct):
    """A round of `own_models` that some nodes have reported: their models, where it is
    evaluated."""

    simulated_s: float = 0.0
    accepted: list[NodeId] = []
    params: dict[NodeId, Float32s] = {}


class Tally(msgspec.Struct):
    """What became of every party's contributions, and rounds that are not whole yet."""

    accepted: dict[NodeId, int] = {}
    rejected: dict[NodeId, int] = {}
    missing: dict[NodeId, int] = {}
    rounds: int = 0
    last: Metrics | None = None
    measured_s: float = 0.0
    own: dict[int, _OwnRound] = {}
    refused: list[Rejection] = []
    refused_beyond: int = 0


class Recorder:
    """The observer of a simulated run.

    Args:
      stage: what runs.
      traffic: total (messages, bytes) sent so far.
      on_round: given every finished record, in order.
      on_report: given every report as it comes, for claim checkers.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        traffic: Callable[[], tuple[int, int]],
        on_round: Callable[[RoundRecord], None],
        on_report: Callable[[Report], None] | None = None,
    ) -> None:
        self.tally = Tally()
        self._stage = stage
        self._traffic = traffic
        self._on_round = on_round
        self._on_report = on_report
        self._began_s = time.perf_counter()

    @property
    def measured_s(self) -> MeasuredSeconds:
        """Wall-clock time of the run, over all its parts if it was resumed."""
        return MeasuredSeconds(self.tally.measured_s + time.perf_counter() - self._began_s)

    def state(self) -> bytes:
        """For a snapshot."""
        return encode_state(msgspec.structs.replace(self.tally, measured_s=self.measured_s))

    def restore(self, state: bytes) -> None:
        """The inverse of `state`."""
        self.tally = decode_state(Tally, state)
        self._began_s = time.perf_counter()

    def refused(self, receiver: NodeId, error: PeerError) -> None:
        """A message that a node threw away; it is listed with the next round."""
        for culprit in error.culprits:
            if len(self.tally.refused) < MAX_REFUSALS_PER_ROUND:
                reason = f"{receiver} refused a message: {error.message}"
                self.tally.refused.append(Rejection(node=culprit, reason=reason))
            else:
                self.tally.refused_beyond += 1

    def report(self, node: NodeId, report: Report, simulated_s: SimulatedSeconds) -> None:
        """A node says that a round is over."""
        if self._on_report is not None:
            self._on_report(report)
        if not np.isfinite(report.params_D).all():
            raise RoundFailedError(
                f"round {report.round}: the model of {node} is no longer finite",
                hint="lower [training] learning_rate, or choose a robust aggregation rule",
            )
        if not self._stage.cast.own_models:
            metrics = self._evaluate([report.params_D])[0] if self._due(report.round) else None
            self._finish(report, simulated_s, metrics)
            return
        own = self.tally.own.setdefault(report.round, _OwnRound())
        own.simulated_s = max(own.simulated_s, simulated_s)
        own.accepted.append(node)
        if self._due(report.round):
            own.params[node] = report.params_D
        if len(own.accepted) == len(self._stage.cast.leading):
            self._finish_own(report.round)

    def close(self) -> None:
        """After the run: rounds that not every node has finished (some were away) are recorded
        too."""
        for round in sorted(self.tally.own):
            self._finish_own(Round(round))

    def _due(self, round: int) -> bool:
        every, rounds = self._stage.scenario.evaluation.every, self._stage.scenario.charter.training
        return round % every == 0 or round == rounds.rounds

    def _evaluate(self, models: Sequence[Float32s]) -> list[Metrics]:
        source, target = self._stage.target or (None, None)
        return self._stage.engine.run(
            [Evaluate(params_D, None, source, target) for params_D in models]
        )

    def _finish_own(self, round: Round) -> None:
        own = self.tally.own.pop(round)
        nodes = sorted(own.params)
        metrics = mean_metrics(self._evaluate([own.params[node] for node in nodes]))
        report = Report(round, np.zeros(0, np.float32), tuple(sorted(own.accepted)))
        self._finish(report, SimulatedSeconds(own.simulated_s), metrics)

    def _finish(
        self, report: Report, simulated_s: SimulatedSeconds, metrics: Metrics | None
    ) -> None:
        tally = self.tally
        refused, tally.refused = tally.refused, []
        if tally.refused_beyond:
            node = refused[-1].node
            refused.append(
                Rejection(node=node, reason=f"and {tally.refused_beyond} more messages refused")
            )
            tally.refused_beyond = 0
        messages, sent = self._traffic()
        rejected = [*report.rejected, *refused]
        _count(tally.accepted, report.accepted)
        _count(tally.rejected, (rejection.node for rejection in rejected))
        _count(tally.missing, report.missing)
        tally.rounds = report.round
        tally.last = metrics or tally.last
        self._on_round(
            RoundRecord(
                round=report.round,
                simulated_s=simulated_s,
                measured_s=self.measured_s,
                metrics=metrics,
                accepted=list(report.accepted),
                rejected=rejected,
                missing=list(report.missing),
                bytes_sent=Bytes(sent),
                messages_sent=messages,
            )
        )


def _count(counts: dict[NodeId, int], nodes: Iterable[NodeId]) -> None:
    for node in nodes:
        counts[node] = counts.get(node, 0) + 1


def mean_metrics(metrics: Sequence[Metrics]) -> Metrics | None:
    """The mean over models, each on the same examples; None of none."""
    if not metrics:
        return None
    rates = [m.attack_rate for m in metrics if m.attack_rate is not None]
    return Metrics(
        loss=float(np.mean([m.loss for m in metrics])),
        error=float(np.mean([m.error for m in metrics])),
        examples=metrics[0].examples,
        attack_rate=float(np.mean(rates)) if rates else None,
    )
