"""Contributors that name other slots of noise than they were given (step 3 of the paper's figure
1), as if whoever was given them had told what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from troth.attacks.biscotti.malice import Attack, Malice, acting, altered
from troth.crypto import vrf
from troth.crypto.noise_table import NoiseTable, assign_slots
from troth.ids import NodeId
from troth.protocols.biscotti.hiding.masking import GrantedNoise, MaskUpdate
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.initializing import noise_requests, noise_table
from troth.protocols.biscotti.messages import Masked, NoiseUse
from troth.protocols.biscotti.setting import Setting
from troth.protocols.biscotti.texts import MASKED_UPDATE, masked_text, seeds_digest
from troth.roles.effects import Effect, Perform, Send

Wish = Callable[[Malice, NodeId, int], int | None]
"""Which slot of a noiser to name in place of the one that it gave; None: that one."""


def naming(wish: Wish) -> Attack:
    """Names other slots than it was given, with a signature that is none.

    It is told by the noisers' keys what is in them: otherwise it could not share its update.
    """

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if isinstance(effect, Perform) and isinstance(effect.request, MaskUpdate):
            malice.named.clear()
            grants = tuple(_wished(malice, grant, wish) for grant in effect.request.grants)
            return [Perform(replace(effect.request, grants=grants))]
        if isinstance(effect, Send) and isinstance(effect.message, Masked):
            uses = tuple(_shown(malice, given) for given in effect.message.noise)
            changed = altered(effect.message, noise=uses)
            text = masked_text(malice.context, changed)
            return [Send(effect.to, altered(changed, signature=malice.sign(MASKED_UPDATE, text)))]
        return None

    return acting(instead)


def _wished(malice: Malice, grant: GrantedNoise, wish: Wish) -> GrantedNoise:
    """The noise of the slot that the attacker would rather have had."""
    slot = wish(malice, grant.owner, grant.slot)
    if slot is None:
        return grant
    keys = malice.attacker.all_keys[grant.owner]
    if grant.owner not in malice.tables:
        malice.tables[grant.owner] = table_of(malice.attacker.plan.rules.setting, grant.owner, keys)
    table = malice.tables[grant.owner]
    malice.named[grant.owner] = replace(
        grant,
        slot=slot,
        seeds=keys.noise.seeds(grant.round, slot),
        rows=b"".join(table.rows(grant.round, slot)),
        path=table.path(grant.round, slot),
    )
    return malice.named[grant.owner]


def _shown(malice: Malice, given: NoiseUse) -> NoiseUse:
    """The use of that noise as verifiers are shown it."""
    found = malice.named.get(given.noiser)
    if found is None:
        return given
    return altered(
        given,
        slot=found.slot,
        rows=found.rows,
        path=found.path,
        seeds=seeds_digest(found.seeds),
        signature=bytes(64),
    )


def table_of(setting: Setting, noiser: NodeId, keys: PeerKeys) -> NoiseTable:
    """The table that an honest noiser with these keys has committed to."""
    made = [request.run(None) for request in noise_requests(setting, keys)]
    table = noise_table(noiser, setting, made)
    assert table is not None
    return table


def outputs_of(
    context: RoundContext, keys: Mapping[NodeId, PeerKeys], noiser: NodeId
) -> dict[NodeId, bytes]:
    """The VRF outputs of those of a round's contributors that have drawn a noiser."""
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
    """The slot that an honest noiser gives to each contributor, if all ask in time."""
    return assign_slots(
        outputs_of(context, keys, noiser),
        noiser=noiser,
        shape=setting.table,
        reserved=context.reserved_slots(noiser),
    )


def somebody_elses(malice: Malice, noiser: NodeId, _: int) -> int | None:
    """A slot that an honest contributor was given; None where there is none."""
    attacker = malice.attacker
    taken = assigned(malice.context, attacker.plan.rules.setting, attacker.all_keys, noiser)
    others = [slot for peer, slot in sorted(taken.items()) if peer not in attacker.friends]
    return others[0] if others else None


stolen_slot = naming(somebody_elses)
"""Names, of each of its noisers, a slot that was given to an honest contributor."""
