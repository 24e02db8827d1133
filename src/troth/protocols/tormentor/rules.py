"""What a scenario with `tormentor` must hold beyond single keys."""

from __future__ import annotations

from troth.errors import CharterError
from troth.privacy.spec import NoPrivacy
from troth.protocols.protocol import CharterTables, Circumstances
from troth.protocols.tormentor.parameters import Tormentor


def run_ends_when_budgets_are_spent(
    charter_tables: CharterTables[Tormentor], circumstances: Circumstances
) -> None:
    """Refuse a training without an end: providers leave when their budget is spent, and without a
    deadline the broker waits for others for ever.

    Raises:
      CharterError: parties have a privacy of their own, and neither `deadline_s` nor `time_s` is
        set.
    """
    protocol, privacy = charter_tables.parameters, circumstances.own_privacy
    if isinstance(privacy, NoPrivacy):
        return
    if protocol.deadline_s is None and protocol.time_s is None:
        raise CharterError(
            "lets parties leave when their budget is spent, and the broker would wait for others "
            "for ever",
            key="parties.privacy.mechanism",
            value=str(privacy.__struct_config__.tag),
            hint="set protocol.deadline_s to the seconds after which to go on",
        )


def somebody_may_join(
    charter_tables: CharterTables[Tormentor], circumstances: Circumstances
) -> None:
    """Refuse a curator's least epsilon that no party is willing to spend.

    Raises:
      CharterError: `minimum_epsilon` is above the largest epsilon of any party.
    """
    privacy, minimum = circumstances.own_privacy, charter_tables.parameters.minimum_epsilon
    if isinstance(privacy, NoPrivacy) or minimum is None:
        return
    largest = max(privacy.epsilon_of(party) for party in circumstances.parties)
    if largest < minimum:
        raise CharterError(
            f"is more than any party is willing to spend: the largest epsilon is {largest:g}",
            key="protocol.minimum_epsilon",
            value=minimum,
            hint="lower it, or raise [parties.privacy] epsilon",
        )
