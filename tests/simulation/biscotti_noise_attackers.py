"""Peers of `biscotti` that cheat with noise: noisers whose table holds none, contributors that name
slots which they were not given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from biscotti_attackers import Malice, acting, altered
from biscotti_runs import Attack

from troth.crypto import vrf
from troth.crypto.commitments import Opening, commit
from troth.crypto.field import encode_elements, parse_elements
from troth.crypto.group import POINT_BYTES
from troth.crypto.noise_table import NoiseTable, Seeds, assign_slots
from troth.crypto.seeded_bits import SeededBits
from troth.ids import NodeId, PartyId, Round
from troth.protocols.biscotti.hiding.masking import GrantedNoise, MaskedUpdate, MaskUpdate
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.initializing import noise_requests, noise_table
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.messages import Masked, NoiseGrant, NoiseUse, NoNoise
from troth.protocols.biscotti.setting import Setting
from troth.protocols.biscotti.texts import (
    GRANT,
    MASKED,
    grant_text,
    masked_text,
    seeds_digest,
)
from troth.roles.effects import Effect, Perform, Send

# ------------------------------------------------------------------ no noise


def zero_opening(setting: Setting, seeds: Seeds) -> Opening:
    """No noise, blinded as the noise of these seeds would be."""
    zeros_D = np.zeros(setting.dimension, np.int64)
    return Opening.draw(zeros_D, setting.layout.rows, SeededBits(seeds.blinding))


def without_noise(
    *names: str, slots: Callable[[int], bool] = lambda _: True
) -> Callable[[Members], Mapping[NodeId, NoiseTable]]:
    """Tables with commitments to zeros in some slots of each round: rows, paths and root agree."""

    def staged(members: Members) -> dict[NodeId, NoiseTable]:
        return {
            NodeId(name): _zero_table(
                members.rules.setting, NodeId(name), members.keys[PartyId(NodeId(name))], slots
            )
            for name in names
        }

    return staged


def _zero_table(
    setting: Setting, owner: NodeId, keys: PeerKeys, slots: Callable[[int], bool]
) -> NoiseTable:
    rows = []
    for round in range(1, setting.table.rounds + 1):
        for slot in range(setting.table.slots):
            seeds = keys.noise.seeds(Round(round), slot)
            if slots(slot):
                opening = zero_opening(setting, seeds)
                data = commit(setting.key, opening, bound=setting.noise_bound).encoded
                rows.append([data[at : at + POINT_BYTES] for at in range(0, len(data), 96)])
            else:
                rows.append(setting.rows.rows(seeds))
    return NoiseTable(owner, setting.table, rows)


@dataclass(frozen=True, eq=False)
class MaskWithZeros(MaskUpdate):
    """What a contributor computes that knows which of its noise is none."""

    zeros: frozenset[NodeId] = frozenset()

    def run(self, bench: object) -> MaskedUpdate:
        honest = tuple(grant for grant in self.grants if grant.owner not in self.zeros)
        masked = replace(self, grants=honest, zeros=frozenset())
        result = MaskUpdate(masked.setting, masked.update_D, honest, masked.seed).run(bench)
        sender = NodeId("oneself")
        rows = self.setting.layout.rows
        nothing_D = np.zeros(self.setting.dimension, np.int64)
        total = Opening(nothing_D, parse_elements(result.blindings, rows, sender=sender))
        for grant in self.grants:
            if grant.owner in self.zeros:
                total += zero_opening(self.setting, grant.seeds)
        blindings = encode_elements(total.blindings_K)
        found = dict(zip([grant.owner for grant in honest], result.good, strict=True))
        good = tuple(found.get(grant.owner, True) for grant in self.grants)
        return altered(result, blindings=blindings, good=good)  # type: ignore[no-any-return]


BAD_SLOT = 0


def _bad_for_friends(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
    if not (isinstance(effect, Send) and isinstance(effect.message, NoiseGrant)):
        return None
    (to,), grant = effect.to, effect.message
    if to in malice.attacker.friends:
        if BAD_SLOT in malice.context.reserved_slots(malice.me):
            return None
        return [Send(effect.to, granted(malice, malice.me, to, grant.round, BAD_SLOT))]
    return [Send(effect.to, NoNoise(grant.round))] if grant.slot == BAD_SLOT else None


bad_slot_for_friends = acting(_bad_for_friends)
"""A noiser that gives its one slot without noise to a contributor that is in on it, and real noise
to all others."""


def granted(
    malice: Malice, noiser: NodeId, contributor: NodeId, round: Round, slot: int
) -> NoiseGrant:
    """A grant by this noiser."""
    table, keys = malice.attacker.table, malice.attacker.all_keys[noiser]
    seeds, path = keys.noise.seeds(round, slot), table.path(round, slot)
    text = grant_text(malice.context, contributor, slot, seeds_digest(seeds), path)
    signature = keys.signing.sign(GRANT, text)
    rows = b"".join(table.rows(round, slot))
    return NoiseGrant(round, slot, seeds.noise, seeds.blinding, rows, path, signature)


def in_on_it(used: list[Round]) -> Attack:
    """The contributor: it uses that slot, and knows how it opens.

    Args:
      used: gets the rounds in which it does.
    """

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not (isinstance(effect, Perform) and isinstance(effect.request, MaskUpdate)):
            return None
        asked = effect.request
        zeros = frozenset(
            grant.owner
            for grant in asked.grants
            if grant.owner in malice.attacker.friends and grant.slot == BAD_SLOT
        )
        if zeros:
            used.append(malice.context.round)
        request = MaskWithZeros(asked.setting, asked.update_D, asked.grants, asked.seed, zeros)
        return [Perform(request)]

    return acting(instead)


# ------------------------------------------------------------------ slots of others

Wish = Callable[[Malice, NodeId, int], int | None]
"""Which slot of a noiser to name in place of the one that it gave; None: that one."""


def naming(wish: Wish) -> Attack:
    """A contributor that names other slots than it was given, with a signature that is none.

    It knows what is in them, as if who was given them had told it: otherwise it could not share
    its update.
    """
    tables: dict[NodeId, NoiseTable] = {}
    named: dict[NodeId, GrantedNoise] = {}

    def noise(malice: Malice, grant: GrantedNoise) -> GrantedNoise:
        slot = wish(malice, grant.owner, grant.slot)
        if slot is None:
            return grant
        setting = malice.attacker.plan.rules.setting
        keys = malice.attacker.all_keys[grant.owner]
        if grant.owner not in tables:
            made = [request.run(None) for request in noise_requests(setting, keys)]
            table = noise_table(grant.owner, setting, made)
            assert table is not None
            tables[grant.owner] = table
        table = tables[grant.owner]
        named[grant.owner] = replace(
            grant,
            slot=slot,
            seeds=keys.noise.seeds(grant.round, slot),
            rows=b"".join(table.rows(grant.round, slot)),
            path=table.path(grant.round, slot),
        )
        return named[grant.owner]

    def use(given: NoiseUse) -> NoiseUse:
        found = named.get(given.noiser)
        if found is None:
            return given
        changed: NoiseUse = altered(
            given,
            slot=found.slot,
            rows=found.rows,
            path=found.path,
            seeds=seeds_digest(found.seeds),
            signature=bytes(64),
        )
        return changed

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if isinstance(effect, Perform) and isinstance(effect.request, MaskUpdate):
            named.clear()
            grants = tuple(noise(malice, grant) for grant in effect.request.grants)
            return [Perform(replace(effect.request, grants=grants))]
        if isinstance(effect, Send) and isinstance(effect.message, Masked):
            uses = tuple(use(given) for given in effect.message.noise)
            changed = altered(effect.message, noise=uses)
            text = masked_text(malice.context, changed)
            return [Send(effect.to, altered(changed, signature=malice.sign(MASKED, text)))]
        return None

    return acting(instead)


def outputs_of(
    context: RoundContext, keys: Mapping[NodeId, PeerKeys], noiser: NodeId
) -> dict[NodeId, bytes]:
    """The VRF outputs of a round's contributors that have drawn a noiser."""
    outputs = {
        peer: vrf.output(keys[peer].vrf.prove(context.noiser_alpha))
        for peer in context.contributors
    }
    return {
        peer: output
        for peer, output in outputs.items()
        if noiser in context.noisers_of(peer, output)
    }


def assigned(
    context: RoundContext, setting: Setting, keys: Mapping[NodeId, PeerKeys], noiser: NodeId
) -> dict[NodeId, int]:
    """What an honest noiser gives to whom, if all ask in time."""
    return assign_slots(
        outputs_of(context, keys, noiser),
        noiser=noiser,
        shape=setting.table,
        reserved=context.reserved_slots(noiser),
    )


def somebody_elses(malice: Malice, noiser: NodeId, _: int) -> int | None:
    """One that an honest contributor was given."""
    attacker = malice.attacker
    taken = assigned(malice.context, attacker.plan.rules.setting, attacker.all_keys, noiser)
    others = [slot for peer, slot in sorted(taken.items()) if peer not in attacker.friends]
    return others[0] if others else None
