"""Which node plays which role, and what a provider knows of itself after a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from troth.ids import NodeId, PartyId
from troth.privacy.own import OwnPrivacy, party_privacy
from troth.protocols.protocol import Account, Agreed, Casting, CharterTables, Simulated
from troth.protocols.tormentor.messages import MESSAGES
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.roles import broker, curator, provider
from troth.protocols.tormentor.state import Plan, ProviderState
from troth.roles.node import Cast, Role


def make_cast(casting: Casting[Tormentor]) -> Cast:
    """Who plays what in a simulation: the broker, the curator, and a provider for each party. The
    run ends when the curator has the model."""
    agreed = casting.agreed
    plan = Plan(
        agreed.parties,
        agreed.initial_D,
        agreed.training,
        agreed.parameters,
        agreed.charter,
        agreed.base,
        ground_up_to=None if casting.simulated is None else casting.simulated.ground_up_to,
    )
    roles: dict[NodeId, Role] = {
        party: partial(provider, plan=plan, privacy=casting.privacy.get(party))
        for party in agreed.parties
    }
    roles[BROKER] = partial(broker, plan=plan)
    roles[CURATOR] = partial(curator, plan=plan)
    return Cast(roles, (CURATOR,), MESSAGES)


def account_of(
    _: CharterTables[Tormentor],
    party: PartyId,
    privacy: OwnPrivacy | None,
    load: Callable[[type[Any]], Any],
    __: int,
) -> Account:
    """What a provider knows of itself after a run, from its saved state: what its privacy has cost,
    why the broker refused it the last time, and why it stopped."""
    state = load(ProviderState) or ProviderState()
    return Account(party_privacy(party, privacy, state.ledger), state.told, state.stopped)


def simulation_notes(_: Agreed[Tormentor], __: object, simulated: Simulated) -> list[str]:
    """What a reader of a simulation's report must know of keys, chance and the price of puzzles."""
    notes = [
        "keys, nonces and the choice of updates to verify follow from the seed: whoever has the "
        "scenario knows them"
    ]
    if simulated.computing_is_free:
        notes.append(
            "puzzles take no simulated time, so they hold nobody back: "
            'set [cost] kind = "fixed", seconds = { solve_puzzle = 1e-6 }'
        )
    return notes
