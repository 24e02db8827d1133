"""FedAvg of MNIST in Troth's simulation, through its public API: Troth's side of `simulation.py`.

Takes the options of the peers, a seed and the share of parties asked in a round, does the same
work, and prints what `peers/side.py` says, and besides:

- `peak_rss_bytes`: the most memory that the process had
- `end_bytes`: its memory after the last round but one; the last is evaluated, and that takes more
- `everybody_round`, `everybody_bytes`: the round in which the last of all parties had an update
  accepted for the first time, and the memory after it; null where not all had before the last round
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from peers.side import Rounds, parser

import troth
from troth.ids import NodeId
from troth.records import RoundRecord, Summary
from troth.report.progress import QuietProgress

MODELS = {
    "softmax": 'name = "softmax"',
    "mlp": 'name = "mlp"\nhidden = [128]',
    "cnn": 'name = "shokri_cnn"',
}

SCENARIO = """
name = "bench-mnist"
seed = {seed}

[task]
kind = "classification"

[task.data]
source = "named"
name = "mnist"

[task.model]
{model}

[training]
rounds = {rounds}
update = "delta"
local_steps = {local_steps}
batch_size = {batch_size}
learning_rate = {learning_rate}

[protocol]
name = "federated"
participation = {participation}

[parties]
count = {parties}

[evaluation]
every = {rounds}
"""


class Watch(QuietProgress):
    """Notes when rounds end, the memory after each, and when everybody has answered once."""

    def __init__(self, parties: int) -> None:
        self.rounds = Rounds()
        self.resident_bytes: list[int] = []
        self.everybody_round: int | None = None
        self._parties = parties
        self._answered: set[NodeId] = set()

    def start(self, summary: Summary) -> None:  # noqa: ARG002  # told, not needed
        self.rounds.begin()

    def round(self, record: RoundRecord) -> None:
        self.rounds.end()
        self.resident_bytes.append(resident_bytes())
        if self.everybody_round is None:
            self._answered.update(record.accepted)
            if len(self._answered) == self._parties:
                self.everybody_round = record.round

    def memory(self) -> dict[str, int | None]:
        """What is printed of it."""
        *before_last, _ = self.resident_bytes
        everybody = self.everybody_round
        if everybody is None or everybody > len(before_last):
            return {"end_bytes": before_last[-1], "everybody_round": None, "everybody_bytes": None}
        return {
            "end_bytes": before_last[-1],
            "everybody_round": everybody,
            "everybody_bytes": before_last[everybody - 1],
        }


def resident_bytes() -> int:
    """Memory of this process now, from /proc; 0 where there is none."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def scenario(options: argparse.Namespace) -> str:
    """The scenario of a run, as TOML."""
    return SCENARIO.format(**{**vars(options), "model": MODELS[options.model]})


def main() -> None:
    known = parser("FedAvg of MNIST in Troth's simulation")
    known.add_argument("--seed", type=int, default=0)
    known.add_argument("--participation", type=float, default=1.0)
    options = known.parse_args()

    watch = Watch(options.parties)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(scenario(options), encoding="utf-8")
        result = troth.simulate(path, progress=watch)
    assert result.final is not None
    watch.rounds.print_outcome(
        f"Troth {result.summary.troth_version}",
        options.started,
        1 - result.final.error,
        peak_rss_bytes=result.summary.peak_rss_bytes,
        **watch.memory(),
    )


if __name__ == "__main__":
    main()
