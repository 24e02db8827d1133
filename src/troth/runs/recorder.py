"""Turns what nodes report, and what they refuse, into the records of a run's rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from troth.charter.scenario import Scenario
from troth.engines.engine import Engine
from troth.errors import PeerError, RoundFailedError
from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds
from troth.learning.requests import Evaluate
from troth.records import Metrics, Rejection, RoundRecord
from troth.roles.effects import Report
from troth.runs.summary import mean_metrics
from troth.wire import Float32s
from troth.worlds.states import decode_state, encode_state

MAX_REFUSALS_PER_ROUND = 1_000
"""Refused messages listed in one round's record; the rest are counted in its last line."""


class _OwnRound(msgspec.Struct):
    """A round that some of several nodes have reported, each with a model of its own: these models,
    where the round is evaluated."""

    simulated_s: float = 0.0
    accepted: list[NodeId] = []
    params: dict[NodeId, Float32s] = {}


class _Unrecorded(msgspec.Struct):
    """What the records of earlier rounds do not hold, for a snapshot."""

    rounds: int = 0
    measured_s: float = 0.0
    own: dict[int, _OwnRound] = {}
    refused: list[Rejection] = []
    refused_beyond: int = 0


class Recorder:
    """Makes the records of a run's rounds, and measures the model in rounds that are due.

    Args:
      scenario: says which rounds are evaluated.
      engine: evaluates models on the test set.
      traffic: total (messages, bytes) sent so far.
      on_round: given every finished record, in order.
      target: the (source, target) classes by which an attack rate is measured, if any.
      reporting: how many nodes report every round; more than one where each has a model of its own.
      earlier: the records of rounds before this start of the run.
    """

    def __init__(
        self,
        scenario: Scenario,
        engine: Engine,
        *,
        traffic: Callable[[], tuple[int, int]],
        on_round: Callable[[RoundRecord], None],
        target: tuple[int, int] | None = None,
        reporting: int = 1,
        earlier: Sequence[RoundRecord] = (),
    ) -> None:
        self.rounds = list(earlier)
        self._scenario = scenario
        self._engine = engine
        self._traffic = traffic
        self._on_round = on_round
        self._target = target or (None, None)
        self._reporting = reporting
        self._open = _Unrecorded(measured_s=earlier[-1].measured_s if earlier else 0.0)
        self._began_s = time.perf_counter()

    @property
    def measured_s(self) -> MeasuredSeconds:
        """Wall-clock time of the run over all its starts; what passed between them does not
        count."""
        return MeasuredSeconds(self._open.measured_s + time.perf_counter() - self._began_s)

    def state(self) -> bytes:
        """What a snapshot has to hold so that the recorder can go on from it."""
        rounds = self.rounds[-1].round if self.rounds else 0
        return encode_state(
            msgspec.structs.replace(self._open, rounds=rounds, measured_s=self.measured_s)
        )

    def restore(self, state: bytes) -> int:
        """The inverse of `state`; how many rounds had been recorded, which belong in `rounds`."""
        self._open = decode_state(_Unrecorded, state)
        self._began_s = time.perf_counter()
        return self._open.rounds

    def refused(self, receiver: NodeId, error: PeerError) -> None:
        """A message that a node threw away; it is listed with the next round."""
        for culprit in error.culprits:
            if len(self._open.refused) < MAX_REFUSALS_PER_ROUND:
                reason = f"{receiver} refused a message: {error.message}"
                self._open.refused.append(Rejection(node=culprit, reason=reason))
            else:
                self._open.refused_beyond += 1

    def report(self, node: NodeId, report: Report, simulated_s: SimulatedSeconds) -> None:
        """A node says that a round is over.

        Raises:
          RoundFailedError: the node's model is no longer finite.
        """
        if not np.isfinite(report.params_D).all():
            raise RoundFailedError(
                f"round {report.round}: the model of {node} is no longer finite",
                hint="lower [training] learning_rate, or choose a robust aggregation rule",
            )
        every = self._scenario.evaluation.every
        due = report.round % every == 0 or report.round == self._scenario.charter.training.rounds
        if self._reporting == 1:
            self._record(report, simulated_s, self._evaluate([report.params_D] if due else []))
            return
        own = self._open.own.setdefault(report.round, _OwnRound())
        own.simulated_s = max(own.simulated_s, simulated_s)
        own.accepted.append(node)
        if due:
            own.params[node] = report.params_D
        if len(own.accepted) == self._reporting:
            self._record_own(report.round)

    def close(self) -> None:
        """After the run: rounds that not every node has finished (some were away) are recorded
        too."""
        for round in sorted(self._open.own):
            self._record_own(Round(round))

    def _evaluate(self, models: Sequence[Float32s]) -> Metrics | None:
        """Of several models the mean, and None of none."""
        requests = [Evaluate(params_D, None, *self._target) for params_D in models]
        return mean_metrics(self._engine.run(requests)) if requests else None

    def _record_own(self, round: Round) -> None:
        own = self._open.own.pop(round)
        metrics = self._evaluate([own.params[node] for node in sorted(own.params)])
        report = Report(round, np.zeros(0, np.float32), tuple(sorted(own.accepted)))
        self._record(report, SimulatedSeconds(own.simulated_s), metrics)

    def _record(
        self, report: Report, simulated_s: SimulatedSeconds, metrics: Metrics | None
    ) -> None:
        refused, self._open.refused = self._open.refused, []
        if self._open.refused_beyond:
            reason = f"and {self._open.refused_beyond} more messages refused"
            refused.append(Rejection(node=refused[-1].node, reason=reason))
            self._open.refused_beyond = 0
        messages, sent = self._traffic()
        record = RoundRecord(
            round=report.round,
            simulated_s=simulated_s,
            measured_s=self.measured_s,
            metrics=metrics,
            accepted=list(report.accepted),
            rejected=[*report.rejected, *refused],
            missing=list(report.missing),
            bytes_sent=Bytes(sent),
            messages_sent=messages,
        )
        self.rounds.append(record)
        self._on_round(record)
