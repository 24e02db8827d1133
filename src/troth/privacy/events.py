"""What a mechanism did to private data, as plain data that a ledger keeps and an accountant counts.

An event stands for one release. It is emitted by the mechanism that made the release, never written
by hand. `dp_event` translates it to dp_accounting's class of the same meaning.

| event              | noise multiplier z                                                         |
|--------------------|----------------------------------------------------------------------------|
| `GaussianEvent`    | standard deviation / L2 distance of neighbours' values                     |
| `LaplaceEvent`     | scale / L1 distance of neighbours' values                                  |
| `ConcentratedEvent`| none: rho-zCDP between neighbours (discrete Gaussian: rho = 1 / (2 z^2))    |
| `SampledEvent`     | standard deviation / C, with C the L2 bound on one record's share in a sum |
| `NonPrivateEvent`  | none: nothing bounds it                                                    |

Only `SampledEvent` depends on adjacency: exchanging a record moves a sum by 2 C, and sampling
helps against that in a way of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from troth.errors import LocalError

if TYPE_CHECKING:
    from dp_accounting.dp_event import DpEvent


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise LocalError(
            f"{name}={value} is not a finite number above 0",
            hint="a release without noise is a NonPrivateEvent",
        )


class GaussianEvent(msgspec.Struct, frozen=True, tag="gaussian"):
    """Gaussian noise on a value; two neighbours' values are at most 1/z standard deviations
    apart."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)


class LaplaceEvent(msgspec.Struct, frozen=True, tag="laplace"):
    """Laplace noise of scale z times the L1 distance between neighbours' values."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)


class ConcentratedEvent(msgspec.Struct, frozen=True, tag="concentrated"):
    """A release that is rho-zCDP (Bun & Steinke 2016)."""

    rho: float

    def __post_init__(self) -> None:
        _check_positive("rho", self.rho)


class SampledEvent(msgspec.Struct, frozen=True, tag="sampled"):
    """Gaussian noise on a sum over a Poisson sample: every record is in it with probability q."""

    sampling_probability: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        _check_positive("noise_multiplier", self.noise_multiplier)
        if not 0 < self.sampling_probability <= 1:
            raise LocalError(f"sampling_probability={self.sampling_probability} is outside (0, 1]")


class NonPrivateEvent(msgspec.Struct, frozen=True, tag="non_private"):
    """A release without noise; `what` says of what."""

    what: str


Event = GaussianEvent | LaplaceEvent | ConcentratedEvent | SampledEvent | NonPrivateEvent


def dp_event(event: Event) -> DpEvent:
    """`event` as dp_accounting counts it between neighbours that differ by one record more or less.

    For `SampledEvent` the same object also serves dp_accounting's `REPLACE_ONE`, where the
    accountant itself doubles the distance.
    """
    from dp_accounting import dp_event as known  # slow: loads scipy.stats

    match event:
        case GaussianEvent(z):
            return known.GaussianDpEvent(z)
        case LaplaceEvent(z):
            return known.LaplaceDpEvent(z)
        case ConcentratedEvent(rho):
            return known.ZCDpEvent(rho)
        case SampledEvent(q, z):
            return known.PoissonSampledDpEvent(q, known.GaussianDpEvent(z))
        case NonPrivateEvent():
            return known.NonPrivateDpEvent()
