"""Noise on a whole update: clip, add noise, say which event that was.

A mechanism is plain data. `release` may be called once per event that the ledger was charged with;
calling it again on the same data is a second release and costs as much again.

The noise multiplier z is the noise over the sensitivity: standard deviation over L2 for Gaussian
noise, scale over L1 for Laplace. `troth.privacy.planning` finds the smallest one for a budget.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from troth.errors import LocalError
from troth.privacy.clipping import check_clip, clip_update, update_sensitivity
from troth.privacy.discrete import MAX_SIGMA, discrete_gaussians
from troth.privacy.events import ConcentratedEvent, Event, GaussianEvent, LaplaceEvent
from troth.privacy.noise import RandomBits, laplaces, normals
from troth.privacy.spec import Adjacency, Unit
from troth.wire import Float32s, Int64s


@dataclass(frozen=True)
class Mechanism(ABC):
    """A way to release updates.

    Args:
      clip: C, the bound on the norm of an update.
      noise_multiplier: z, above 0.
    """

    clip: float
    noise_multiplier: float
    unit: Unit = "record"
    adjacency: Adjacency = "add_remove"

    def __post_init__(self) -> None:
        check_clip(self.clip)
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0):
            raise LocalError(
                f"noise_multiplier={self.noise_multiplier} is not a finite number above 0"
            )

    @property
    def scale(self) -> float:
        """Standard deviation (Gaussian) or scale (Laplace) of the noise on every coordinate."""
        sensitivity = update_sensitivity(self.clip, self.unit, self.adjacency)
        return self.noise_multiplier * sensitivity

    @property
    @abstractmethod
    def event(self) -> Event:
        """The privacy event that one release is charged as."""

    @abstractmethod
    def release(self, update_D: Float32s, bits: RandomBits) -> Float32s:
        """The update (D,), clipped and with noise.

        Raises:
          RoundFailedError: the update is not finite.
        """


@dataclass(frozen=True)
class Gaussian(Mechanism):
    """N(0, (z * sensitivity)^2) on every coordinate of an update of L2 norm C at most.

    (epsilon, delta)-DP for the z of `analytic_noise_multiplier`, if reals were real: the noise is
    floating-point, see `troth.privacy.noise`.
    """

    @property
    def event(self) -> GaussianEvent:
        return GaussianEvent(self.noise_multiplier)

    def release(self, update_D: Float32s, bits: RandomBits) -> Float32s:
        clipped_D = clip_update(update_D, self.clip)
        noise_D = self.scale * normals(bits, len(update_D))
        return (clipped_D + noise_D).astype(np.float32)


@dataclass(frozen=True)
class Laplace(Mechanism):
    """Laplace noise of scale z * sensitivity on every coordinate of an update of L1 norm C at most
    (Dwork et al. 2006): (1/z, 0)-DP, with the same reservation as for `Gaussian`."""

    @property
    def event(self) -> LaplaceEvent:
        return LaplaceEvent(self.noise_multiplier)

    def release(self, update_D: Float32s, bits: RandomBits) -> Float32s:
        clipped_D = clip_update(update_D, self.clip, "l1")
        noise_D = self.scale * laplaces(bits, len(update_D))
        return (clipped_D + noise_D).astype(np.float32)


@dataclass(frozen=True)
class DiscreteGaussian(Mechanism):
    """The Gaussian mechanism in integers, which holds on a real machine.

    The clipped update is cut, towards zero, to whole numbers of a grid with `MAX_SIGMA` steps to a
    standard deviation. Cutting never lengthens a vector, so the sensitivity stays. The noise is
    drawn exactly, and what leaves is a function of the integer sum alone. 1 / (2 z^2)-zCDP
    (Canonne, Kamath & Steinke 2020, section 2: the multivariate case).
    """

    @property
    def event(self) -> ConcentratedEvent:
        return ConcentratedEvent(0.5 / self.noise_multiplier**2)

    def release(self, update_D: Float32s, bits: RandomBits) -> Float32s:
        noise_D = discrete_gaussians(bits, MAX_SIGMA, len(update_D))
        released_D: Float32s = ((self.on_grid(update_D) + noise_D) * self.step).astype(np.float32)
        return released_D

    @property
    def step(self) -> float:
        """The distance between two values of the grid."""
        return self.scale / MAX_SIGMA

    def on_grid(self, update_D: Float32s) -> Int64s:
        """The clipped update in steps, cut towards zero; its L2 norm is at most `clip / step`."""
        clipped_D = clip_update(update_D, self.clip).astype(np.float64)
        whole_D: Int64s = np.trunc(clipped_D / self.step).astype(np.int64)
        return whole_D


def analytic_noise_multiplier(epsilon: float, delta: float) -> float:
    """The smallest z for which one Gaussian release is (epsilon, delta)-DP, within 1e-9.

    Balle & Wang 2018, theorem 8, for every epsilon above 0. The textbook's
    sqrt(2 ln(1.25 / delta)) / epsilon is proved for epsilon < 1 only, and asks for more.

    Raises:
      LocalError: epsilon is not above 0, or delta not inside (0, 1).
    """
    if not (math.isfinite(epsilon) and epsilon > 0 and 0 < delta < 1):
        raise LocalError(f"epsilon={epsilon}, delta={delta} is not a budget above 0 with delta < 1")
    from dp_accounting import get_sigma_gaussian  # slow: loads scipy.stats

    return float(get_sigma_gaussian(epsilon, delta)) * (1.0 + 1e-9)
