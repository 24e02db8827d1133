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


COMPUTED = """\
title = "Two sums"
source = "A paper, table 1"
compute = "small_sums:draw"
about = "The mean of so many draws."
differences = "None."

[readings.mean]
kind = "value"
name = "mean"
label = "mean of the draws"

[readings.draws]
kind = "value"
name = "draws"
label = "draws"
unit = "count"

[plot]
kind = "points"
curve = "so far"
x = "draws"
y = "mean so far"

[[variants]]
name = "few"
label = "few draws"
arguments = { draws = 3, scale = 2.0 }
paper = { mean = 1.0 }

[[variants]]
name = "many"
label = "many draws"
arguments = { draws = 5, scale = 2, parts = ["a", "b"], strict = true, name = "x" }

[[ratios]]
label = "many over few"
reading = "draws"
over = "many"
under = "few"
"""

SUMS = """\
import numpy as np

CALLS = []

def draw(stream, *, draws, scale, parts=(), strict=False, name=""):
    CALLS.append((draws, scale, parts, strict, name))
    drawn = scale * stream.generator().random(draws)
    means = np.cumsum(drawn) / np.arange(1, draws + 1)
    return {
        "mean": drawn.mean(),
        "draws": draws,
        "never": None,
        "so far": list(enumerate(means, start=1)),
    }
"""


def write_computed(folder: Path, text: str = COMPUTED, code: str = SUMS) -> Path:
    """`experiments/paper/sums.toml` with its callable beside it; gives `experiments`."""
    paper = folder / "experiments" / "paper"
    paper.mkdir(parents=True, exist_ok=True)
    (paper / "sums.toml").write_text(text)
    (paper / "small_sums.py").write_text(code)
    return paper.parent
