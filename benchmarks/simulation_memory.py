"""Memory of 10,000 parties in Troth's simulation: how much, and whether it grows.

With 10 % of the parties a round it takes some 93 rounds until everybody has answered once, so a
second and longer run tells whether memory grows after that.
"""

from __future__ import annotations

import sys

from common import Row, row
from simulation_sides import TROTH, Outcome, measure

PARTIES = 10_000
ROUNDS = 100
LONGER = 200
TARGET_BYTES = {1.0: 1.3e9, 0.1: 1.0e9}
"""Of the peak of `ROUNDS` rounds, by the share of the parties that are asked in a round."""


def measure_memory() -> list[Row]:
    """The peak against the target, and the end beside when everybody had answered once."""
    rows: list[Row] = []
    for participation, target_bytes in TARGET_BYTES.items():
        run = _run(participation, ROUNDS)
        name = f"{_name(participation, ROUNDS)}: peak; reference is the target"
        rows.append(row(name, "bytes", run.peak_bytes, target_bytes))
        if participation == 1:
            rows.append(_growth(_name(participation, ROUNDS), run))
        else:
            rows.append(_growth(_name(participation, LONGER), _run(participation, LONGER)))
    return rows


def _growth(name: str, run: Outcome) -> Row:
    assert run.end_bytes is not None
    if run.everybody_bytes is None:
        return row(f"{name}: at the end", "bytes", run.end_bytes, "not all answered")
    name = f"{name}: at the end, beside after round {run.everybody_round}: all have answered once"
    return row(name, "bytes", run.end_bytes, run.everybody_bytes)


def _run(participation: float, rounds: int) -> Outcome:
    print(f"{_name(participation, rounds)} ...", file=sys.stderr)
    return measure(TROTH, "softmax", PARTIES, rounds, "--participation", str(participation))


def _name(participation: float, rounds: int) -> str:
    return f"memory: {PARTIES:,} parties, {participation:.0%} asked a round, {rounds} rounds"
