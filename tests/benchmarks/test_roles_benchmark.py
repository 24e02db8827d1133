"""The benchmark of roles sets a world up by hand, so it has to follow what a world needs."""

from __future__ import annotations

import pytest
from biscotti_roles import measure_roles
from troth_biscotti import Size

from troth.data.root import data_root


# It deals MNIST, which is no part of the project; where CI has the data it is not skipped.
@pytest.mark.skipif(data_root() is None, reason="TROTH_DATA names no folder with data sets")
def test_each_role_is_measured() -> None:
    few = Size(parties=16, rounds=1, verifiers=3, aggregators=3, noisers=2)
    cases = [row["case"] for row in measure_roles(few)]
    for role in ("leader", "aggregator", "verifier", "contributor", "onlooker"):
        assert any(f"{role}, " in case for case in cases), cases
