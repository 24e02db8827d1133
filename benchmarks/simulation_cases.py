"""The cases of `simulation.py`: a model and a number of parties, Troth beside each peer."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from common import Row, row
from simulation_sides import FEDJAX, FLOWER, PFL, TROTH, Outcome, Side, measure

SEEDS = 8
"""Runs of Troth that tell how far chance moves the accuracy. Flower's workers take no seed."""
NOISE_BOUND = 4
"""Standard deviations over the seeds that the two accuracies may lie apart."""
TARGET_S = 60
TARGET_BYTES = 2e9
"""For 100 rounds of softmax with 1,000 parties, in all."""


@dataclass(frozen=True)
class Case:
    """A training that all sides do; `peers` says how many times as fast as each Troth should be,
    None where nothing was set."""

    model: str
    parties: int
    peers: Mapping[Side, float | None]

    @property
    def name(self) -> str:
        return f"{self.model}, {self.parties:,} parties"


CASES = {
    f"{case.model}-{case.parties}": case
    for case in (
        Case("softmax", 10, {FLOWER: None, PFL: None, FEDJAX: None}),
        Case("softmax", 100, {FLOWER: 100, PFL: 10, FEDJAX: None}),
        Case("softmax", 1_000, {FLOWER: None, PFL: 12, FEDJAX: None}),
        Case("softmax", 10_000, {PFL: 20, FEDJAX: None}),  # a round of Flower's takes minutes
        Case("mlp", 100, {FLOWER: None, PFL: 7, FEDJAX: 1}),
        Case("cnn", 100, {FLOWER: None, PFL: 2.5, FEDJAX: None}),
    )
}


@dataclass(frozen=True)
class Accuracy:
    """Troth's accuracy after as many rounds as the peers have, over `SEEDS` seeds."""

    rounds: int
    mean: float
    deviation: float

    def row(self, name: str, theirs: float) -> Row:
        """Theirs beside it; the case says so where they lie further apart than by chance."""
        case = (
            f"{name}: accuracy after {self.rounds} rounds, Troth's over {SEEDS} seeds:"
            f" +-{self.deviation:.4f}"
        )
        if abs(self.mean - theirs) > NOISE_BOUND * self.deviation:
            case = f"{case}; NOT THE SAME WORK: beyond {NOISE_BOUND} of these"
        return row(case, "", self.mean, theirs)


def compare(case: Case, rounds: int, peer_rounds: int) -> list[Row]:
    """The rows of one case: Troth over `rounds` for its speed, the peers over `peer_rounds`."""
    _say(case.name)
    ours = measure(TROTH, case.model, case.parties, rounds)
    outcomes: dict[Side, Outcome] = {}
    for side in case.peers:
        if side.python.exists():
            _say(f"{case.name}, {side.name}")
            outcomes[side] = measure(side, case.model, case.parties, peer_rounds)

    rows: list[Row] = []
    if outcomes:
        accuracy = _accuracy(case, peer_rounds)
    for side, target in case.peers.items():
        if side not in outcomes:
            rows += _beside(f"{case.name}, beside {side.name}", ours, None)
            continue
        theirs = outcomes[side]
        name = f"{case.name}, beside {theirs.library}"
        rows += _beside(name, ours, theirs)
        rows.append(accuracy.row(name, theirs.accuracy))
        if target is not None:
            times = theirs.median_round_s / ours.median_round_s
            rows.append(row(f"{name}: times its speed; reference is the target", "", times, target))
    if (case.model, case.parties) == ("softmax", 1_000):
        whole = f"{case.name}: {rounds} rounds in all, start-up included; reference is the target"
        rows.append(row(whole, "s", ours.wall_s, TARGET_S))
        rows.append(row(whole, "bytes", ours.peak_bytes, TARGET_BYTES))
    return rows


def _beside(name: str, ours: Outcome, theirs: Outcome | None) -> list[Row]:
    """What both took; of a peer that is not there, nothing is known."""
    rows = []
    for what, unit, key, scale in (
        ("median of the rounds after round 1", "ms", "median_round_s", 1e3),
        ("speed after round 1", "rounds/s", "rounds_per_s", 1),
        ("start-up until round 1", "s", "startup_s", 1),
        ("round 1", "s", "first_round_s", 1),
        ("peak memory", "bytes", "peak_bytes", 1),
    ):
        reference = "not installed" if theirs is None else scale * getattr(theirs, key)
        rows.append(row(f"{name}: {what}", unit, scale * getattr(ours, key), reference))
    return rows


def _accuracy(case: Case, rounds: int) -> Accuracy:
    _say(f"{case.name}, {SEEDS} seeds")
    found = [
        measure(TROTH, case.model, case.parties, rounds, "--seed", str(seed)).accuracy
        for seed in range(SEEDS)
    ]
    return Accuracy(rounds, statistics.mean(found), statistics.stdev(found))


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)
