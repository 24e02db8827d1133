"""What a party knows of itself after a run, from the state that its role has saved.

It is the party's own: nothing here is sent to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from troth.ids import PartyId
from troth.learning.training import Training
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.tormentor.parameters import Tormentor
from troth.records import PartyPrivacy

if TYPE_CHECKING:
    from troth.privacy.own import OwnPrivacy
    from troth.protocols.registry import ProtocolSpec


@dataclass(frozen=True)
class Account:
    """One party's own.

    `told` is why it was refused the last time, and `stopped` why it sent no more before the end.
    `measures` are numbers under names of the protocol's own; reports show whichever there are.
    """

    privacy: PartyPrivacy
    told: str | None = None
    stopped: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


def own_account(
    protocol: ProtocolSpec,
    party: PartyId,
    privacy: OwnPrivacy | None,
    load: Callable[[type[Any]], Any],
    *,
    training: Training,
    dimension: int,
) -> Account:
    """The account of `party`.

    Args:
      privacy: what its role was given.
      load: what the role last saved, as this type; None if it has saved nothing.
      dimension: D, of the model.
    """
    if isinstance(protocol, Biscotti):
        from troth.protocols.biscotti.hiding.released import released_privacy
        from troth.protocols.biscotti.state import PeerState

        peer = load(PeerState)
        return Account(
            released_privacy(
                protocol,
                training,
                party,
                dimension=dimension,
                masked=0 if peer is None else peer.masked,
                contributed=0 if peer is None else peer.contributed,
            ),
            measures={} if peer is None else {"stake": peer.head.state.stake.as_dict()[party]},
        )
    if not isinstance(protocol, Tormentor):
        return Account(PartyPrivacy(party=party, mechanism="none"))
    from troth.privacy.own import party_privacy
    from troth.protocols.tormentor.state import ProviderState

    state = load(ProviderState) or ProviderState()
    return Account(party_privacy(party, privacy, state.ledger), state.told, state.stopped)
