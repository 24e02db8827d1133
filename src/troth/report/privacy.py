"""`privacy.json`: what a run may say of the privacy that parties have spent."""

from __future__ import annotations

from collections.abc import Sequence

from troth.records import PartyPrivacy, PrivacyRecord

NO_PRIVACY = PrivacyRecord(
    mechanism="none",
    epsilon=None,
    delta=None,
    note="no noise is added, so nothing bounds what updates and models reveal about a party's rows",
)

UNKNOWN_PRIVACY = PrivacyRecord(
    mechanism="unknown",
    epsilon=None,
    delta=None,
    note="providers choose their own privacy and tell nobody here what they have spent; each "
    "one's own folder says it",
)
"""What the broker and the curator of a real run know."""


def own_privacy_record(party: PartyPrivacy) -> PrivacyRecord:
    """What a node of a real run says: of itself, and of nobody else."""
    if party.epsilon is None:
        return NO_PRIVACY
    return PrivacyRecord(
        mechanism=party.mechanism,
        epsilon=party.epsilon,
        delta=party.delta,
        note="this party's own, over all it has sent in this run; nobody else is told",
        parties=[party],
    )


def simulated_privacy_record(parties: Sequence[PartyPrivacy]) -> PrivacyRecord:
    """What the simulator says: it knows everybody's."""
    private = [party for party in parties if party.epsilon is not None]
    if not private:
        return NO_PRIVACY
    note = (
        "each party's own, unknown to the others; the simulator knows all of them. Its noise "
        "follows from the seed, so this run measures what privacy costs and protects nobody"
    )
    if len(private) < len(parties):
        note += f"; attackers add no noise: {len(parties) - len(private)}"
    return PrivacyRecord(
        mechanism=", ".join(sorted({party.mechanism for party in private})),
        epsilon=max(party.epsilon or 0.0 for party in private),
        delta=max(party.delta or 0.0 for party in private),
        note=note,
        parties=list(parties),
    )
