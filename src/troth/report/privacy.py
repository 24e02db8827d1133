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
    if party.by_release:
        return _by_release([party], "this party's own, over all it has sent in this run")
    if party.epsilon is None:
        return NO_PRIVACY
    return PrivacyRecord(
        mechanism=party.mechanism,
        epsilon=party.epsilon,
        delta=party.delta,
        note="this party's own, over all it has sent in this run; nobody else is told",
        parties=[party],
    )


def launched_privacy_record(parties: Sequence[PartyPrivacy]) -> PrivacyRecord:
    """What all peers of a launch say together, each of itself."""
    if not any(party.by_release for party in parties):
        return NO_PRIVACY
    return _by_release(parties, "each party's own, over all it has sent in this run")


def simulated_privacy_record(parties: Sequence[PartyPrivacy]) -> PrivacyRecord:
    """What the simulator says: it knows everybody's."""
    if any(party.by_release for party in parties):
        return _by_release(
            [party for party in parties if party.by_release],
            "each party's own; noise follows from the seed, so this run protects nobody",
        )
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


def _by_release(parties: Sequence[PartyPrivacy], whose: str) -> PrivacyRecord:
    """Where the charter asks for noise. A sum is as bare for each party in it."""
    bare = sorted(
        {
            release.what
            for party in parties
            for release in party.by_release
            if release.releases and release.epsilon is None
        }
    )
    bounded = [party.epsilon for party in parties if party.epsilon is not None]
    note = whose
    if bare:
        note += f"; {' and '.join(bare)} left without noise and carry no differential privacy"
    if any(release.paper is not None for party in parties for release in party.by_release):
        note += "; what the paper counts is one update's, for gradients of norm 1 a row"
    return PrivacyRecord(
        mechanism=", ".join(sorted({party.mechanism for party in parties})),
        epsilon=max(bounded) if len(bounded) == len(parties) else None,
        delta=max(party.delta or 0.0 for party in parties),
        note=note,
        parties=list(parties),
    )
