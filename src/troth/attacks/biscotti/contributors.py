"""Contributors whose masked updates, proofs or shares are not those of one update (steps 3, 4 and 6
of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np

from troth.attacks.biscotti.malice import Attack, Malice, acting, altered, more_by_one, sending
from troth.crypto.group import POINT_BYTES
from troth.crypto.merkle import MerkleTree
from troth.protocols.biscotti.hiding.dealing import update_of
from troth.protocols.biscotti.hiding.masking import MaskUpdate
from troth.protocols.biscotti.ledger.block import DEALING
from troth.protocols.biscotti.messages import Masked, Shares
from troth.protocols.biscotti.texts import MASKED_UPDATE, dealing_of, dealing_text, masked_text
from troth.roles.effects import Effect, Perform, Send

# ------------------------------------------------------------------ masked updates


def masking(change: Callable[[Malice, Masked], Masked]) -> Attack:
    """Signs and sends the masked update that `change` makes of the honest one."""

    def instead(malice: Malice, effect: Send) -> Iterable[Send]:
        assert isinstance(effect.message, Masked)
        changed = change(malice, effect.message)
        text = masked_text(malice.context, changed)
        yield Send(effect.to, altered(changed, signature=malice.sign(MASKED_UPDATE, text)))

    return sending(Masked, instead)


def _hidden(_: Malice, message: Masked) -> Masked:
    values_D = message.values.copy()
    values_D[0] += 1000
    hidden: Masked = altered(message, values=values_D)
    return hidden


masked_otherwise = masking(_hidden)
"""Adds noise of its own: verifiers are to judge another update than the one committed to."""


def _other_proof(malice: Malice, message: Masked) -> Masked:
    proof = malice.attacker.keys.vrf.prove(b"another input")
    forged: Masked = altered(message, proof=proof)
    return forged


forged_proof = masking(_other_proof)
"""Shows a VRF proof of another input, as if it had drawn other noisers."""


def bad_point(make: Callable[[bytes], bytes]) -> Attack:
    """Replaces the first point of its commitments by what `make` makes of it."""

    def changed(_: Malice, message: Masked) -> Masked:
        bad: Masked = altered(message, commitments=_first(message.commitments, make))
        return bad

    return masking(changed)


def bad_noise_point(make: Callable[[bytes], bytes]) -> Attack:
    """Replaces the first point of the noise that it names by what `make` makes of it."""

    def changed(_: Malice, message: Masked) -> Masked:
        first, *others = message.noise
        bad: Masked = altered(
            message, noise=(altered(first, rows=_first(first.rows, make)), *others)
        )
        return bad

    return masking(changed)


def _first(data: bytes, make: Callable[[bytes], bytes]) -> bytes:
    return make(data[:POINT_BYTES]) + data[POINT_BYTES:]


def _compensating(_: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
    if not (isinstance(effect, Perform) and isinstance(effect.request, MaskUpdate)):
        return None
    asked = effect.request
    if not asked.grants:
        return None
    openings = [asked.setting.rows.opening(grant.seeds) for grant in asked.grants]
    noise_D = np.sum([opening.values_D for opening in openings], axis=0)
    update_D = asked.update_D - asked.setting.fixed.decode(noise_D).astype(np.float32)
    return [Perform(replace(asked, update_D=update_D))]


compensating = acting(_compensating)
"""Takes its noise off its update before it commits to it, so that verifiers see the update bare."""


# ------------------------------------------------------------------ shares


def _dealing(
    change: Callable[[int, Shares], Shares], *, commitments: Callable[[bytes], bytes] = bytes
) -> Attack:
    """Deals other shares than those of its update, and signs for them.

    Args:
      change: given an aggregator's number and its honest share, gives the one that it is sent.
      commitments: makes those of the dealing from the honest ones.
    """

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        if not (isinstance(effect, Send) and isinstance(effect.message, Shares)):
            return None
        number = malice.context.aggregators.index(effect.to[0])
        malice.dealt[number] = change(number, effect.message)
        if len(malice.dealt) < len(malice.context.aggregators):
            return ()
        return _dealt_anew(malice, commitments)

    return acting(instead)


def _dealt_anew(malice: Malice, commitments: Callable[[bytes], bytes]) -> list[Send]:
    context, dealt = malice.context, malice.dealt
    tree = MerkleTree([sha256(dealt[at].share).digest() for at in sorted(dealt)])
    sends = []
    for number, message in sorted(dealt.items()):
        changed = altered(
            message,
            root=tree.root,
            path=tree.path(number),
            commitments=commitments(message.commitments),
        )
        update = update_of(malice.attacker.plan.rules.setting, changed)
        dealing = dealing_of(context, changed.commitments, tree.root)
        signature = malice.sign(DEALING, dealing_text(context, update, dealing))
        sends.append(Send((context.aggregators[number],), altered(changed, signature=signature)))
    return sends


def _wrong(_: int, message: Shares) -> Shares:
    wrong: Shares = altered(message, share=more_by_one(message.share))
    return wrong


def _wrong_to_second(number: int, message: Shares) -> Shares:
    return _wrong(number, message) if number == 1 else message


bad_share_to_one = _dealing(_wrong_to_second)
"""Deals the second aggregator a share that is off by one."""
bad_shares_to_all = _dealing(_wrong)
"""Deals every aggregator a share that is off by one."""


def _swapped(data: bytes) -> bytes:
    """Commitments with the first two rows in each other's place."""
    return data[POINT_BYTES : 2 * POINT_BYTES] + data[:POINT_BYTES] + data[2 * POINT_BYTES :]


other_commitments = _dealing(lambda _, message: message, commitments=_swapped)
"""Deals its shares with commitments to the rows in another order than verifiers have seen."""
