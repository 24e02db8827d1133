"""What the benchmarks share: timing side by side, the machine's name, and the file of results."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
"""Python of the environment that the peers are installed in: requirements.txt, then
requirements-no-deps.txt with --no-deps."""
SIMULATORS_PYTHON = HERE.parent / ".venv-bench-simulation" / "bin" / "python"
"""Python of the environment of pfl-research and FedJAX: requirements-simulation.txt."""

Value = str | float | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Timing:
    """Seconds that one thing took, over several runs."""

    runs_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return statistics.median(self.runs_s)

    def __str__(self) -> str:
        median, least, most = (
            f"{1e3 * value:,.2f}" for value in (self.median_s, min(self.runs_s), max(self.runs_s))
        )
        return f"{median} ms ({least} .. {most})"


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_time(
    sides: Mapping[str, Callable[[], float]], *, runs: int, warm_up: int = 1
) -> dict[str, Timing]:
    """Times all sides in turns, so that whatever else the machine does hits them alike.

    Args:
      sides: by name, what runs once and returns its seconds: `lambda: timed(work)`.
      runs: how often each is timed.
      warm_up: turns before that which are not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm_up + runs):
        for name, side in sides.items():
            seconds = side()
            if turn >= warm_up:
                taken[name].append(seconds)
    return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}


def row(case: str, unit: str, ours: float, reference: float | str) -> Row:
    """One line of the results; a `reference` that could not be had says why, in its place."""
    ratio = None if isinstance(reference, str) else ours / reference
    return {"case": case, "ours": ours, "reference": reference, "ratio": ratio, "unit": unit}


def machine() -> str:
    """Cores and model, and no more than that: `2 x AMD EPYC`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {models[0] if models else platform.machine()}"


def write_results(name: str, rows: list[Row]) -> Path:
    """Writes `results/NAME.json`, a list of rows that each name the machine; prints them as a
    table, and returns the file's path."""
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps([{**line, "machine": machine()} for line in rows], indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    width = max(len(str(line["case"])) for line in rows)
    print(f"{'case':{width}} {'ours':>10} {'reference':>13} {'ratio':>9}  unit")
    for line in rows:
        ours, reference, ratio = (_shown(line[key]) for key in ("ours", "reference", "ratio"))
        print(f"{line['case']:{width}} {ours:>10} {reference:>13} {ratio:>9}  {line['unit']}")
    print(f"results: {os.path.relpath(path)}")
    return path


def _shown(value: Value) -> str:
    return f"{value:,.4g}" if isinstance(value, int | float) else str(value or "-")
