"""The `[[attacks]]` tables of attacks on `tormentor`."""

from __future__ import annotations

from troth.attacks.own import OwnAttacks
from troth.attacks.spec import LabelFlip
from troth.protocols.tormentor.parameters import Tormentor


class Rejoin(LabelFlip, tag_field="kind", tag="rejoin", frozen=True, kw_only=True):
    """Flips labels, and is a sybil: whenever an update of its is rejected, it leaves and joins anew
    as somebody else, whom nobody has anything against. Only `tormentor` has providers to be."""


ATTACKS = OwnAttacks(
    parameters=Tormentor,
    tables=(Rejoin,),
    idle="nobody joins under a name of their own choice",
    instead='set kind = "label_flip"',
    cast="troth.attacks.tormentor.sybils:recast",
)
