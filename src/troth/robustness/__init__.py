"""Aggregation rules that withstand Byzantine parties, and what goes before them."""

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
