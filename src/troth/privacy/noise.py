"""Where privacy noise comes from: the operating system in real runs, a named stream in simulation.

In a real run no seed may decide the noise, nor which rows are sampled: whoever knows the seed takes
the noise off again. So mechanisms draw from `RandomBits`, and a run says once which kind it has.
Simulated noise repeats with the run and protects nobody.

Gaussian and Laplace noise here is computed in floating point. Mironov (CCS 2012) showed that its
last digits can betray the value below it; `troth.privacy.discrete` is exact.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from troth.streams import Stream
from troth.wire import Float64s

UInt64s = npt.NDArray[np.uint64]


class RandomBits(ABC):
    """Independent, uniform 64-bit words.

    If they can be predicted, or come a second time for another release, noise hides nothing.
    """

    @abstractmethod
    def words(self, count: int) -> UInt64s:
        """Draws the next `count` words, uint64 of shape (count,)."""


class _SystemBits(RandomBits):
    def words(self, count: int) -> UInt64s:
        return np.frombuffer(os.urandom(8 * count), dtype=np.uint64)


class _StreamBits(RandomBits):
    def __init__(self, stream: Stream) -> None:
        self._generator = stream.generator()

    def words(self, count: int) -> UInt64s:
        return self._generator.integers(0, 2**64, size=count, dtype=np.uint64)


class SecretSource(Protocol):
    """Gives bits for what a party must keep to itself. Implementations are plain, frozen data."""

    def child(self, *names: str | int) -> SecretSource:
        """A source for one purpose; two purposes never share bits."""

    def bits(self) -> RandomBits:
        """Bits at the start of this source."""


@dataclass(frozen=True)
class SystemSecret:
    """The operating system's generator: every draw is new, whatever the names."""

    def child(self, *names: str | int) -> SystemSecret:  # noqa: ARG002  # part of the interface
        return self

    def bits(self) -> RandomBits:
        return _SystemBits()


@dataclass(frozen=True)
class SimulatedSecret:
    """Bits that follow from the run's seed, so that a simulation repeats.

    Args:
      stream: below the run's `secret` family, apart from what anything else draws from.
    """

    stream: Stream

    def child(self, *names: str | int) -> SimulatedSecret:
        return SimulatedSecret(self.stream.child(*names))

    def bits(self) -> RandomBits:
        return _StreamBits(self.stream)


def secret_generator() -> RandomBits:
    """Bits from the operating system, for real runs."""
    return SystemSecret().bits()


def uniforms(bits: RandomBits, count: int) -> Float64s:
    """Multiples of 2^-53 in [0, 1)."""
    return _fractions(bits.words(count))


def _fractions(words_N: UInt64s) -> Float64s:
    """In [0, 1), from the upper 53 bits."""
    return (words_N >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(bits: RandomBits, count: int) -> Float64s:
    """Standard normal values in double precision (Box & Muller 1958).

    The largest is 8.6; a true normal value is larger with probability 1e-17.
    """
    half = (count + 1) // 2
    radius_H = np.sqrt(-2.0 * np.log1p(-uniforms(bits, half)))
    angle_H = 2.0 * np.pi * uniforms(bits, half)
    both = np.concatenate([radius_H * np.cos(angle_H), radius_H * np.sin(angle_H)])
    return both[:count]


def laplaces(bits: RandomBits, count: int) -> Float64s:
    """Laplace values of scale 1, variance 2, in double precision.

    The largest is 36.7; a true one is larger with probability 1e-16.
    """
    words_N = bits.words(count)
    exponential_N = -np.log1p(-_fractions(words_N))
    # The lowest bit is not among the 53 used above.
    return np.where((words_N & np.uint64(1)) == 1, exponential_N, -exponential_N)
