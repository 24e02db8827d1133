"""The `[[attacks]]` tables: who attacks, and how."""

from __future__ import annotations

from typing import Annotated

import msgspec

from troth.errors import CharterError
from troth.specification import Index, Positive, Probability, Reference, Table


class Attack(Table, kw_only=True):
    """What every attack says: its attackers, by share or by name."""

    fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Share of all parties, rounded down but at least one, drawn by the run's seed."""
    parties: list[str] | None = None

    def check(self) -> None:
        if (self.fraction is None) == (self.parties is None):
            raise CharterError(
                "must be given, or parties, but not both",
                key="fraction",
                value=self.fraction,
                hint="write fraction = 0.3, or parties = [\"party-00\"]",
            )


class LabelFlip(Attack, tag_field="kind", tag="label_flip", kw_only=True):
    """Relabels own data: `source` -> `target`, or every label c -> C - 1 - c when both are absent."""

    source: Index | None = None
    target: Index | None = None


class RandomData(Attack, tag_field="kind", tag="random_data", kw_only=True):
    """Replaces a share `portion` of own rows' features by uniform noise (SecProbe's fraction P)."""

    portion: Probability = 1.0


class RandomWeights(Attack, tag_field="kind", tag="random_weights", kw_only=True):
    """Sends N(0, scale^2) instead of an update."""

    scale: Positive = 1.0


class SignFlip(Attack, tag_field="kind", tag="sign_flip", kw_only=True):
    """Sends -scale times its honest update."""

    scale: Positive = 1.0


class Scaled(Attack, tag_field="kind", tag="scaled", kw_only=True):
    """Sends `scale` times its honest update (model replacement)."""

    scale: Positive = 10.0


class ALIE(Attack, tag_field="kind", tag="alie", kw_only=True):
    """A little is enough (Baruch et al. 2019): colluding attackers send mean - z * std of their own updates."""

    z: Positive | None = None
    """Absent: the largest z that hides among the honest, by n and the attackers' number."""


class InnerProduct(Attack, tag_field="kind", tag="inner_product", kw_only=True):
    """Inner-product manipulation (Xie et al. 2020): colluding attackers send -epsilon times the mean of
    their own updates."""

    epsilon: Positive = 0.1


class CallableAttack(Attack, tag_field="kind", tag="callable", kw_only=True):
    """Your own: `callable(update_D, peers_PD, context, generator, **arguments)` returning an update (D,)."""

    callable: Reference
    arguments: dict[str, bool | int | float | str] = {}


AttackSpec = (
    LabelFlip
    | RandomData
    | RandomWeights
    | SignFlip
    | Scaled
    | ALIE
    | InnerProduct
    | CallableAttack
)
