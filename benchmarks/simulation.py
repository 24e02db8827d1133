"""Side by side with the simulations of Flower, pfl-research and FedJAX: the same training of MNIST.

    TROTH_DATA=../shared/data .venv/bin/python benchmarks/simulation.py [--part NAME] ...

All sides run FedAvg with the same work: every party holds 60,000 / P rows and takes 5 SGD steps a
round at learning rate 0.1, on batches of 10 rows drawn without replacement, or of all its rows
where it has fewer; nothing is evaluated while rounds are timed, but for Troth's last round. Equal
work must give equal learning: after equally many rounds, a peer's accuracy has to lie within what
chance makes of Troth's over several seeds, and the results say so where it does not.

| part        | what                                                                     |
|-------------|--------------------------------------------------------------------------|
| `softmax-P` | D = 7,850 with P = 10, 100, 1,000 and 10,000 parties; Flower up to 1,000 |
| `mlp-100`   | 128 hidden units, D = 101,770                                            |
| `cnn-100`   | the CNN of the papers, D = 105,506                                       |
| `memory`    | Troth alone: softmax with 10,000 parties, all or 10 % of them a round    |

Each side is a process of its own, one after the other, with one thread for each of its numerical
libraries. Troth computes pieces of a round on all cores and Flower has a worker on each; the other
two compute in one process, as they do unless a cluster is set up for them. Round 1 is not in the
speed: Flower still starts its workers in it, and FedJAX compiles. "Times its speed" is the ratio of
the medians of rounds. `--part` replaces the rows of that part in `results/simulation.json`. The
peers live in the environments that `make bench` makes; one that is not there is "not installed".
"""

from __future__ import annotations

import argparse
import json
import os

from common import HERE, Row, write_results
from simulation_cases import CASES, compare
from simulation_memory import measure_memory

PARTS = (*CASES, "memory")


def main() -> None:
    parser = argparse.ArgumentParser(description="Troth's simulation beside others'")
    parser.add_argument("--part", choices=PARTS, action="append", help="absent: all, one by one")
    parser.add_argument("--rounds", type=int, default=100, help="Troth's (default 100)")
    parser.add_argument("--peer-rounds", type=int, default=10, help="the peers' (default 10)")
    options = parser.parse_args()
    if not os.environ.get("TROTH_DATA"):
        parser.error("TROTH_DATA is not set: it names the folder that holds mnist")

    rows = _last_results() if options.part else []
    for part in options.part or PARTS:
        if part == "memory":
            begin, found = "memory:", measure_memory()
        else:
            begin = CASES[part].name
            found = compare(CASES[part], options.rounds, options.peer_rounds)
        rows = [line for line in rows if not str(line["case"]).startswith(begin)] + found
        write_results("simulation", rows)


def _last_results() -> list[Row]:
    path = HERE / "results" / "simulation.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


if __name__ == "__main__":
    main()
