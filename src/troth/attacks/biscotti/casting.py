"""From the attacks that a scenario names to the roles that its attackers play."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from troth.attacks.biscotti import (
    aggregators,
    boasting,
    contributors,
    floods,
    leaders,
    noisers,
    sizes,
    spec,
    thieves,
    timing,
    verifiers,
    zero_noise,
)
from troth.attacks.biscotti.malice import Attack, Attacker
from troth.attacks.spec import Attack as AttackTable
from troth.crypto.group import POINT_BYTES
from troth.errors import CharterError
from troth.ids import NodeId, PartyId
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.messages import MESSAGES
from troth.protocols.biscotti.roles import peer as peer_role
from troth.roles.node import Cast, Role
from troth.wire import Float32s

_FLOODS = {
    "noise_requests": floods.noise_requests,
    "requests": floods.wants,
    "announcements": floods.announcements,
    "blocks": floods.blocks,
    "accusations": floods.accusations,
}
_BOASTS = {
    "nothing": boasting.promising,
    "first_block": boasting.repeating,
    "nonsense": boasting.babbling,
}


def _honest(attacker: Attacker) -> Role:
    """What an attacker does that has done all its harm before the first round."""
    return attacker.honest


_ATTACKS: dict[type[AttackTable], Callable[[Any], Attack]] = {
    spec.AuditedSlot: lambda _: noisers.audited_slot,
    spec.SameSlot: lambda _: noisers.same_slot,
    spec.UncommittedNoise: lambda _: noisers.other_noise,
    spec.UncommittedOpening: lambda _: noisers.other_opening,
    spec.ZeroNoise: lambda _: _honest,
    spec.ZeroSlot: lambda _: zero_noise.bad_slot_for_friends,
    spec.ZeroSlotUser: lambda _: zero_noise.in_on_it,
    spec.OwnNoise: lambda _: contributors.masked_otherwise,
    spec.CompensatedNoise: lambda _: contributors.compensating,
    spec.ForgedProof: lambda _: contributors.forged_proof,
    spec.StolenSlot: lambda _: thieves.stolen_slot,
    spec.BadPoint: lambda _: contributors.bad_point(lambda _: b"\xff" * POINT_BYTES),
    spec.WrongShare: lambda _: contributors.bad_share_to_one,
    spec.WrongShares: lambda _: contributors.bad_shares_to_all,
    spec.ShuffledCommitments: lambda _: contributors.other_commitments,
    spec.OversizedUpdate: lambda _: sizes.million_values,
    spec.FriendsOnly: lambda _: verifiers.friends_only,
    spec.TwoVerdicts: lambda _: verifiers.two_verdicts,
    spec.WrongSum: lambda _: aggregators.wrong_sum,
    spec.TwoSets: lambda _: leaders.two_sets,
    spec.RepeatedUpdate: lambda _: leaders.one_twice,
    spec.WrongAggregate: lambda _: leaders.wrong_aggregate,
    spec.TwoBlocks: lambda _: leaders.two_blocks,
    spec.OldBlock: lambda _: leaders.old_block,
    spec.ChosenSeed: lambda _: leaders.other_seed,
    spec.SilentPeer: lambda _: timing.silent,
    spec.SlowPeer: lambda attack: timing.slow(attack.seconds),
    spec.LatePeer: lambda attack: timing.late(*timing.STEPS, by_s=attack.by_s),
    spec.WithholdingPeer: lambda attack: timing.never(
        *(kind for kind in MESSAGES if kind.__name__ in attack.messages)
    ),
    spec.FloodingPeer: lambda attack: floods.flooding(_FLOODS[attack.of]),
    spec.FramingPeer: lambda _: floods.framing,
    spec.ReplayingPeer: lambda _: floods.replaying(),
    spec.EarlyPeer: lambda _: sizes.early,
    spec.BoastingPeer: lambda attack: _BOASTS[attack.shows],
}
"""What makes the role of each attack, given its table."""


def recast(cast: Cast, attackers: Mapping[PartyId, AttackTable]) -> Cast:
    """The cast with the roles of those replaced that carry out an attack on the ledger.

    Args:
      cast: honest peers.
      attackers: all attackers of the run, whatever they carry out; they are friends.

    Raises:
      CharterError: no peer is left that follows the protocol.
    """
    attacks = {
        NodeId(party): _ATTACKS[type(table)](table)
        for party, table in attackers.items()
        if party in cast.roles and isinstance(table, spec.LedgerAttack)
    }
    return with_attackers(cast, attacks, friends=frozenset(map(NodeId, attackers)))


def with_attackers(
    cast: Cast, attacks: Mapping[NodeId, Attack], *, friends: frozenset[NodeId]
) -> Cast:
    """The cast in which some peers attack, one of the others reports, and they alone end the run.

    Args:
      cast: honest peers.
      friends: all parties that attack, in one way or another.

    Raises:
      CharterError: no peer is left that follows the protocol.
    """
    leading = tuple(peer for peer in cast.leading if peer not in attacks)
    if not leading:
        raise CharterError(
            "leave no peer that follows the protocol",
            key="attacks",
            hint="lower fraction, or name fewer parties",
        )
    given = {peer: given_to(role) for peer, role in cast.roles.items()}
    all_keys = {peer: arguments["keys"] for peer, arguments in given.items()}
    plan = replace(given[leading[0]]["plan"], reporter=leading[0])
    roles: dict[NodeId, Role] = {}
    for peer, arguments in given.items():
        honest = partial(peer_role, **{**arguments, "plan": plan})
        roles[peer] = honest
        if peer in attacks:
            table = arguments["table"]
            roles[peer] = attacks[peer](
                Attacker(peer, honest, plan, all_keys[peer], table, all_keys, friends)
            )
    return replace(cast, roles=roles, leading=leading)


def given_to(role: Role) -> dict[str, Any]:
    """What an honest peer's role was given: `plan`, `keys` and `table` of `roles.peer`."""
    assert isinstance(role, partial)
    return dict(role.keywords)


def brought(
    members: Members, attackers: Mapping[PartyId, AttackTable], initial_D: Float32s
) -> Members:
    """The members with a genesis in which some noisers have committed to no noise."""
    setting = members.rules.setting
    tables = {}
    for party, keys in members.keys.items():
        match attackers.get(party):
            case spec.ZeroNoise():
                tables[party] = zero_noise.zero_table(setting, party, keys)
            case spec.ZeroSlot():
                tables[party] = zero_noise.zero_table(
                    setting, party, keys, lambda slot: slot == zero_noise.BAD_SLOT
                )
    return zero_noise.with_tables(members, tables, initial_D) if tables else members
