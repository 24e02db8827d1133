"""Noisers that commit in the genesis to noise that is none, and contributors that are in on it.

Section 4.4 of the paper: who chooses its noise could take the mask off whom it likes. So noise is
committed to before the first round; these attackers commit to zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from troth.attacks.biscotti.malice import Malice, acting, altered, masking_with
from troth.attacks.biscotti.noisers import grant_of
from troth.crypto.commitments import Opening, commit
from troth.crypto.field import encode_elements, parse_elements
from troth.crypto.group import POINT_BYTES
from troth.crypto.noise_table import NoiseTable, Seeds
from troth.crypto.seeded_bits import SeededBits
from troth.ids import NodeId, PartyId, Round
from troth.protocols.biscotti.hiding.masking import MaskedUpdate, MaskUpdate
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import pieces
from troth.protocols.biscotti.ledger.initializing import entry_of, make_genesis, noise_root
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.messages import NoiseGrant, NoNoise
from troth.protocols.biscotti.setting import Setting
from troth.roles.effects import Effect, Send
from troth.wire import Float32s

BAD_SLOT = 0
"""The slot of each round that holds no noise, where others do."""


def zero_opening(setting: Setting, seeds: Seeds) -> Opening:
    """No noise, blinded as the noise of these seeds would be."""
    zeros_D = np.zeros(setting.dimension, np.int64)
    return Opening.draw(zeros_D, setting.layout.rows, SeededBits(seeds.blinding))


def zero_table(
    setting: Setting, owner: NodeId, keys: PeerKeys, slots: Callable[[int], bool] = lambda _: True
) -> NoiseTable:
    """A table with commitments to zeros in some slots of each round: rows, paths and root agree.

    Args:
      slots: says of each slot's number whether it holds zeros.
    """
    rows = []
    for round in range(1, setting.table.rounds + 1):
        for slot in range(setting.table.slots):
            seeds = keys.noise.seeds(Round(round), slot)
            if slots(slot):
                opening = zero_opening(setting, seeds)
                data = commit(setting.key, opening, bound=setting.noise_bound).encoded
                rows.append(pieces(data, POINT_BYTES))
            else:
                rows.append(setting.rows.rows(seeds))
    return NoiseTable(owner, setting.table, rows)


def with_tables(
    members: Members, tables: Mapping[PartyId, NoiseTable], initial_D: Float32s
) -> Members:
    """The members with a genesis in which some have committed to these tables."""
    rules, together = members.rules, {**members.tables, **tables}
    charter = rules.genesis.content.charter
    entries = [
        entry_of(party, charter, members.keys[party], noise_root(party, table))
        for party, table in together.items()
    ]
    genesis = make_genesis(rules.charter_tables, rules.setting, initial_D, charter, entries)
    return replace(members, rules=replace(rules, genesis=genesis), tables=together)


# ------------------------------------------------------------------ with a contributor's help


def _bad_for_friends(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
    if not (isinstance(effect, Send) and isinstance(effect.message, NoiseGrant)):
        return None
    (to,), grant = effect.to, effect.message
    if to in malice.attacker.friends:
        if BAD_SLOT in malice.context.reserved_slots(malice.me):
            return None
        return [Send(effect.to, grant_of(malice, to, grant.round, BAD_SLOT))]
    return [Send(effect.to, NoNoise(grant.round))] if grant.slot == BAD_SLOT else None


bad_slot_for_friends = acting(_bad_for_friends)
"""A noiser gives its one slot without noise to a contributor that is in on it, and real noise to
all others."""


@masking_with
def in_on_it(malice: Malice, asked: MaskUpdate) -> MaskUpdate:
    """A contributor uses that slot, and knows how it opens."""
    zeros = zeros_of(malice, asked)
    return MaskWithZeros(asked.setting, asked.update_D, asked.grants, asked.seed, zeros)


def zeros_of(malice: Malice, asked: MaskUpdate) -> frozenset[NodeId]:
    """The friends whose slot without noise a contributor was given."""
    return frozenset(
        grant.owner
        for grant in asked.grants
        if grant.owner in malice.attacker.friends and grant.slot == BAD_SLOT
    )


@dataclass(frozen=True, eq=False)
class MaskWithZeros(MaskUpdate):
    """What a contributor computes that knows which of its noise is none."""

    zeros: frozenset[NodeId] = frozenset()

    def run(self, bench: object) -> MaskedUpdate:
        honest = tuple(grant for grant in self.grants if grant.owner not in self.zeros)
        result = MaskUpdate(self.setting, self.update_D, honest, self.seed).run(bench)
        rows = self.setting.layout.rows
        nothing_D = np.zeros(self.setting.dimension, np.int64)
        total = Opening(nothing_D, parse_elements(result.blindings, rows, sender=NodeId("oneself")))
        for grant in self.grants:
            if grant.owner in self.zeros:
                total += zero_opening(self.setting, grant.seeds)
        found = dict(zip([grant.owner for grant in honest], result.good, strict=True))
        good = tuple(found.get(grant.owner, True) for grant in self.grants)
        return altered(result, blindings=encode_elements(total.blindings_K), good=good)
