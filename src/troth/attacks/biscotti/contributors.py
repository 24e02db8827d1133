"""Contributors whose masked updates, proofs or shares are not those of one update (steps 3, 4 and 6
of the paper's figure 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256

import numpy as np

from troth.attacks.biscotti.malice import (
    Attack,
    Malice,
    Receivers,
    altered,
    masking_with,
    more_by_one,
    sending,
)
from troth.crypto.group import POINT_BYTES
from troth.crypto.merkle import MerkleTree
from troth.protocols.biscotti.hiding.dealing import update_of
from troth.protocols.biscotti.hiding.masking import MaskUpdate
from troth.protocols.biscotti.ledger.block import DEALING
from troth.protocols.biscotti.messages import Masked, Shares
from troth.protocols.biscotti.texts import MASKED_UPDATE, dealing_of, dealing_text, masked_text
from troth.roles.effects import Send

# ------------------------------------------------------------------ masked updates


def masking(change: Callable[[Malice, Masked], Masked]) -> Attack:
    """Signs and sends the masked update that `change` makes of the honest one."""

    @sending(Masked)
    def attack(malice: Malice, to: Receivers, honest: Masked) -> Iterable[Send]:
        changed = change(malice, honest)
        text = masked_text(malice.context, changed)
        yield Send(to, altered(changed, signature=malice.sign(MASKED_UPDATE, text)))

    return attack


@masking
def masked_otherwise(_: Malice, message: Masked) -> Masked:
    """Adds noise of its own: verifiers are to judge another update than the one committed to."""
    values_D = message.values.copy()
    values_D[0] += 1000
    return altered(message, values=values_D)


@masking
def forged_proof(malice: Malice, message: Masked) -> Masked:
    """Shows a VRF proof of another input, as if it had drawn other noisers."""
    return altered(message, proof=malice.attacker.keys.vrf.prove(b"another input"))


def bad_point(make: Callable[[bytes], bytes]) -> Attack:
    """Replaces the first point of its commitments by what `make` makes of it."""
    return masking(
        lambda _, message: altered(message, commitments=_first(message.commitments, make))
    )


def bad_noise_point(make: Callable[[bytes], bytes]) -> Attack:
    """Replaces the first point of the noise that it names by what `make` makes of it."""

    def changed(_: Malice, message: Masked) -> Masked:
        first, *others = message.noise
        return altered(message, noise=(altered(first, rows=_first(first.rows, make)), *others))

    return masking(changed)


def _first(data: bytes, make: Callable[[bytes], bytes]) -> bytes:
    return make(data[:POINT_BYTES]) + data[POINT_BYTES:]


@masking_with
def compensating(_: Malice, asked: MaskUpdate) -> MaskUpdate:
    """Takes its noise off its update before it commits to it, so that verifiers see the update
    bare."""
    if not asked.grants:
        return asked
    openings = [asked.setting.rows.opening(grant.seeds) for grant in asked.grants]
    noise_D = np.sum([opening.values_D for opening in openings], axis=0)
    update_D = asked.update_D - asked.setting.fixed.decode(noise_D).astype(np.float32)
    return replace(asked, update_D=update_D)


# ------------------------------------------------------------------ shares


def _dealing(
    change: Callable[[int, Shares], Shares], *, commitments: Callable[[bytes], bytes] = bytes
) -> Attack:
    """Deals other shares than those of its update, and signs for them.

    Args:
      change: given an aggregator's number and its honest share, gives the one that it is sent.
      commitments: makes those of the dealing from the honest ones.
    """

    @sending(Shares)
    def attack(malice: Malice, to: Receivers, honest: Shares) -> Iterable[Send]:
        number = malice.context.aggregators.index(to[0])
        malice.dealt[number] = change(number, honest)
        if len(malice.dealt) < len(malice.context.aggregators):
            return ()
        return _dealt_anew(malice, commitments)

    return attack


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
    return altered(message, share=more_by_one(message.share))


bad_share_to_one = _dealing(
    lambda number, message: _wrong(number, message) if number == 1 else message
)
"""Deals the second aggregator a share that is off by one."""
bad_shares_to_all = _dealing(_wrong)
"""Deals every aggregator a share that is off by one."""


def _swapped(data: bytes) -> bytes:
    """Commitments with the first two rows in each other's place."""
    return data[POINT_BYTES : 2 * POINT_BYTES] + data[:POINT_BYTES] + data[2 * POINT_BYTES :]


other_commitments = _dealing(lambda _, message: message, commitments=_swapped)
"""Deals its shares with commitments to the rows in another order than verifiers have seen."""
