"""Draws fresh examples for every property test, again and again: `make explore`.

The suite always draws the same examples, so that it passes or fails on every machine alike. This
draws others until the time is up or one fails, and says how to draw those again. An example that
fails becomes a fixed one of its test, by `hypothesis.example`, whatever is mended.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent

FAILED = 1
"""The exit code of pytest where tests ran and some failed."""


def draw(seed: int, workers: int) -> int:
    """Run every property test once, with the examples that follow from a seed; pytest's code."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "hypothesis", "-n", str(workers)]
    environment = os.environ | {"HYPOTHESIS_PROFILE": "explore", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, f"--hypothesis-seed={seed}", str(TESTS)], cwd=TESTS.parent, env=environment
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, help="draw the examples of this seed, once")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    given = parser.parse_args()
    ends_s, passes = time.monotonic() + 60 * given.minutes, 0
    while True:
        seed = secrets.randbelow(2**32) if given.seed is None else given.seed
        code = draw(seed, given.workers)
        passes += 1
        if code:
            if code == FAILED:
                print(f"to draw these examples again: make explore SEED={seed}")
            return code
        if given.seed is not None or time.monotonic() >= ends_s:
            print(f"{passes} passes over all property tests, none failed")
            return 0


if __name__ == "__main__":
    sys.exit(main())
