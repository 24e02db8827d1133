"""When nodes go down and come back: crashes, scheduled absences, and random churn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from troth.charter.world import Churn, Faults
from troth.ids import NodeId, PartyId
from troth.streams import Stream


@dataclass(frozen=True, slots=True)
class Outage:
    """`node` is down from `from_s` until `until_s`; None: for good."""

    node: NodeId
    from_s: float
    until_s: float | None
    reason: str


def scheduled(faults: Faults, churn: Churn) -> list[Outage]:
    """The outages that the scenario names."""
    crashes = [
        Outage(
            NodeId(crash.node),
            crash.at_s,
            None if crash.restart_after_s is None else crash.at_s + crash.restart_after_s,
            "crash",
        )
        for crash in faults.crashes
    ]
    absences = [
        Outage(NodeId(absence.party), absence.from_s, absence.until_s, "absence")
        for absence in churn.absences
    ]
    return sorted(crashes + absences, key=lambda outage: (outage.from_s, outage.node))


class RandomChurn:
    """Parties online and offline for exponentially distributed times.

    A party's n-th outage depends on the seed, the party and n alone.
    """

    def __init__(self, churn: Churn, parties: Sequence[PartyId], stream: Stream) -> None:
        self._churn = churn
        self._stream = stream
        self.parties = tuple(parties) if churn.mean_online_s is not None else ()

    def next_outage(self, party: NodeId, number: int, after_s: float) -> Outage:
        """The party's outage `number` (from 0), the first to begin after `after_s`."""
        assert self._churn.mean_online_s is not None
        assert self._churn.mean_offline_s is not None
        generator = self._stream.child("churn", party, number).generator()
        from_s = after_s + generator.exponential(self._churn.mean_online_s)
        return Outage(
            party, from_s, from_s + generator.exponential(self._churn.mean_offline_s), "churn"
        )
