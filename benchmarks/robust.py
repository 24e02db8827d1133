"""Multi-Krum of 100 updates, beside what bounds it and beside others' Multi-Krum.

    .venv/bin/python benchmarks/robust.py

All pairwise distances need one product X @ X.T, X the updates as 100 x D float32. So that product
alone, by numpy and by torch, is the bound, and the target is twice its time; where the two differ,
the faster one bounds. ByzFL and Flower run in the environment that `make bench` makes, in a process
that waits its turn: all sides run one after the other, again and again, on the same numbers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import HERE, PEERS_PYTHON, Row, Timing, median_time, row, timed, write_results

from troth.robustness.krum import multi_krum

PARTIES = 100
BYZANTINE = 30
SEED = 0
TARGET_RATIO = 2
CASES = ((7_850, 30), (1_000_000, 5))
"""D, and how often each side runs."""

PEERS = ("ByzFL", "Flower")
SLOW_S = 3.0
"""A peer that takes longer for one run than this is run once only."""


class Peer:
    """Another library's Multi-Krum, in a process of its own that runs it when asked to."""

    def __init__(self, name: str, python: Path, dimension: int) -> None:
        arguments = (name, str(PARTIES), str(dimension), str(BYZANTINE), str(SEED))
        self._process = subprocess.Popen(
            [str(python), str(HERE / "peers" / "multi_krum.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self._answer()

    def run(self) -> float:
        """Seconds of one run, measured over there."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            self._process.wait()
            raise ChildProcessError("the peer ended; what it said stands above")
        return line


def measure(dimension: int, runs: int, peers_python: Path) -> list[Row]:
    """Our rows for one D."""
    generator = np.random.default_rng(SEED)
    updates_PD = generator.standard_normal((PARTIES, dimension), dtype=np.float32)
    listed = [update_D.copy() for update_D in updates_PD]
    tensor_PD = torch.from_numpy(updates_PD)
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: timed(lambda: multi_krum(updates_PD, BYZANTINE)),
        "ours, updates in a list": lambda: timed(lambda: multi_krum(listed, BYZANTINE)),
        "X @ X.T, numpy": lambda: timed(lambda: updates_PD @ updates_PD.T),
        "X @ X.T, torch": lambda: timed(lambda: tensor_PD @ tensor_PD.T),
    }
    absent: dict[str, str] = {}
    once: dict[str, Timing] = {}
    peers: dict[str, Peer] = {}
    for name in PEERS:
        if not peers_python.exists():
            absent[name] = "not installed"
            continue
        try:
            peer = Peer(name, peers_python, dimension)
            seconds = peer.run()
        except (ChildProcessError, BrokenPipeError):
            absent[name] = "does not run"
            continue
        if seconds > SLOW_S:
            once[f"{name} {peer.version}"] = Timing((seconds,))
            peer.close()
        else:
            peers[f"{name} {peer.version}"] = peer
    timings = median_time(sides | {name: peer.run for name, peer in peers.items()}, runs=runs)
    for peer in peers.values():
        peer.close()
    timings |= once

    print(f"Multi-Krum, n = {PARTIES}, f = {BYZANTINE}, D = {dimension:,}: median (least .. most)")
    for name, timing in timings.items():
        print(f"  {name:24} {timing}" + ("  run once" if len(timing.runs_s) == 1 else ""))
    for name, reason in absent.items():
        print(f"  {name:24} {reason}")

    ours_ms = 1e3 * timings["ours"].median_s
    case = f"Multi-Krum, n = {PARTIES}, D = {dimension:,}"
    rows = [
        row(f"{case}: beside {name}", "ms", ours_ms, 1e3 * timing.median_s)
        for name, timing in timings.items()
        if not name.startswith("ours")
    ]
    rows += [
        row(f"{case}: beside {name}", "ms", ours_ms, reason) for name, reason in absent.items()
    ]
    listed_ms = 1e3 * timings["ours, updates in a list"].median_s
    bound_ms = 1e3 * timings["X @ X.T, numpy"].median_s
    rows.append(row(f"{case}, in a list: beside X @ X.T, numpy", "ms", listed_ms, bound_ms))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Multi-Krum beside its bound and its peers")
    parser.add_argument(
        "--peers",
        type=Path,
        default=PEERS_PYTHON,
        help="Python of the environment that ByzFL and Flower are installed in",
    )
    options = parser.parse_args()
    rows = [line for case in CASES for line in measure(*case, options.peers)]
    write_results("robust", rows)
    print(f"target: within {TARGET_RATIO} times either product", file=sys.stderr)


if __name__ == "__main__":
    main()
