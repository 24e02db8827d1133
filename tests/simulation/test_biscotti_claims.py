"""Biscotti under seeds x faults x attackers, watched by the checkers of its claims.

`python tests/simulation/test_biscotti_claims.py 2000` runs that many seeds beyond the suite's own.
"""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest
from biscotti_runs import LATENCY, MASK, PARTIES, Run, set_up

SEEDS = 200
GROUPS = 10


def network(seed: int) -> str:
    """A network and faults that follow from the seed. Everything is over before the peers that
    have ended stop to serve the others."""
    draw = random.Random(seed)
    names = [f'"party-{at}"' for at in range(PARTIES)]
    lines = ["[network]"]
    lines.append(
        draw.choice([LATENCY, 'latency = { kind = "lognormal", median_s = 0.1, sigma = 0.8 }'])
    )
    if draw.random() < 0.3:
        lines.append(f"loss = {draw.uniform(0.0, 0.1):.3f}")
    if draw.random() < 0.3:
        lines.append(f"duplication = {draw.uniform(0.0, 0.4):.3f}")
    if draw.random() < 0.3:
        lines.append(f"reordering = {draw.uniform(0.0, 0.6):.3f}")
    if draw.random() < 0.25:
        some = draw.sample(names, draw.randint(1, PARTIES // 2))
        from_s = draw.uniform(0, 12)
        lines.append(
            f"partitions = [{{ from_s = {from_s:.2f}, until_s = {from_s + draw.uniform(0.5, 15):.2f},"
            f" groups = [[{', '.join(some)}]] }}]"
        )
    if draw.random() < 0.35:
        away = [
            f"{{ party = {name}, from_s = {(at := draw.uniform(0, 12)):.2f}, "
            f"until_s = {at + draw.uniform(0.2, 20):.2f} }}"
            for name in draw.sample(names, draw.randint(1, 4))
        ]
        lines.append(f"[churn]\nabsences = [{', '.join(away)}]")
    if draw.random() < 0.35:
        crashes = [
            f"{{ node = {name}, at_s = {draw.uniform(0, 12):.2f}, "
            f"restart_after_s = {draw.uniform(0.01, 4):.2f} }}"
            for name in draw.sample(names, draw.randint(1, 4))
        ]
        lines.append(f"[faults]\ncrashes = [{', '.join(crashes)}]")
    return "\n".join(lines) + "\n"


PROTOCOLS = (
    MASK,
    "noise = { mask = { kind = 'none' } }\n",
    MASK + "optimistic = true\n",
    MASK + "aggregators = 4\n",
    "noise = { mask = { kind = 'none' } }\nverifiers = 2\naggregators = 4\n",
)


def run_of(seed: int) -> Run:
    return set_up(
        seed=seed, protocol=PROTOCOLS[seed % len(PROTOCOLS)], extra=network(seed), linger_s=60.0,
    )  # fmt: skip


def holds(seed: int) -> Run:
    """Run a seed through all checkers."""
    run = run_of(seed)
    try:
        run.go()
        run.witness.check_views()
    except BaseException as error:
        error.add_note(f"seed {seed}:\n{run.text}")
        raise
    return run


@pytest.mark.parametrize("group", range(GROUPS))
def test_what_is_promised_holds(group: int) -> None:
    counted = sum(
        len(block.contributions)
        for seed in range(group, SEEDS, GROUPS)
        for block in holds(seed).blocks()
    )
    assert counted > SEEDS // GROUPS


if __name__ == "__main__":
    found: Counter[str] = Counter()
    for seed in range(SEEDS, SEEDS + int(sys.argv[1])):
        run = holds(seed)
        found["forked" if run.witness.forked_heights() else "straight"] += 1
        found["blocks with a sum"] += sum(block.aggregate is not None for block in run.blocks())
        found["blocks without"] += sum(block.aggregate is None for block in run.blocks())
    print(dict(found))
