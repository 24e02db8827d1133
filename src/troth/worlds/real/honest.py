"""What a scenario of a real run must not hold."""

from __future__ import annotations

from troth.charter.scenario import Scenario
from troth.errors import CharterError


def check_honest(scenario: Scenario) -> None:
    """The scenario holds nothing that only a simulation can do.

    Raises:
      CharterError: it does.
    """
    if scenario.attacks:
        raise CharterError(
            "belongs to a simulation, real nodes do not attack",
            key="attacks",
            hint="remove the attacks, or run the scenario with: troth simulate",
        )
    if scenario.cryptography.group != "g1":
        raise CharterError(
            "belongs to a simulation, it binds nobody who computes",
            key="cryptography.group",
            value=scenario.cryptography.group,
            hint='set group = "g1", or run the scenario with: troth simulate',
        )
