"""All attacks that a scenario may name, and the protocol that each is for.

A protocol's own attackers are a package beside this module; its record stands in `OWN`, and nothing
else in Troth names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, TypeVar

from troth.attacks.biscotti import spec as biscotti
from troth.attacks.own import OwnAttacks
from troth.attacks.spec import GENERAL, Attack
from troth.attacks.tormentor import spec as tormentor
from troth.ids import PartyId
from troth.references import resolve

if TYPE_CHECKING:
    from troth.roles.node import Cast
    from troth.wire import Float32s

OWN = (tormentor.ATTACKS, biscotti.ATTACKS)
"""Of each protocol that has attackers of its own."""

if TYPE_CHECKING:
    AttackSpec = Attack
else:
    AttackSpec = reduce(or_, (*GENERAL, *(table for own in OWN for table in own.tables)))
    """What a table of `[[attacks]]` may be."""

B = TypeVar("B")


def own_attacks(attack: Attack) -> OwnAttacks | None:
    """The record that an attack belongs to; None for an attack on any protocol."""
    return next((own for own in OWN if isinstance(attack, own.tables)), None)


def tampered(brought: B, attackers: Mapping[PartyId, Attack], initial_D: Float32s) -> B:
    """What nodes bring to a simulated run, with what attackers bring in place of their own.

    Args:
      attackers: all attackers of the run.
      initial_D: the model before round 1, shape (D,).
    """
    for own in _at_work(attackers):
        if own.brings is not None:
            brought = resolve(own.brings, base=None)(brought, attackers, initial_D)
    return brought


def recast(cast: Cast, attackers: Mapping[PartyId, Attack]) -> Cast:
    """The cast of a run with the roles of those replaced that carry out a protocol's own attacks.

    Raises:
      CharterError: nobody is left whom the run could be led by.
    """
    for own in _at_work(attackers):
        cast = resolve(own.cast, base=None)(cast, attackers)
    return cast


def _at_work(attackers: Mapping[PartyId, Attack]) -> list[OwnAttacks]:
    return [own for own in OWN if any(isinstance(one, own.tables) for one in attackers.values())]
