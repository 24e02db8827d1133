"""The sides of `simulation.py`: each a library that trains, run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import HERE, PEERS_PYTHON, SIMULATORS_PYTHON
from process_tree import TreeMemory

WORK = ("--local-steps", "5", "--batch-size", "10", "--learning-rate", "0.1")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""One thread for each numerical library. What a side does with several cores is its own affair."""


@dataclass(frozen=True)
class Side:
    """A library, the Python of the environment that it is installed in, and the script it runs."""

    name: str
    python: Path
    script: Path


TROTH = Side("Troth", Path(sys.executable), HERE / "troth_mnist.py")
FLOWER = Side("Flower", PEERS_PYTHON, HERE / "peers" / "flower_mnist.py")
PFL = Side("pfl-research", SIMULATORS_PYTHON, HERE / "peers" / "pfl_mnist.py")
FEDJAX = Side("FedJAX", SIMULATORS_PYTHON, HERE / "peers" / "fedjax_mnist.py")


@dataclass(frozen=True)
class Outcome:
    """What one run of one side gave; `peers/side.py` says what each of the first six is.

    The last three are Troth's only: see `troth_mnist.py`.
    """

    library: str
    startup_s: float
    first_round_s: float
    rounds_per_s: float
    median_round_s: float
    accuracy: float
    wall_s: float
    peak_bytes: float
    end_bytes: float | None = None
    everybody_round: int | None = None
    everybody_bytes: float | None = None


def measure(side: Side, model: str, parties: int, rounds: int, *more: str) -> Outcome:
    """Run one side in a process of its own, with `more` options.

    Raises:
      SystemExit: it failed; the end of what it said on standard error is shown.
    """
    size = ("--model", model, "--parties", str(parties), "--rounds", str(rounds))
    command = [str(side.python), str(side.script), *size, *WORK, *more]
    with TreeMemory() as memory:
        started = time.time()
        result = subprocess.run(
            [*command, "--started", repr(started)],
            env=memory.environment | ONE_THREAD,
            capture_output=True,
            text=True,
            check=False,
        )
        wall_s = time.time() - started
    if result.returncode != 0:
        script = side.script.name
        sys.exit(f"error: {script} ended with {result.returncode}\n{result.stderr[-4000:]}")
    said = json.loads(result.stdout.splitlines()[-1])
    peak_bytes = max(memory.peak_bytes, said.pop("peak_rss_bytes", 0.0))
    return Outcome(**said, wall_s=wall_s, peak_bytes=peak_bytes)
