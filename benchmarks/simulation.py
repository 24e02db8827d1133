"""Side by side with Flower's simulation: the same federated training of MNIST softmax, D = 7,850.

    TROTH_DATA=../shared/data .venv/bin/python benchmarks/simulation.py

For 10, 100 and 1,000 parties, both sides run FedAvg with the same work: every party holds
60,000 / P rows and takes 5 SGD steps a round at learning rate 0.1, on batches of 10 rows drawn
without replacement; nothing is evaluated while rounds are timed, but for Troth's last round. Equal
work must give equal learning: after equally many rounds, Flower's accuracy has to lie within what
chance makes of Troth's over several seeds, and the results say so where it does not.

Each side is a process of its own, one after the other. Round 1 is not in rounds/s: Flower still
starts its workers in it. Flower lives in the environment that `make bench` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import HERE, PEERS_PYTHON, Row, row, write_results
from process_tree import TreeMemory

WORK = ("--local-steps", "5", "--batch-size", "10", "--learning-rate", "0.1")
SEEDS = 8
"""Runs of Troth that tell how far chance moves the accuracy. Flower's workers take no seed."""
NOISE_BOUND = 4
"""Standard deviations over the seeds that the two accuracies may lie apart."""
TARGET_RATIO = 100
"""Times Flower's rounds/s, at 100 parties."""
TARGET_S = 60
TARGET_BYTES = 2e9
"""For 100 rounds of 1,000 parties, in all."""


@dataclass(frozen=True)
class Outcome:
    """What one run of one side gave."""

    startup_s: float
    first_round_s: float
    rounds_per_s: float
    accuracy: float
    wall_s: float
    peak_bytes: float


def measure(python: Path, script: Path, parties: int, rounds: int, *more: str) -> Outcome:
    """Run one side in a process of its own, with `more` options.

    Raises:
      SystemExit: it failed; the end of what it said on standard error is shown.
    """
    size = ("--parties", str(parties), "--rounds", str(rounds))
    command = [str(python), str(script), *size, *WORK, *more]
    with TreeMemory() as memory:
        started = time.time()
        result = subprocess.run(
            [*command, "--started", repr(started)],
            env=memory.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s = time.time() - started
    if result.returncode != 0:
        sys.exit(f"error: {script.name} ended with {result.returncode}\n{result.stderr[-4000:]}")
    said: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    peak_bytes = max(memory.peak_bytes, said.pop("peak_rss_bytes", 0.0))
    return Outcome(**said, wall_s=wall_s, peak_bytes=peak_bytes)


def compare(parties: int, rounds: int, flower_rounds: int, flower_python: Path) -> list[Row]:
    """Both sides with `parties`: Troth over `rounds` for its speed, and over as many as Flower."""
    name = f"{parties:,} parties"
    print(f"{name} ...", file=sys.stderr)
    python, troth = Path(sys.executable), HERE / "troth_mnist.py"
    long = measure(python, troth, parties, rounds)
    accuracies = [
        measure(python, troth, parties, flower_rounds, "--seed", str(seed)).accuracy
        for seed in range(SEEDS)
    ]
    accuracy, noise = statistics.mean(accuracies), statistics.stdev(accuracies)
    sides = [
        (f"{name}: speed after round 1", "rounds/s", long.rounds_per_s, "rounds_per_s"),
        (f"{name}: start-up until round 1", "s", long.startup_s, "startup_s"),
        (f"{name}: round 1", "s", long.first_round_s, "first_round_s"),
        (f"{name}: peak memory", "bytes", long.peak_bytes, "peak_bytes"),
        (
            f"{name}: accuracy after {flower_rounds} rounds, Troth's over {SEEDS} seeds:"
            f" +-{noise:.4f}",
            "",
            accuracy,
            "accuracy",
        ),
    ]
    if flower_python.exists():
        flower = measure(flower_python, HERE / "peers" / "flower_mnist.py", parties, flower_rounds)
        rows = [row(case, unit, ours, getattr(flower, key)) for case, unit, ours, key in sides]
        if abs(accuracy - flower.accuracy) > NOISE_BOUND * noise:
            rows[-1]["case"] = (
                f"{rows[-1]['case']}; NOT THE SAME WORK: beyond {NOISE_BOUND} of these"
            )
    else:
        rows = [row(case, unit, ours, "not installed") for case, unit, ours, _ in sides]
    whole = f"{name}: {rounds} rounds in all, start-up included; reference is the target"
    if parties == 1000:
        rows.append(row(whole, "s", long.wall_s, TARGET_S))
        rows.append(row(whole, "bytes", long.peak_bytes, TARGET_BYTES))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Troth's simulation beside Flower's")
    parser.add_argument("--parties", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=100, help="Troth's (default 100)")
    parser.add_argument("--flower-rounds", type=int, default=5, help="Flower's (default 5)")
    parser.add_argument(
        "--flower",
        type=Path,
        default=PEERS_PYTHON,
        help="Python of the environment that Flower is installed in",
    )
    options = parser.parse_args()
    if not os.environ.get("TROTH_DATA"):
        parser.error("TROTH_DATA is not set: it names the folder that holds mnist")

    rows: list[Row] = []
    for parties in options.parties:
        rows += compare(parties, options.rounds, options.flower_rounds, options.flower)

    write_results("simulation", rows)
    print(
        f"targets: at 100 parties {TARGET_RATIO} times Flower's rounds/s; at 1,000 parties"
        f" 100 rounds within {TARGET_S} s and {TARGET_BYTES / 1e9:g} GB"
    )


if __name__ == "__main__":
    main()
