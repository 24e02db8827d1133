"""Mechanisms: noise of the stated size, the event that it is, and the calibration of Balle-Wang."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from troth.errors import LocalError, RoundFailedError
from troth.privacy.clipping import clip_update
from troth.privacy.events import ConcentratedEvent, GaussianEvent, LaplaceEvent
from troth.privacy.mechanisms import (
    DiscreteGaussian,
    Gaussian,
    Laplace,
    Mechanism,
    analytic_noise_multiplier,
)
from troth.privacy.noise import RandomBits, SimulatedSecret
from troth.streams import Stream

VECTORS = json.loads((Path(__file__).parent / "vectors" / "accounting.json").read_text())
DIMENSION = 40_000


def bits(seed: int = 0) -> RandomBits:
    return SimulatedSecret(Stream(seed, ("test-secret",))).bits()


@pytest.mark.parametrize("vector", VECTORS["gaussian"], ids=lambda v: f"epsilon {v['epsilon']}")
def test_analytic_calibration_gives_the_published_figures(vector: dict[str, float]) -> None:
    found = analytic_noise_multiplier(vector["epsilon"], vector["delta"])
    assert found == pytest.approx(vector["noise_multiplier"], abs=5e-4)


@given(epsilon=st.floats(0.01, 50), log_delta=st.floats(-12, -1))
def test_calibrated_noise_is_enough_and_no_more(epsilon: float, log_delta: float) -> None:
    """Against theorem 8 written out: delta = Phi(1/2z - eps z) - e^eps Phi(-1/2z - eps z)."""
    delta = 10**log_delta

    def true_delta(z: float) -> float:
        first = stats.norm.cdf(0.5 / z - epsilon * z)
        return float(first - math.exp(epsilon + stats.norm.logcdf(-0.5 / z - epsilon * z)))

    z = analytic_noise_multiplier(epsilon, delta)
    assert true_delta(z) <= delta * (1 + 1e-6)
    assert true_delta(0.999 * z) > delta


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0, 1e-5), (-1, 1e-5), (math.inf, 1e-5), (1, 0), (1, 1), (math.nan, 0.1)]
)
def test_a_budget_must_be_one(epsilon: float, delta: float) -> None:
    with pytest.raises(LocalError, match="is not a budget"):
        analytic_noise_multiplier(epsilon, delta)


@pytest.mark.parametrize(
    ("mechanism", "distribution"),
    [
        (Gaussian(clip=0.5, noise_multiplier=3.0), stats.norm(scale=3.0)),
        (Gaussian(0.5, 3.0, "party", "add_remove"), stats.norm(scale=1.5)),
        (Gaussian(0.5, 3.0, "party", "replace_one"), stats.norm(scale=3.0)),
        (DiscreteGaussian(0.5, 3.0), stats.norm(scale=3.0)),
        (DiscreteGaussian(0.5, 3.0, "party", "add_remove"), stats.norm(scale=1.5)),
        (Laplace(0.5, 3.0), stats.laplace(scale=3.0)),
        (Laplace(0.5, 3.0, "party", "add_remove"), stats.laplace(scale=1.5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_noise_is_what_the_event_says(
    mechanism: Mechanism, distribution: stats.rv_continuous
) -> None:
    """The scale is z times the sensitivity: 2 C, or C for an absent party."""
    released_D = mechanism.release(np.zeros(DIMENSION, np.float32), bits())
    assert released_D.dtype == np.float32
    assert stats.kstest(released_D, distribution.cdf).pvalue > 1e-4
    # The noise must be centred on the clipped update.
    moved_D = mechanism.release(np.full(DIMENSION, 1e6, np.float32), bits())
    norm = 1 if isinstance(mechanism, Laplace) else 2
    np.testing.assert_allclose(
        moved_D - released_D, 0.5 / DIMENSION ** (1 / norm), rtol=1e-2, atol=2e-6
    )


def test_every_mechanism_emits_its_event() -> None:
    assert Gaussian(1.0, 2.5).event == GaussianEvent(2.5)
    assert Laplace(1.0, 2.5).event == LaplaceEvent(2.5)
    assert DiscreteGaussian(1.0, 2.5).event == ConcentratedEvent(1 / (2 * 2.5**2))


@given(clip=st.floats(1e-3, 1e3), z=st.floats(0.01, 100), seed=st.integers(0, 2**32))
def test_what_the_discrete_gaussian_releases_is_on_its_grid(
    clip: float, z: float, seed: int
) -> None:
    """Only whole steps leave, so that no digit below them can tell anything."""
    mechanism = DiscreteGaussian(clip, z)
    update_D = Stream(seed, ("update",)).generator().standard_normal(9).astype(np.float32)
    released_D = mechanism.release(update_D, bits(seed)).astype(np.float64)
    step = mechanism.step
    whole_D = np.rint(released_D / step)
    np.testing.assert_array_equal(
        released_D.astype(np.float32), (whole_D * step).astype(np.float32)
    )


@given(
    clip=st.floats(1e-6, 1e6),
    z=st.floats(1e-3, 1e6),
    seed=st.integers(0, 2**32),
    size=st.integers(1, 30),
)
@example(clip=0.21875, z=0.2, seed=0, size=5)
def test_cutting_to_the_grid_lengthens_nothing(clip: float, z: float, seed: int, size: int) -> None:
    """In whole numbers and fractions, so that the stated sensitivity holds to the last digit."""
    mechanism = DiscreteGaussian(clip, z)
    generator = Stream(seed, ("update",)).generator()
    update_D = (1e7 * generator.standard_normal(size)).astype(np.float32)
    whole_D = mechanism.on_grid(update_D)
    assert (
        sum(k * k for k in whole_D.tolist()) * Fraction(mechanism.step) ** 2 <= Fraction(clip) ** 2
    )
    # What it is compared with is rounded to float32, which may be as coarse as the grid.
    rounding = clip * float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(
        whole_D * mechanism.step,
        clip_update(update_D, clip),
        rtol=0,
        atol=mechanism.step + rounding,
    )


def test_noise_of_one_source_repeats_and_of_two_does_not() -> None:
    update_D = np.ones(5, np.float32)
    for kind in (Gaussian, DiscreteGaussian, Laplace):
        mechanism = kind(1.0, 1.0)
        np.testing.assert_array_equal(
            mechanism.release(update_D, bits(1)), mechanism.release(update_D, bits(1))
        )
        assert (mechanism.release(update_D, bits(1)) != mechanism.release(update_D, bits(2))).all()


@pytest.mark.parametrize("kind", [Gaussian, DiscreteGaussian, Laplace])
def test_bad_parameters_and_updates_are_refused(kind: type[Mechanism]) -> None:
    for z in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(LocalError, match="noise_multiplier"):
            kind(1.0, z)
    with pytest.raises(LocalError, match="clip=0"):
        kind(0.0, 1.0)
    with pytest.raises(RoundFailedError, match="not finite"):
        kind(1.0, 1.0).release(np.array([np.nan], np.float32), bits())
