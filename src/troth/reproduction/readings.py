"""What can be read off a finished run; each kind is a table of the experiment's file.

A protocol has readings of its own beside these; see `troth.reproduction.offered`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import msgspec

from troth.records import PartyRecord
from troth.report.read import Run
from troth.specification import NonNegative, Positive, Probability, Table

Line = Annotated[str, msgspec.Meta(min_length=1)]
Side = Literal["honest", "attackers"]
Unit = Literal["share", "seconds", "count", "number"]
"""What a reading is counted in; `number` is anything that is none of the others."""


class Reading(Table, frozen=True, tag_field="kind", kw_only=True):
    """A number that is read off a finished run."""

    unit: ClassVar[Unit]
    """The same for all of a kind, unless it is a key of its table."""
    label: Line
    """What its column is called."""

    def read_off(self, run: Run) -> float | None:
        """The reading of this run; None where the run never comes to it. Rounds that were not
        evaluated are passed over. Every kind says how."""
        # A table cannot have abstract methods: its class is made otherwise than theirs.
        raise NotImplementedError


class FinalError(Reading, frozen=True, tag="final_error", kw_only=True):
    """The error of the final model on the test set."""

    unit: ClassVar[Unit] = "share"

    def read_off(self, run: Run) -> float | None:
        return None if run.summary.final is None else run.summary.final.error


class FinalAttackRate(Reading, frozen=True, tag="final_attack_rate", kw_only=True):
    """The share of the attack's source examples in the test set that the final model takes for its
    target."""

    unit: ClassVar[Unit] = "share"

    def read_off(self, run: Run) -> float | None:
        return None if run.summary.final is None else run.summary.final.attack_rate


class _SpanReading(Reading, frozen=True, kw_only=True):
    """What is read off all rounds that end in a span of simulated time."""

    unit: ClassVar[Unit] = "share"

    from_s: NonNegative = 0.0
    until_s: Positive | None = None
    """The simulated second at which the span ends; absent: with the run."""

    def errors(self, run: Run) -> list[float]:
        """The errors of these rounds, in order."""
        until_s = math.inf if self.until_s is None else self.until_s
        return [error for end_s, error in error_curve(run) if self.from_s <= end_s <= until_s]


class WorstError(_SpanReading, frozen=True, tag="worst_error", kw_only=True):
    """The highest error of all rounds that end in a span of simulated time."""

    def read_off(self, run: Run) -> float | None:
        return max(self.errors(run), default=None)


class MeanError(_SpanReading, frozen=True, tag="mean_error", kw_only=True):
    """The mean error of all rounds that end in a span of simulated time."""

    def read_off(self, run: Run) -> float | None:
        errors = self.errors(run)
        return over(sum(errors), len(errors))


class ErrorAt(Reading, frozen=True, tag="error_at", kw_only=True):
    """The error of the last round that was over at a simulated time."""

    unit: ClassVar[Unit] = "share"

    time_s: Positive

    def read_off(self, run: Run) -> float | None:
        before = [error for seconds, error in error_curve(run) if seconds <= self.time_s]
        return before[-1] if before else None


class TimeToError(Reading, frozen=True, tag="time_to_error", kw_only=True):
    """The simulated time at which the error is at most `error` for the first time."""

    unit: ClassVar[Unit] = "seconds"

    error: Probability

    def read_off(self, run: Run) -> float | None:
        return next((s for s, error in error_curve(run) if error <= self.error), None)


class RoundTime(Reading, frozen=True, tag="round_time", kw_only=True):
    """The simulated time of a round, on average."""

    unit: ClassVar[Unit] = "seconds"

    def read_off(self, run: Run) -> float | None:
        return over(run.rounds[-1].simulated_s, run.rounds[-1].round) if run.rounds else None


class Duration(Reading, frozen=True, tag="duration", kw_only=True):
    """The simulated time of the whole run."""

    unit: ClassVar[Unit] = "seconds"

    def read_off(self, run: Run) -> float | None:
        return run.summary.simulated_s


class Contributions(Reading, frozen=True, tag="contributions", kw_only=True):
    """How many contributions were accepted or rejected."""

    unit: ClassVar[Unit] = "count"

    fate: Literal["accepted", "rejected"]
    of: Side
    each: bool = False
    """On average for each party, in place of all together."""

    def read_off(self, run: Run) -> float | None:
        chosen = parties_of(run, self.of)
        total = sum(p.accepted if self.fate == "accepted" else p.rejected for p in chosen)
        return over(total, len(chosen)) if self.each else total


class AcceptedShare(Reading, frozen=True, tag="accepted_share", kw_only=True):
    """Which share of all accepted contributions came from them."""

    unit: ClassVar[Unit] = "share"

    of: Side

    def read_off(self, run: Run) -> float | None:
        everybody = sum(p.accepted for p in run.summary.parties)
        return over(sum(p.accepted for p in parties_of(run, self.of)), everybody)


class WorkPerAccepted(Reading, frozen=True, tag="work_per_accepted", kw_only=True):
    """The work of all of them over their accepted contributions; work for rejected ones, and for
    joining, counts too."""

    unit: ClassVar[Unit] = "count"

    of: Side
    work: Line = "solve_puzzle"
    """The computation, by its label in cost models; of `solve_puzzle` a unit is one hash."""

    def read_off(self, run: Run) -> float | None:
        chosen = parties_of(run, self.of)
        done = sum(p.work.get(self.work, 0.0) for p in chosen)
        return over(done, sum(p.accepted for p in chosen))


class ComputingTime(Reading, frozen=True, tag="computing_time", kw_only=True):
    """Simulated seconds that one peer computes for some kinds of work, if it does each once, on
    average."""

    unit: ClassVar[Unit] = "seconds"

    work: Annotated[list[Line], msgspec.Meta(min_length=1)]
    """The computations, by their labels in cost models."""

    def read_off(self, run: Run) -> float | None:
        parties, total_s = run.summary.parties, 0.0
        for label in self.work:
            seconds = sum(party.work_s.get(label, 0.0) for party in parties)
            each_s = over(seconds, sum(party.work.get(label, 0.0) for party in parties))
            if each_s is None:
                return None
            total_s += each_s
        return total_s


class SentBytes(Reading, frozen=True, tag="sent_bytes", kw_only=True):
    """What all nodes send in a round in messages of some types, on average."""

    unit: ClassVar[Unit] = "count"

    messages: Annotated[list[Line], msgspec.Meta(min_length=1)]

    def read_off(self, run: Run) -> float | None:
        traffic = run.summary.traffic
        sent = sum(traffic[name].bytes for name in self.messages if name in traffic)
        return over(sent, run.summary.rounds)


class Measure(Reading, frozen=True, tag="measure", kw_only=True):
    """What the protocol says of each of them under a name of its own, as one number."""

    name: Line
    """Of the measure: `stake`."""
    of: Side
    take: Literal["mean", "min", "max", "sum"] = "mean"
    unit: Unit = "number"  # type: ignore[misc]  # a key of the file here

    def read_off(self, run: Run) -> float | None:
        chosen = parties_of(run, self.of)
        held = [value for p in chosen if (value := p.measure(self.name)) is not None]
        return _TAKES[self.take](held) if held else None


class Value(Table, frozen=True, tag_field="kind", tag="value", kw_only=True):
    """A number that an experiment's own computation returned."""

    label: Line
    name: Line
    """What the computation calls it."""
    unit: Unit = "number"


READINGS: tuple[type[Reading], ...] = (
    FinalError,
    FinalAttackRate,
    WorstError,
    MeanError,
    ErrorAt,
    TimeToError,
    RoundTime,
    Duration,
    ComputingTime,
    SentBytes,
    Contributions,
    AcceptedShare,
    WorkPerAccepted,
    Measure,
)
"""Those of every protocol's runs."""


def parties_of(run: Run, side: Side) -> list[PartyRecord]:
    """The run's honest parties, or its attackers."""
    return [p for p in run.summary.parties if (p.attacker is not None) == (side == "attackers")]


def over(total: float, count: float) -> float | None:
    """The quotient; None for nothing over nothing."""
    return total / count if count else None


def error_curve(run: Run) -> list[tuple[float, float]]:
    """Simulated seconds and error on the test set of every evaluated round, in order."""
    return [(r.simulated_s, r.metrics.error) for r in run.rounds if r.metrics is not None]


_TAKES: dict[str, Callable[[list[float]], float]] = {
    "mean": lambda held: sum(held) / len(held),
    "min": min,
    "max": max,
    "sum": sum,
}
