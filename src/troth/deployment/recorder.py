"""Watches one node of a real run and turns what its role reports into round records."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from troth.errors import PeerError, RoundFailedError
from troth.ids import Bytes, MeasuredSeconds, SimulatedSeconds
from troth.learning.requests import Evaluate
from troth.records import Metrics, Rejection, RoundRecord
from troth.roles.effects import Report
from troth.worlds.real.host import Tally
from troth.worlds.real.stage import NodeStage

MAX_REFUSALS_PER_ROUND = 1_000
"""Refused messages that are kept until the next round's record; more are only counted."""


class NodeRecorder:
    """The observer of one node.

    Args:
      stage: what runs.
      earlier: the records of rounds before this start of the node.
      on_round: given every new record, in order.
    """

    def __init__(
        self,
        stage: NodeStage,
        *,
        earlier: Sequence[RoundRecord],
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self.rounds = list(earlier)
        self._stage = stage
        self._on_round = on_round
        self._refused: list[Rejection] = []
        self._refused_beyond = 0
        self._began_s = time.perf_counter() - (earlier[-1].measured_s if earlier else 0.0)

    @property
    def measured_s(self) -> MeasuredSeconds:
        """Wall-clock time of the run; what passed while the node was down does not count."""
        return MeasuredSeconds(time.perf_counter() - self._began_s)

    def refused(self, error: PeerError) -> None:
        """A peer sent something that was thrown away; it is listed with the next round."""
        for culprit in error.culprits:
            if len(self._refused) < MAX_REFUSALS_PER_ROUND:
                reason = f"{self._stage.id} refused a message: {error.message}"
                self._refused.append(Rejection(node=culprit, reason=reason))
            else:
                self._refused_beyond += 1

    def report(self, report: Report, tally: Tally) -> None:
        """A round is over.

        Raises:
          RoundFailedError: the model is no longer finite.
        """
        if not np.isfinite(report.params_D).all():
            raise RoundFailedError(
                f"round {report.round}: the model of {self._stage.id} is no longer finite",
                hint="lower [training] learning_rate, or choose a robust aggregation rule",
            )
        every = self._stage.scenario.evaluation.every
        last = self._stage.scenario.charter.training.rounds
        metrics: Metrics | None = None
        if report.round % every == 0 or report.round == last:
            (metrics,) = self._stage.engine.run([Evaluate(report.params_D, None, None, None)])
        refused, self._refused = self._refused, []
        if self._refused_beyond:
            reason = f"and {self._refused_beyond} more messages refused"
            refused.append(Rejection(node=refused[-1].node, reason=reason))
            self._refused_beyond = 0
        messages, size = total(tally)
        record = RoundRecord(
            round=report.round,
            simulated_s=SimulatedSeconds(0.0),
            measured_s=self.measured_s,
            metrics=metrics,
            accepted=list(report.accepted),
            rejected=[*report.rejected, *refused],
            missing=list(report.missing),
            bytes_sent=Bytes(size),
            messages_sent=messages,
        )
        self.rounds.append(record)
        self._on_round(record)


def total(tally: Tally) -> tuple[int, int]:
    """Messages and bytes that this node has sent and taken."""
    counts = [
        count
        for by_peer in (tally.sent, tally.received)
        for by_type in by_peer.values()
        for count in by_type.values()
    ]
    return sum(messages for messages, _ in counts), sum(size for _, size in counts)
