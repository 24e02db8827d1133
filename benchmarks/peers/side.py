"""What all sides of `benchmarks/simulation.py` have in common: their options, and what they print.

A side is one library that trains MNIST by federated averaging, in a process of its own. It prints
one JSON object as its last line:

- `library`: its name and version
- `startup_s`: from `--started` to the start of round 1
- `first_round_s`: round 1, in which some sides still start workers or compile
- `rounds_per_s`, `median_round_s`: of the rounds after it
- `accuracy`: of the final model on MNIST's 10,000 test rows

Needs the standard library only, because sides live in different environments.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import pairwise

MODELS = ("softmax", "mlp", "cnn")
"""Softmax, D = 7,850; 128 hidden ReLU units, D = 101,770; the CNN of Troth's `shokri_cnn`,
D = 105,506."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every side takes."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--started", type=float, required=True, help="time.time() at the start")
    options.add_argument("--model", choices=MODELS, required=True)
    options.add_argument("--parties", type=int, required=True)
    options.add_argument("--rounds", type=at_least_two, required=True)
    options.add_argument("--local-steps", type=int, required=True)
    options.add_argument("--batch-size", type=int, required=True)
    options.add_argument("--learning-rate", type=float, required=True)
    return options


def at_least_two(text: str) -> int:
    """A number of rounds.

    Raises:
      ArgumentTypeError: it is below 2, so that nothing would be left without round 1.
    """
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} is below 2: round 1 is start-up")
    return int(text)


class Rounds:
    """Notes when the first round begins and when each round ends."""

    def __init__(self) -> None:
        self.began = 0.0
        self.ends: list[float] = []

    def begin(self) -> None:
        self.began = time.time()

    def end(self) -> None:
        self.ends.append(time.time())

    def print_outcome(
        self, library: str, started: float, accuracy: float, **more: float | None
    ) -> None:
        """Print the JSON object, with `more` keys of one side's own."""
        first, last = self.ends[0], self.ends[-1]
        outcome = {
            "library": library,
            "startup_s": self.began - started,
            "first_round_s": first - self.began,
            "rounds_per_s": (len(self.ends) - 1) / (last - first),
            "median_round_s": statistics.median(b - a for a, b in pairwise(self.ends)),
            "accuracy": accuracy,
        }
        print(json.dumps(outcome | more))
