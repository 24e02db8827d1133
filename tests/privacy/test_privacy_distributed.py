"""Noise in parts: what a sum of parts is, what it costs, and how much two releases share."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import brentq

from troth.errors import LocalError
from troth.privacy.accounting import spent
from troth.privacy.distributed import (
    MIN_PART_SIGMA,
    least_sigma,
    part_sigma,
    shared_variance,
    sum_event,
)
from troth.privacy.events import ConcentratedEvent, NonPrivateEvent
from troth.wire import Float64s


def discrete_gaussian(variance: float, largest: int) -> Float64s:
    """Probabilities of -largest .. largest, by the definition."""
    x = np.arange(-largest, largest + 1)
    weights = np.exp(-(x**2) / (2.0 * variance))
    return weights / weights.sum()


def farthest(first: Float64s, second: Float64s) -> float:
    """The largest logarithm of a ratio of two probabilities, where they are above rounding."""
    seen = second > 1e-9
    return float(np.abs(np.log(first[seen] / second[seen])).max())


@pytest.mark.parametrize("sigma", [0.5, 0.6, 0.8])
def test_a_sum_of_two_parts_is_as_near_a_discrete_gaussian_as_is_said(sigma: float) -> None:
    """For parts so small that the distance can be seen: it is there, and within its bound."""
    part = discrete_gaussian(sigma**2, 12)
    far = farthest(np.convolve(part, part), discrete_gaussian(2 * sigma**2, 24))
    d = 2.01 * math.exp(-(math.pi**2) * sigma**2)
    assert 0.1 * d < far <= 2 * -math.log1p(-d)


def test_sums_of_the_smallest_parts_that_are_allowed_cannot_be_told_from_one() -> None:
    part = discrete_gaussian(MIN_PART_SIGMA**2, 12 * MIN_PART_SIGMA)
    three = np.convolve(np.convolve(part, part), part)
    one = discrete_gaussian(3 * MIN_PART_SIGMA**2, 36 * MIN_PART_SIGMA)
    assert farthest(three, one) < 1e-9


@pytest.mark.parametrize(("sigma", "parts"), [(100.0, 1), (100.0, 3), (100.5, 4), (12345.6, 35)])
def test_parts_come_to_the_whole_and_one_step_less_does_not(sigma: float, parts: int) -> None:
    part = part_sigma(sigma, parts)
    assert math.sqrt(parts) * part >= sigma > math.sqrt(parts) * (part - 1)


def test_what_a_sum_costs() -> None:
    assert sum_event(100.0, 5.0, "sums") == ConcentratedEvent(0.125)
    assert sum_event(0.0, 5.0, "sums") == NonPrivateEvent("sums")


@pytest.mark.parametrize(("epsilon", "times"), [(0.5, 1), (2.0, 100), (8.0, 1000)])
def test_the_least_sigma_agrees_with_concentrated_dp_by_hand(epsilon: float, times: int) -> None:
    """Without an accountant: rho-zCDP is (min over a of ..., delta)-DP (Canonne, Kamath & Steinke
    2020, corollary 13), with rho = times (S / sigma)^2 / 2."""
    delta, distance = 1e-5, 7.0

    def by_hand(log_sigma: float) -> float:
        rho = times * (distance / math.exp(log_sigma)) ** 2 / 2
        order = 1.0 + np.geomspace(1e-3, 1e4, 20_000)
        found = rho * order + np.log(1.0 / (order * delta)) / (order - 1.0) + np.log1p(-1.0 / order)
        return float(found.min()) - epsilon

    expected = math.exp(brentq(by_hand, 0.0, 20.0))
    assert least_sigma(distance, times, epsilon, delta) == pytest.approx(expected, rel=0.01)


def test_the_least_sigma_keeps_the_budget_and_a_percent_less_does_not() -> None:
    sigma = least_sigma(3.0, 50, 2.0, 1e-5)
    for factor, keeps in ((1.0, True), (0.99, False)):
        event = sum_event((factor * sigma) ** 2, 3.0, "")
        assert (spent({event: 50}, 1e-5, "replace_one").epsilon <= 2.0) is keeps


def test_more_releases_smaller_budgets_and_larger_values_ask_for_more() -> None:
    sigma = least_sigma(1.0, 10, 2.0, 1e-5)
    assert sigma < least_sigma(1.0, 11, 2.0, 1e-5)
    assert sigma < least_sigma(1.0, 10, 1.9, 1e-5)
    assert sigma < least_sigma(1.0, 10, 2.0, 1e-6)
    assert least_sigma(4.0, 10, 2.0, 1e-5) == pytest.approx(4 * sigma)


def test_a_budget_that_no_noise_keeps_is_refused() -> None:
    with pytest.raises(LocalError, match="cannot be kept"):
        least_sigma(1.0, 10**6, 1e-6, 1e-5)


def from_covariance(part: float, mask: float, parts: int) -> float:
    """The variance of the best estimate of x from y = x + n + m, S = x + n + n_1 + ..., and the
    others' n_j + m_j, by inverting their covariance matrix."""
    size = parts + 1
    covariance: npt.NDArray[np.float64] = np.zeros((size, size))
    covariance[0, 0], covariance[1, 1] = part + mask, parts * part
    covariance[0, 1] = covariance[1, 0] = part
    for other in range(2, size):
        covariance[other, other] = part + mask
        covariance[1, other] = covariance[other, 1] = part
    told = np.zeros(size)
    told[:2] = 1.0
    return float(1.0 / (told @ np.linalg.solve(covariance, told)))


@pytest.mark.parametrize(
    ("part", "mask", "parts"),
    [(1.0, 1.0, 1), (1.0, 1.0, 2), (2.0, 3.0, 4), (5.0, 50.0, 7), (4.0, 0.01, 30), (1e6, 1e9, 35)],
)
def test_what_two_releases_leave_hidden(part: float, mask: float, parts: int) -> None:
    assert shared_variance(part, mask, parts) == pytest.approx(from_covariance(part, mask, parts))


def test_masks_decide_how_much_of_the_sums_noise_is_left() -> None:
    assert shared_variance(3.0, 0.0, 5) == 3.0
    assert shared_variance(3.0, 1e12, 5) == pytest.approx(15.0)
    assert shared_variance(0.0, 7.0, 5) == 0.0
