"""Numbers read off a finished run."""

from __future__ import annotations

from typing import Literal

from troth.ids import NodeId
from troth.protocols.biscotti.operation.stake_readings import stake_shares
from troth.records import PartyRecord
from troth.report.read import Run
from troth.reproduction.spec import (
    AcceptedShare,
    ComputingTime,
    Contributions,
    Curves,
    Duration,
    ErrorAt,
    FinalAttackRate,
    FinalError,
    MeanError,
    ReadingSpec,
    RoundTime,
    SentBytes,
    StakeShare,
    TimeToError,
    WorkPerAccepted,
    WorstError,
)

Unit = Literal["share", "seconds", "count"]


def unit_of(reading: ReadingSpec) -> Unit:
    """What a reading is counted in."""
    match reading:
        case (
            FinalError()
            | FinalAttackRate()
            | WorstError()
            | MeanError()
            | ErrorAt()
            | AcceptedShare()
            | StakeShare()
        ):
            return "share"
        case TimeToError() | RoundTime() | Duration() | ComputingTime():
            return "seconds"
        case Contributions() | WorkPerAccepted() | SentBytes():
            return "count"


def read_off(run: Run, reading: ReadingSpec) -> float | None:
    """The reading of this run; None where it never comes to it. Rounds that were not evaluated are
    passed over."""
    errors = error_curve(run)
    match reading:
        case FinalError():
            return None if run.summary.final is None else run.summary.final.error
        case FinalAttackRate():
            return None if run.summary.final is None else run.summary.final.attack_rate
        case WorstError(from_s=from_s, until_s=until_s):
            return max(_within(errors, from_s, until_s), default=None)
        case MeanError(from_s=from_s, until_s=until_s):
            within = _within(errors, from_s, until_s)
            return _over(sum(within), len(within))
        case ErrorAt(time_s=time_s):
            before = [error for seconds, error in errors if seconds <= time_s]
            return before[-1] if before else None
        case TimeToError(error=bound):
            return next((seconds for seconds, error in errors if error <= bound), None)
        case RoundTime():
            return _over(run.rounds[-1].simulated_s, run.rounds[-1].round) if run.rounds else None
        case Duration():
            return run.summary.simulated_s
        case ComputingTime(work=work):
            return _computing_s(run, work)
        case SentBytes(messages=messages):
            traffic = run.summary.traffic
            sent = sum(traffic[name].bytes for name in messages if name in traffic)
            return _over(sent, run.summary.rounds)
        case StakeShare(of=of, round=round):
            shares = stake_shares(run, _names(run, of))
            return None if not shares else shares[-1 if round is None else round]
        case Contributions(fate=fate, of=of, each=each):
            chosen = _parties(run, of)
            total = sum(p.accepted if fate == "accepted" else p.rejected for p in chosen)
            return _over(total, len(chosen)) if each else total
        case AcceptedShare(of=of):
            everybody = sum(p.accepted for p in run.summary.parties)
            return _over(sum(p.accepted for p in _parties(run, of)), everybody)
        case WorkPerAccepted(of=of, work=work):
            chosen = _parties(run, of)
            done = sum(p.work.get(work, 0.0) for p in chosen)
            return _over(done, sum(p.accepted for p in chosen))


def _within(errors: list[tuple[float, float]], from_s: float, until_s: float | None) -> list[float]:
    return [e for s, e in errors if from_s <= s and (until_s is None or s <= until_s)]


def _parties(run: Run, of: Literal["honest", "attackers"]) -> list[PartyRecord]:
    return [p for p in run.summary.parties if (p.attacker is not None) == (of == "attackers")]


def _names(run: Run, of: Literal["honest", "attackers"]) -> frozenset[NodeId]:
    return frozenset(party.party for party in _parties(run, of))


def _computing_s(run: Run, work: list[str]) -> float | None:
    total_s = 0.0
    for label in work:
        seconds = sum(party.work_s.get(label, 0.0) for party in run.summary.parties)
        each_s = _over(seconds, sum(party.work.get(label, 0.0) for party in run.summary.parties))
        if each_s is None:
            return None
        total_s += each_s
    return total_s


def _over(total: float, count: float) -> float | None:
    return total / count if count else None


def curve(run: Run, plot: Curves) -> list[tuple[float, float]]:
    """What a plot of curves shows of this run: (seconds or round, value), in order."""
    if plot.y == "honest_stake":
        shares = stake_shares(run, _names(run, "honest"))
        ends_s = {0: 0.0} | {record.round: record.simulated_s for record in run.rounds}
        return [
            (float(round if plot.x == "rounds" else ends_s[round]), share)
            for round, share in enumerate(shares)
        ]
    if plot.mean_over_s is not None:
        return mean_curve(run, plot.mean_over_s)
    found = []
    for record in run.rounds:
        value = None if record.metrics is None else getattr(record.metrics, plot.y)
        if value is not None:
            found.append((float(record.round if plot.x == "rounds" else record.simulated_s), value))
    return found


def error_curve(run: Run) -> list[tuple[float, float]]:
    """Simulated seconds and error on the test set of every evaluated round, in order."""
    return [(r.simulated_s, r.metrics.error) for r in run.rounds if r.metrics is not None]


def mean_curve(run: Run, over_s: float) -> list[tuple[float, float]]:
    """The mean of `error_curve` in every span of `over_s` simulated seconds, at the middle of the
    span; spans in which no round ends are left out."""
    spans: dict[int, list[float]] = {}
    for seconds, error in error_curve(run):
        spans.setdefault(int(seconds // over_s), []).append(error)
    return [((span + 0.5) * over_s, sum(e) / len(e)) for span, e in sorted(spans.items())]
