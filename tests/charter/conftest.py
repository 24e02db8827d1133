"""A small valid scenario to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from troth.charter.loading import LoadedScenario, load_scenario

BASE = """\
# A small scenario.
name = "small"
seed = 7

[task]
kind = "classification"
data = "digits"
model = "softmax"

[training]  # how
rounds = 5  # few
learning_rate = 0.1

[protocol]
name = "federated"

[parties]
count = 10
"""

Load = Callable[..., LoadedScenario]


@pytest.fixture
def base() -> str:
    return BASE


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a text to a file and loads it."""

    def loader(text: str, *overrides: str) -> LoadedScenario:
        path = tmp_path / "scenario.toml"
        path.write_text(text, encoding="utf-8")
        return load_scenario(path, overrides=overrides)

    return loader
