"""Biscotti at the size of its authors' largest run, with all cryptography real, in four parts.

    TROTH_DATA=../shared/data .venv/bin/python benchmarks/biscotti.py [--part NAME] ...

200 peers, 5 noisers, 26 verifiers, 26 aggregators, 100 rounds of MNIST softmax (D = 7,850): the
authors took 266.7 minutes on 80 cores, 160 s a round. As theirs, verifiers look at 70 updates a
round. Each peer commits to noise in the genesis, so that is in the time, and takes most of it.

| part     | what                                                                                 |
|----------|--------------------------------------------------------------------------------------|
| `roles`  | CPU of one peer in one round by its role, beside the multi-exponentiations it needs  |
| `large`  | one round of 20 peers at D = 117,540 and D = 1,000,004; bytes beside `troth check`'s |
| `shared` | the whole simulation, checks of the same public bytes computed once (`share_checks`) |
| `alone`  | the same, every peer checking everything itself                                      |

`shared` and `alone` are one process with a worker for each core; `roles` is one thread, and counts
what its peers would do were they alone: each of them decodes what it receives. Wall times mean
something on an idle machine only, so CPU times stand beside them. Each part replaces its own rows
in `results/biscotti.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Before numpy starts its threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from biscotti_roles import measure_roles
from common import HERE, Row, row, write_results
from process_tree import TreeMemory
from troth_biscotti import Size

from troth.charter.loading import load_text
from troth.protocols.biscotti.cost import messages_per_round

FULL = Size(parties=200, rounds=100)
FEW = dataclasses.replace(FULL, rounds=3)
LARGE = tuple(
    Size(20, 1, dimension, verifiers=3, aggregators=3, sampled=0.5, noisers=2)
    for dimension in (117_540, 1_000_004)
)
TARGET_ALONE_MIN = 45.0
TARGET_SHARED_MIN = 15.0
TARGET_BYTES = 6e9
AUTHORS_MIN = 266.7


def simulate(size: Size) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
    """Run it in a process of its own.

    Returns:
      Seconds and bytes by name; messages and bytes by message type.

    Raises:
      SystemExit: it failed.
    """
    command = [sys.executable, str(HERE / "troth_biscotti.py")]
    command += ["--size", json.dumps(dataclasses.asdict(size))]
    with TreeMemory() as memory:
        done = subprocess.run(command, env=memory.environment, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    found = json.loads(done.stdout)
    ends = found["round_ends_s"]
    accepted = found["accepted"]
    numbers = {
        "wall_s": found["wall_s"],
        "genesis_s": found["genesis_s"],
        "rounds_s": ends[-1],
        "cpu_s": found["cpu_s"],
        "peak_bytes": float(memory.peak_bytes),
        "error": found["error"],
        "rounds": float(len(accepted)),
        "empty": float(sum(not count for count in accepted)),
        "accepted": sum(accepted) / len(accepted),
    }
    return numbers, {name: (sent[0], sent[1]) for name, sent in found["traffic"].items()}


def whole(name: str, size: Size, target_min: float) -> list[Row]:
    """The whole simulation."""
    numbers, traffic = simulate(size)
    case = f"{name}: {size.parties} peers, {size.rounds} rounds, {size.slots} slots"
    cores = os.cpu_count() or 1
    return [
        row(f"{case}: wall, beside the target", "min", numbers["wall_s"] / 60, target_min),
        row(f"{case}: wall, beside the authors'", "min", numbers["wall_s"] / 60, AUTHORS_MIN),
        row(f"{case}: of it genesis", "min", numbers["genesis_s"] / 60, "not reported"),
        row(f"{case}: of it rounds", "min", numbers["rounds_s"] / 60, "not reported"),
        row(
            f"{case}: CPU / {cores} cores, what an idle machine takes at least",
            "min", numbers["cpu_s"] / 60 / cores, target_min,
        ),
        row(f"{case}: peak memory", "GB", numbers["peak_bytes"] / 1e9, TARGET_BYTES / 1e9),
        row(f"{case}: rounds that added no update", "rounds", numbers["empty"], "none"),
        row(f"{case}: updates a round", "updates", numbers["accepted"], 37.0),
        row(f"{case}: test error", "%", 100 * numbers["error"], "not reported"),
        sent_row(case, size, traffic),
    ]  # fmt: skip


def sent_row(case: str, size: Size, traffic: dict[str, tuple[int, int]]) -> Row:
    """Bytes by peer and round, beside what `troth check` says."""
    loaded = load_text(size.scenario(), path=Path("scenario.toml"), base=HERE)
    formula = messages_per_round(
        loaded.scenario.charter.charter_tables, size.parties, size.dimension
    )
    sent = sum(count for _, count in traffic.values()) / size.rounds
    expected = sum(count for _, count in formula.values())
    what = f"{case}: sent by a peer in a round, beside the formula"
    return row(what, "MB", sent / size.parties / 1e6, expected / size.parties / 1e6)


def large() -> list[Row]:
    """One round of large models."""
    rows = []
    for size in LARGE:
        numbers, traffic = simulate(size)
        case = f"large: D = {size.dimension:,}, {size.parties} peers, one round"
        rows += [
            row(f"{case}: genesis", "s", numbers["genesis_s"], "not reported"),
            row(f"{case}: round", "s", numbers["rounds_s"], "the authors' prototype failed"),
            row(f"{case}: CPU in all", "s", numbers["cpu_s"], "not reported"),
            sent_row(case, size, traffic),
            row(f"{case}: peak memory", "GB", numbers["peak_bytes"] / 1e9, TARGET_BYTES / 1e9),
        ]
    return rows


PARTS: dict[str, Callable[[], list[Row]]] = {
    "roles": lambda: measure_roles(FEW),
    "large": large,
    "shared": lambda: whole(
        "shared", dataclasses.replace(FULL, share_checks=True), TARGET_SHARED_MIN
    ),
    "alone": lambda: whole("alone", FULL, TARGET_ALONE_MIN),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Biscotti with 200 peers")
    parser.add_argument("--part", choices=PARTS, action="append", help="absent: all, one by one")
    for part in parser.parse_args().part or PARTS:
        path = HERE / "results" / "biscotti.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        others = [line for line in kept if not str(line["case"]).startswith(f"{part}:")]
        write_results("biscotti", [*others, *PARTS[part]()])


if __name__ == "__main__":
    main()
