"""The `[protocol]` table of `federated`."""

from __future__ import annotations

from troth.robustness.spec import AggregationSpec, Mean
from troth.specification import Count, Fraction, Positive, Table


class Federated(Table, tag_field="name", tag="federated", frozen=True, kw_only=True):
    """FedSGD / FedAvg (McMahan et al. 2017) with a server that everyone trusts."""

    aggregation: AggregationSpec = Mean()
    """The rule by which a round's updates become one."""
    participation: Fraction = 1.0
    """Share of the parties asked each round, drawn by the run's seed."""
    at_least: Count | None = None
    """Updates without which a round is repeated; absent: all that were asked, or one with a
    deadline."""
    deadline_s: Positive | None = None
    """How long a round waits, in seconds; absent: until every party asked has answered."""
    server_learning_rate: Positive = 1.0
    """Scales the aggregated delta; 1.0 is FedAvg."""

    def asked(self, parties: int) -> int:
        """How many of so many parties are asked in a round."""
        return asked_per_round(parties, self.participation)


def asked_per_round(parties: int, participation: float) -> int:
    """m = max(C * K, 1) of McMahan et al. 2017, algorithm 1, rounded half up."""
    return max(1, int(participation * parties + 0.5))
