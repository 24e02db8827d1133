"""One simulation of `biscotti` on MNIST through Troth's public API; prints JSON.

Sizes, models and committees are options; `biscotti.py` asks for them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import troth
from troth.records import RoundRecord, Summary
from troth.report.progress import QuietProgress

MODELS = {
    7_850: 'name = "softmax"',
    117_540: 'name = "mlp"\nhidden = [54, 1156]',
    1_000_004: 'name = "mlp"\nhidden = [212, 3738]',
}
"""By their number of parameters, exactly."""


@dataclass(frozen=True)
class Size:
    """What is run."""

    parties: int
    rounds: int
    dimension: int = 7_850
    verifiers: int = 26
    aggregators: int = 26
    sampled: float = 0.35
    """R / parties: the authors' verifiers wait for 70 updates of 200 peers."""
    noisers: int = 5
    slots: int = 3
    """J: 350 times a round somebody asks one of 200 peers for one, 1.75 times each on average."""
    share_checks: bool = False
    engine: str = "processes"

    @property
    def updates(self) -> int:
        """R."""
        return ceil(self.sampled * self.parties)

    def scenario(self) -> str:
        """The scenario file."""
        return f"""
name = "bench-biscotti"
seed = 1

[task]
kind = "classification"
data = "mnist"

[task.model]
{MODELS[self.dimension]}

[training]
rounds = {self.rounds}
update = "delta"
batch_size = 10
local_steps = 1
learning_rate = 0.1

[protocol]
name = "biscotti"
verifiers = {self.verifiers}
aggregators = {self.aggregators}
sampled = {self.sampled}
optimistic = true

[privacy]
noisers = {self.noisers}
slots = {self.slots}

[privacy.mask]
kind = "paper"

[parties]
count = {self.parties}

[engine]
name = "{self.engine}"
share_checks = {str(self.share_checks).lower()}

[network.latency]
kind = "constant"
seconds = 0.05

[evaluation]
every = {self.rounds}
"""


class Stopwatch(QuietProgress):
    """Notes when the genesis is there and when each round ends, and says so: a whole run takes half
    an hour, and somebody may want to know how far it is."""

    def __init__(self) -> None:
        self.began = 0.0
        self.round_ends: list[float] = []

    def start(self, summary: Summary) -> None:  # noqa: ARG002  # told, not needed
        self.began = time.time()
        print("genesis made", file=sys.stderr, flush=True)

    def round(self, record: RoundRecord) -> None:
        self.round_ends.append(time.time())
        since_s = self.round_ends[-1] - self.began
        print(f"round {record.round}: over after {since_s:.0f} s", file=sys.stderr, flush=True)


def cpu_s() -> float:
    """Of this process and its ended children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=json.loads, required=True, help="fields of Size, as JSON")
    size = Size(**parser.parse_args().size)
    started, stopwatch = time.time(), Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(size.scenario(), encoding="utf-8")
        result = troth.simulate(path, progress=stopwatch)
    summary = result.summary
    assert summary.final is not None
    assert summary.dimension == size.dimension
    print(
        json.dumps(
            {
                "wall_s": time.time() - started,
                "genesis_s": stopwatch.began - started,
                "round_ends_s": [at - stopwatch.began for at in stopwatch.round_ends],
                "cpu_s": cpu_s(),
                "error": summary.final.error,
                "accepted": [len(record.accepted) for record in result.rounds],
                "traffic": {
                    name: (sent.messages, sent.bytes) for name, sent in summary.traffic.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
