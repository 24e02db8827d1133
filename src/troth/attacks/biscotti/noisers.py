"""Noisers that give or open other noise than the protocol says (step 2 of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Iterable

from troth.attacks.biscotti.malice import Malice, Receivers, altered, sending
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


@sending(NoiseGrant)
def audited_slot(malice: Malice, to: Receivers, grant: NoiseGrant) -> Iterable[Send]:
    """Gives every contributor the slot that it would have to open for everybody."""
    slot = malice.context.audited_slot(malice.me)
    yield Send(to, grant_of(malice, to[0], grant.round, slot))


@sending(NoiseGrant)
def same_slot(malice: Malice, to: Receivers, grant: NoiseGrant) -> Iterable[Send]:
    """Gives every contributor one and the same slot."""
    slots = malice.attacker.plan.rules.setting.table.slots
    slot = (malice.context.audited_slot(malice.me) + 1) % slots
    yield Send(to, grant_of(malice, to[0], grant.round, slot))


@sending(NoiseGrant)
def other_noise(malice: Malice, to: Receivers, grant: NoiseGrant) -> Iterable[Send]:
    """Gives noise that it has not committed to."""
    other = altered(grant, seed=bytes(32))
    seeds = seeds_digest(Seeds(other.seed, other.blinding_seed))
    text = grant_text(malice.context, to[0], grant.slot, seeds, grant.path)
    yield Send(to, altered(other, signature=malice.sign(GRANT, text)))


@sending(Opened)
def other_opening(malice: Malice, to: Receivers, honest: Opened) -> Iterable[Send]:
    """Opens its audited slot to noise that it has not committed to."""
    opening, context = honest.opening, malice.context
    text = opening_text(
        context.chain, context.round, opening.slot, bytes(32), opening.blinding_seed, opening.path
    )
    opening = altered(opening, seed=bytes(32), signature=malice.sign(OPENING, text))
    yield Send(to, Opened(honest.round, opening))
