"""What several areas of tests share: where files are, and a small simulated world."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent

# One thread: tests run side by side, and results then do not depend on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine, and no test that fails because a machine is busy.
settings.register_profile("suite", deadline=None, derandomize=True)
# Other examples in each run: `make explore`.
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait for minutes begin first, so that at the end nobody waits for them alone."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.fixture
def scenario_file(tmp_path: Path):
    """Writes a small scenario: `write(protocol, extra, **keys)` gives its path."""

    def write(
        protocol: str = 'name = "federated"',
        extra: str = "",
        *,
        parties: int = 6,
        rounds: int = 4,
        training: str = "learning_rate = 0.5",
        seed: int = 1,
        name: str = "small",
    ) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f"""
name = "{name}"
seed = {seed}

[task]
kind = "classification"
data = {{ source = "named", name = "digits", rows = 240, test_rows = 100 }}
model = "softmax"

[training]
rounds = {rounds}
{training}

[protocol]
{protocol}

[parties]
count = {parties}

{extra}
"""
        )
        return path

    return write
