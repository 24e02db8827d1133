"""Noisers that give or open other noise than the protocol says (step 2 of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Iterable

from troth.attacks.biscotti.malice import Malice, altered, sending
from troth.crypto.noise_table import Seeds
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import OPENING, opening_text
from troth.protocols.biscotti.messages import NoiseGrant, Opened
from troth.protocols.biscotti.texts import GRANT, grant_text, seeds_digest
from troth.roles.effects import Send


def grant_of(malice: Malice, contributor: NodeId, round: Round, slot: int) -> NoiseGrant:
    """A signed grant of one of the attacker's own slots, as it has committed to it."""
    table, keys = malice.attacker.table, malice.attacker.keys
    assert table is not None
    seeds, path = keys.noise.seeds(round, slot), table.path(round, slot)
    text = grant_text(malice.context, contributor, slot, seeds_digest(seeds), path)
    rows = b"".join(table.rows(round, slot))
    signature = malice.sign(GRANT, text)
    return NoiseGrant(round, slot, seeds.noise, seeds.blinding, rows, path, signature)


def _audited_slot(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, NoiseGrant)
    slot = malice.context.audited_slot(malice.me)
    yield Send(effect.to, grant_of(malice, effect.to[0], effect.message.round, slot))


audited_slot = sending(NoiseGrant, _audited_slot)
"""Gives every contributor the slot that it would have to open for everybody."""


def _same_slot(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, NoiseGrant)
    slots = malice.attacker.plan.rules.setting.table.slots
    slot = (malice.context.audited_slot(malice.me) + 1) % slots
    yield Send(effect.to, grant_of(malice, effect.to[0], effect.message.round, slot))


same_slot = sending(NoiseGrant, _same_slot)
"""Gives every contributor one and the same slot."""


def _other_noise(malice: Malice, effect: Send) -> Iterable[Send]:
    grant = effect.message
    assert isinstance(grant, NoiseGrant)
    other = altered(grant, seed=bytes(32))
    seeds = seeds_digest(Seeds(other.seed, other.blinding_seed))
    text = grant_text(malice.context, effect.to[0], grant.slot, seeds, grant.path)
    yield Send(effect.to, altered(other, signature=malice.sign(GRANT, text)))


other_noise = sending(NoiseGrant, _other_noise)
"""Gives noise that it has not committed to."""


def _other_opening(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Opened)
    opening, context = effect.message.opening, malice.context
    text = opening_text(
        context.chain, context.round, opening.slot, bytes(32), opening.blinding_seed, opening.path
    )
    opening = altered(opening, seed=bytes(32), signature=malice.sign(OPENING, text))
    yield Send(effect.to, Opened(effect.message.round, opening))


other_opening = sending(Opened, _other_opening)
"""Opens its audited slot to noise that it has not committed to."""
