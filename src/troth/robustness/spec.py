"""The `aggregation` table of a protocol: which rule, and what goes before it."""

from __future__ import annotations

from typing import Literal

import msgspec

from troth.specification import Count, Fraction, Index, Reference, ShortForm, Table


class Mean(Table, tag_field="rule", tag="mean", frozen=True, kw_only=True):
    """Mean of all updates; tolerates no Byzantine party."""

    weighted: bool = True
    """Whether a party counts by its examples; false: every party counts the same."""


class Robust(Table, frozen=True, kw_only=True):
    """What the robust rules share. They weigh every party the same: a claimed number of examples
    is a lever for an attacker."""

    byzantine: Index | None = None
    """f, the parties the rule must withstand; absent: the largest f the rule allows for n."""
    pre: Literal["none", "nnm", "bucketing"] = "none"
    """Step before the rule: nearest-neighbour mixing, or bucketing with `bucket_size`."""
    bucket_size: Count = 2
    """How many updates are averaged in one bucket."""


class Median(Robust, tag_field="rule", tag="median", frozen=True, kw_only=True):
    """The median of the updates, coordinate by coordinate."""


class TrimmedMean(Robust, tag_field="rule", tag="trimmed_mean", frozen=True, kw_only=True):
    """Coordinate-wise mean without the f largest and f smallest."""


class Krum(Robust, tag_field="rule", tag="krum", frozen=True, kw_only=True):
    """The one update nearest to its n - f - 2 neighbours."""


class MultiKrum(Robust, tag_field="rule", tag="multi_krum", frozen=True, kw_only=True):
    """Mean of the m updates with the best Krum scores."""

    selected: Count | None = None
    """m, how many updates are averaged; absent: n - f."""


class Bulyan(Robust, tag_field="rule", tag="bulyan", frozen=True, kw_only=True):
    """Krum selection, then a trimmed mean around the median; needs n >= 4f + 3."""


class GeometricMedian(Robust, tag_field="rule", tag="geometric_median", frozen=True, kw_only=True):
    """The point nearest to all updates, by smoothed Weiszfeld steps."""

    iterations: Count = 100
    """The most steps that are taken."""
    tolerance: Fraction = 1e-6
    """Ends when a step is shorter than this times the median distance of the updates from where it
    began."""


class CallableRule(Table, tag_field="rule", tag="callable", frozen=True, kw_only=True):
    """Your own: `callable(updates_PD, weights_P, byzantine, generator, **arguments)` returning
    `troth.robustness.Aggregate`."""

    callable: Reference
    """Its module is looked up beside the scenario file, then on the Python path."""
    byzantine: Index | None = None
    """f, passed on to it; absent: the largest f with a majority of honest parties."""
    arguments: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    """Arguments that the callable is given by name."""


AggregationSpec = (
    Mean | Median | TrimmedMean | Krum | MultiKrum | Bulyan | GeometricMedian | CallableRule
)

AGGREGATION_SHORT_FORM = ShortForm(
    "rule", 'aggregation = "multi_krum"', callable_form=("rule", "callable")
)
"""How a rule is given by its name alone, or as a callable of one's own."""
