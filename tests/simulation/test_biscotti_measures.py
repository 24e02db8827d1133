"""What each peer's record says of it besides what all parties' records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conformance_cases import CASES, biscotti_rounds

from troth.simulation import simulate


def test_each_peers_record_says_what_stake_it_ends_with(tmp_path: Path, simulated: Any) -> None:
    scenario = CASES["biscotti"].calm["as it comes, at once"].write(tmp_path, "biscotti")
    stake = biscotti_rounds(simulated(scenario).go())[-1].stake.as_dict()
    assert len(set(stake.values())) > 1
    parties = simulate(scenario, progress=False).summary.parties
    assert {party.party: party.measures for party in parties} == {
        name: {"stake": amount} for name, amount in stake.items()
    }
