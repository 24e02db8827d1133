"""Noise that comes in parts, from parties that do not trust each other.

Each part is a discrete Gaussian vector on the integers, and what leaves is a value plus some of the
parts (Dwork et al., "Our Data, Ourselves", 2006; Kairouz, Liu & Steinke, "The Distributed Discrete
Gaussian Mechanism for Federated Learning with Secure Aggregation", ICML 2021). A sum of discrete
Gaussians is none, but nearly: for n parts the probability of x is proportional to

    exp(-x^2 / (2 (s_1^2 + .. + s_n^2))) (1 + d),    |d| < 2.01 n exp(-2 pi^2 w^2)

with w^2 = s_i^2 s_j^2 / (s_i^2 + s_j^2) of the two smallest: adding a part leaves a sum over the
integers of exp(-(y - c)^2 / (2 w^2)), which by Poisson's summation formula depends on c by no more.
For standard deviations of at least `MIN_PART_SIGMA` = 8, w^2 is 32 or more and d below n 1e-273, so
over any number of coordinates and releases that a computer can make no digit of an epsilon changes.
Sums are therefore counted as one discrete Gaussian: with sensitivity S a release is rho-zCDP,
rho = (S / sigma)^2 / 2 (Canonne, Kamath & Steinke, NeurIPS 2020, section 2).

Releases that share parts are counted the same way, as one discrete Gaussian with the covariance
that they have (`shared_variance`). The sum is then over all ways in which parts give the same
releases, a lattice whose dual has no vector shorter than 1/sqrt(2), so that with w^2 of at least 32
d is below 1e-130; and rho follows from the covariance as it does from sigma, because a sum over a
shifted lattice is never above the one over the lattice itself.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt

from troth.privacy.accounting import smallest_noise_multiplier
from troth.privacy.events import ConcentratedEvent, Event, NonPrivateEvent

MIN_PART_SIGMA = 8
"""Smallest standard deviation of a part, in steps of the grid."""


def part_sigma(sigma: float, parts: int) -> int:
    """The least whole standard deviation of a part, of which `parts` come to `sigma` or more."""
    return ceil(sigma / sqrt(parts))


def sum_event(variance: float, sensitivity: float, what: str) -> Event:
    """What one release costs.

    Args:
      variance: of the noise on a coordinate, all its parts together; 0: there is none.
      sensitivity: L2 distance of neighbours' values, on the same grid.
      what: is released; for the record, where there is no noise.
    """
    if variance == 0:
        return NonPrivateEvent(what)
    return ConcentratedEvent(0.5 * sensitivity**2 / variance)


@lru_cache(maxsize=256)
def least_sigma(sensitivity: float, times: int, epsilon: float, delta: float) -> float:
    """The smallest standard deviation, within 0.1 % and never below it, with which `times` releases
    are (epsilon, delta)-DP together.

    Raises:
      LocalError: no noise is enough.
    """

    def event(z: float) -> Event:
        return sum_event(z * z, 1.0, "")

    return sensitivity * smallest_noise_multiplier(event, times, epsilon, delta, "replace_one")


def shared_variance(part: float, mask: float, parts: int) -> float:
    """The noise that is left on a party's value for somebody who sees two releases of it.

    With x_j the values, n_j parts of variance `part`, m_j masks of variance `mask`, and party i:

        y_j = x_j + n_j + m_j  for every party j,    S = sum_j x_j + sum_j n_j

    Somebody who knows all other values has, of x_i, S and y_i, and of the other parts n_j + m_j.
    The best unbiased estimate from them has the variance

        a (1 + (u - 1) k / (u + k)),    a = part, k = mask / part, u = `parts`

    per coordinate, so both releases together cost what one with that much noise does. With large
    masks it is u a, which is all that S has; without masks it is a, because y_j gives away n_j.

    Args:
      part, mask: variances of a coordinate.
      parts: in the sum that nobody who looks knows, the party's own among them; at least 1.
    """
    if part == 0:
        return 0.0
    ratio = mask / part
    return part * (1.0 + (parts - 1) * ratio / (parts + ratio))
