"""FedAvg of MNIST softmax in Troth's simulation, through its public API.

Takes the options of `peers/flower_mnist.py` and a seed, does the same work, and prints the same
JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import troth
from troth.records import RoundRecord, Summary
from troth.report.progress import QuietProgress

SCENARIO = """
name = "bench-mnist"
seed = {seed}

[task]
kind = "classification"

[task.data]
source = "named"
name = "mnist"

[task.model]
name = "softmax"

[training]
rounds = {rounds}
update = "delta"
local_steps = {local_steps}
batch_size = {batch_size}
learning_rate = {learning_rate}

[protocol]
name = "federated"

[parties]
count = {parties}

[evaluation]
every = {rounds}
"""


class Stopwatch(QuietProgress):
    """Notes when the run begins and when each round ends."""

    def __init__(self) -> None:
        self.began = 0.0
        self.round_ends: list[float] = []

    def start(self, summary: Summary) -> None:  # noqa: ARG002  # told, not needed
        self.began = time.time()

    def round(self, record: RoundRecord) -> None:  # noqa: ARG002  # see start
        self.round_ends.append(time.time())


def main() -> None:
    parser = argparse.ArgumentParser(description="FedAvg of MNIST softmax in Troth's simulation")
    parser.add_argument("--started", type=float, required=True, help="time.time() before the start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parties", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True, help="at least 2: round 1 is start-up")
    parser.add_argument("--local-steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    options = vars(parser.parse_args())
    started = options.pop("started")
    if options["rounds"] < 2:
        parser.error(f"--rounds {options['rounds']} is below 2: round 1 is start-up")

    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "scenario.toml"
        scenario.write_text(SCENARIO.format(**options), encoding="utf-8")
        result = troth.simulate(scenario, progress=stopwatch)
    assert result.final is not None
    first, last = stopwatch.round_ends[0], stopwatch.round_ends[-1]
    outcome = {
        "startup_s": stopwatch.began - started,
        "first_round_s": first - stopwatch.began,
        "rounds_per_s": (options["rounds"] - 1) / (last - first),
        "accuracy": 1 - result.final.error,
        "peak_rss_bytes": result.summary.peak_rss_bytes,
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
