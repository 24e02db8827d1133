"""A small scenario, and what a simulation makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tor_network import tor_installed, tor_network

from troth.charter.loading import LoadedScenario, load_scenario

__all__ = ["tor_installed", "tor_network"]

ROUNDS = 8


@pytest.fixture
def small_file(scenario_file) -> Path:
    return scenario_file(parties=4, rounds=ROUNDS)


@pytest.fixture
def small(small_file: Path) -> LoadedScenario:
    return load_scenario(small_file)
