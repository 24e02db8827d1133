"""A party's own privacy: which noise it adds to what it sends, and how much it may spend."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import Table

Unit = Literal["record", "party"]
"""Whose presence is hidden: one row of a party's data, or all of them."""

Adjacency = Literal["add_remove", "replace_one"]
"""Which data sets are neighbours: one unit more or less, or one unit exchanged for another."""

MIN_CLIP, MAX_CLIP = 1e-12, 1e12
"""Within these bounds float32 has room below and above what is clipped."""

MAX_EPSILON = 100.0
"""Far above any budget that protects somebody; a larger one is a slip of the pen."""

Clip = Annotated[float, msgspec.Meta(ge=MIN_CLIP, le=MAX_CLIP)]
Epsilon = Annotated[float, msgspec.Meta(gt=0, le=MAX_EPSILON)]
Delta = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class NoPrivacy(Table, tag_field="mechanism", tag="none", frozen=True, kw_only=True):
    """Updates leave as they are: no (epsilon, delta) holds, and every report says so."""


class Budgeted(Table, frozen=True, kw_only=True):
    """What the mechanisms share: a budget for the whole training, and the clipping bound C."""

    epsilon: Epsilon
    """epsilon that every party is willing to spend over all rounds and recipients."""
    delta: Delta
    """delta of every party; below 1 / (rows of a party)."""
    clip: Clip
    adjacency: Adjacency = "add_remove"
    own_epsilon: dict[str, Epsilon] = msgspec.field(default_factory=dict)
    """Parties with a budget of their own: `{ "party-3" = 0.5 }`."""

    def epsilon_of(self, party: str) -> float:
        """The epsilon that `party` is willing to spend over the whole training."""
        return self.own_epsilon.get(party, self.epsilon)


class UpdateNoise(Budgeted, frozen=True, kw_only=True):
    """Noise on a whole update, clipped to norm C."""

    unit: Unit = "record"
    """`party` compares with a party that sends nothing but noise, and needs half as much of it
    under `add_remove`. One record can move a whole update anywhere inside the bound."""


class GaussianNoise(UpdateNoise, tag_field="mechanism", tag="gaussian", frozen=True, kw_only=True):
    """Gaussian noise in floating point; C bounds the L2 norm."""


class DiscreteGaussianNoise(
    UpdateNoise, tag_field="mechanism", tag="discrete_gaussian", frozen=True, kw_only=True
):
    """Gaussian noise on a grid, drawn exactly; C bounds the L2 norm."""


class LaplaceNoise(UpdateNoise, tag_field="mechanism", tag="laplace", frozen=True, kw_only=True):
    """Laplace noise in floating point; C bounds the L1 norm."""


class DPSGD(Budgeted, tag_field="mechanism", tag="dp_sgd", frozen=True, kw_only=True):
    """DP-SGD (Abadi et al. 2016): every step of training is private. The unit is a record; C bounds
    the L2 norm of every example's gradient.

    Batches are Poisson samples of `training.batch_size` rows on average, out of `examples`.
    """

    examples: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    """Rows that every party says it has. It is public, and so are the lots that follow from it;
    absent: the partition says how many."""


PrivacySpec = NoPrivacy | GaussianNoise | DiscreteGaussianNoise | LaplaceNoise | DPSGD


def check_delta(spec: Budgeted, examples: int) -> None:
    """Refuse a delta under which whole records may leak.

    Publishing every record with probability 1/n is (0, 1/n)-DP.

    Raises:
      CharterError: `delta` is 1/`examples` or more.
    """
    if spec.delta * examples >= 1:
        raise CharterError(
            f"is not below 1 / {examples}, one over the rows of a party",
            key="parties.privacy.delta",
            value=spec.delta,
            hint="publishing a random row would satisfy such a delta; take 1e-5 or less",
        )
