"""The `[[attacks]]` tables: who attacks, and how."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import msgspec

from troth.errors import CharterError
from troth.specification import Index, Positive, Probability, Reference, Table


class Attack(Table, frozen=True, kw_only=True):
    """What every attack says: its attackers, by share or by name."""

    fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Share of all parties, rounded down but at least one, drawn by the run's seed."""
    parties: list[str] | None = None
    """The attackers by name, in place of `fraction`."""

    def check(self) -> None:
        if (self.fraction is None) == (self.parties is None):
            raise CharterError(
                "must be given, or parties, but not both",
                key="fraction",
                value=self.fraction,
                hint='write fraction = 0.3, or parties = ["party-00"]',
            )
        if self.parties is not None and not self.parties:
            raise CharterError(
                "names no party",
                key="parties",
                value=self.parties,
                hint="name at least one, or remove the whole [[attacks]] table",
            )
        twice = [name for name, count in Counter(self.parties or ()).items() if count > 1]
        if twice:
            raise CharterError(
                f"names {twice[0]} more than once", key="parties", value=self.parties
            )


class LabelFlip(Attack, tag_field="kind", tag="label_flip", frozen=True, kw_only=True):
    """Relabels own data: `source` -> `target`, or every label c -> C - 1 - c when both are
    absent."""

    source: Index | None = None
    """Class that is relabelled."""
    target: Index | None = None
    """Class that it is called; the attack rate says how often the model believes it."""
    flipped_only: bool = False
    """The attacker trains on its relabelled rows alone, so nothing in its update speaks against
    them (Biscotti, section 6.1: all attackers hold the same malicious data set)."""

    def check(self) -> None:
        super().check()
        if (self.source is None) != (self.target is None):
            missing, given = ("source", "target") if self.source is None else ("target", "source")
            raise CharterError(
                f"needs {missing} beside it",
                key=given,
                value=getattr(self, given),
                hint="give both, or neither to flip every label",
            )
        if self.flipped_only and self.source is None:
            raise CharterError(
                "has no effect when every label is flipped",
                key="flipped_only",
                value=True,
                hint="give source and target, or remove flipped_only",
            )
        if self.source is not None and self.source == self.target:
            raise CharterError(
                "is also the source, so nothing would be flipped", key="target", value=self.target
            )


class RandomData(Attack, tag_field="kind", tag="random_data", frozen=True, kw_only=True):
    """Replaces a share `portion` of own rows' features by uniform noise in [0, 1] (SecProbe's
    fraction P)."""

    portion: Probability = 1.0
    """Share of the attacker's rows."""


class RandomWeights(Attack, tag_field="kind", tag="random_weights", frozen=True, kw_only=True):
    """Sends N(0, scale^2) instead of an update."""

    scale: Positive = 1.0
    """Standard deviation of each coordinate."""


class SignFlip(Attack, tag_field="kind", tag="sign_flip", frozen=True, kw_only=True):
    """Sends -scale times its honest update."""

    scale: Positive = 1.0
    """The factor by which the honest update is multiplied, before its sign is changed."""


class Scaled(Attack, tag_field="kind", tag="scaled", frozen=True, kw_only=True):
    """Sends `scale` times its honest update (model replacement)."""

    scale: Positive = 10.0
    """The factor by which the honest update is multiplied."""


class ALIE(Attack, tag_field="kind", tag="alie", frozen=True, kw_only=True):
    """A little is enough (Baruch et al. 2019): colluding attackers send mean - z * std of their own
    updates."""

    z: Positive | None = None
    """Absent: the largest z that hides among the honest, by n and the attackers' number."""


class InnerProduct(Attack, tag_field="kind", tag="inner_product", frozen=True, kw_only=True):
    """Inner-product manipulation (Xie et al. 2020): colluding attackers send -epsilon times the
    mean of their own updates."""

    epsilon: Positive = 0.1
    """The factor by which the mean is multiplied, before its sign is changed."""


class CallableAttack(Attack, tag_field="kind", tag="callable", frozen=True, kw_only=True):
    """Your own: `callable(update_D, peers_PD, context, generator, **arguments)` returning an update
    (D,)."""

    callable: Reference
    """Looked up beside the scenario file, then on the Python path."""
    arguments: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    """Passed on to it by name."""


DataAttack = LabelFlip | RandomData
"""Poison the attacker's rows before the run; it then trains as an honest party would, unless its
own protocol's attack has it do otherwise."""

UpdateAttack = RandomWeights | SignFlip | Scaled | ALIE | InnerProduct | CallableAttack
"""Replace the update that the attacker sends."""

GENERAL = (
    LabelFlip, RandomData, RandomWeights, SignFlip, Scaled, ALIE, InnerProduct, CallableAttack,
)  # fmt: skip
"""Attacks that go with any protocol; `troth.attacks.registry` has those on a single one, too."""
