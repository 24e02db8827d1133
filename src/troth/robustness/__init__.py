"""Aggregation rules that withstand Byzantine parties, and what goes before them.

Names are looked up on first use: charters import `troth.robustness.spec`, and must stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from troth.lazy import lazy_names

if TYPE_CHECKING:
    from troth.robustness.aggregation import aggregate
    from troth.robustness.bounds import check_aggregation, largest_byzantine
    from troth.robustness.updates import Aggregate, Updates, UpdatesError

__all__ = [
    "Aggregate",
    "Updates",
    "UpdatesError",
    "aggregate",
    "check_aggregation",
    "largest_byzantine",
]

_HOMES = {
    "Aggregate": "troth.robustness.updates",
    "Updates": "troth.robustness.updates",
    "UpdatesError": "troth.robustness.updates",
    "aggregate": "troth.robustness.aggregation",
    "check_aggregation": "troth.robustness.bounds",
    "largest_byzantine": "troth.robustness.bounds",
}

__getattr__ = lazy_names(__name__, _HOMES)
