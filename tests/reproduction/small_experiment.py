"""A tiny experiment that runs offline in a moment."""

from __future__ import annotations

from pathlib import Path

SCENARIO = """\
name = "tiny"
seed = 1

[task]
kind = "classification"
data = "breast_cancer"
model = "logistic"

[training]
rounds = 3
update = "gradient"
batch_size = "all"
learning_rate = 0.3

[protocol]
name = "tormentor"
difficulty = 1
admission_difficulty = 1

[parties]
count = 2

[network]
latency = 0.1
"""

EXPERIMENT = """\
title = "Two sizes"
source = "A paper, figure 1"
scenario = "scenarios/tiny.toml"
about = "Two and four parties."
differences = "None."

[readings.time]
kind = "duration"
label = "time to train"

[readings.error]
kind = "final_error"
label = "final error"

[[variants]]
name = "two"
label = "two parties"
paper = { time = 1.5 }

[[variants]]
name = "four"
label = "four parties"
set = ["parties.count=4", "training.rounds=2"]

[[ratios]]
label = "two over four"
reading = "time"
over = "two"
under = "four"

[[statements]]
paper = "it works"
here = "it does"
"""


def write_experiment(folder: Path, text: str = EXPERIMENT, scenario: str = SCENARIO) -> Path:
    """`experiments/paper/small.toml` and its scenario below `folder`; gives `experiments`."""
    paper = folder / "experiments" / "paper"
    (paper / "scenarios").mkdir(parents=True, exist_ok=True)
    (paper / "scenarios" / "tiny.toml").write_text(scenario)
    (paper / "small.toml").write_text(text)
    return paper.parent
