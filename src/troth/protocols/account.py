"""What a party knows of itself after a run, from the state that its role has saved.

It is the party's own: nothing here is sent to anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from troth.ids import PartyId
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Account
from troth.records import PartyPrivacy
from troth.specification import Table

if TYPE_CHECKING:
    from troth.learning.training import Training
    from troth.privacy.own import OwnPrivacy


def own_account(
    protocol: Table,
    party: PartyId,
    privacy: OwnPrivacy | None,
    load: Callable[[type[Any]], Any],
    *,
    training: Training,
    dimension: int,
) -> Account:
    """The account of `party`.

    Args:
      protocol: the charter's `[protocol]` table.
      privacy: what its role was given.
      load: what the role last saved, as this type; None if it has saved nothing.
      dimension: D, of the model.
    """
    found = protocol_of(protocol).account_of(protocol, party, privacy, load, training, dimension)
    return found or Account(PartyPrivacy(party=party, mechanism="none"))
