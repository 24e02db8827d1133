"""The discrete Gaussian, drawn exactly: Canonne, Kamath & Steinke, "The Discrete Gaussian for
Differential Privacy", NeurIPS 2020 (arXiv:2004.00010), section 5.

The value x is an integer with probability proportional to exp(-x^2 / (2 sigma^2)). Everything below
compares integers, so there are no last digits to read a secret from. Names follow the paper; N is
how many values are drawn at once, and loops go on for those that are not settled.

Differs from the paper: sigma is a whole number, and t = sigma instead of floor(sigma) + 1, because
then all numbers fit 64 bits. Any t gives the same distribution; t decides only how often a
candidate is rejected.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from troth.errors import LocalError
from troth.privacy.noise import RandomBits, UInt64s
from troth.wire import Int64s

Booleans = npt.NDArray[np.bool_]

MAX_SIGMA = 2**24

_MAX_TURNS = 2**7
"""Candidates at 128 sigma or beyond are rejected unseen, so that squares fit 64 bits. They come
with probability exp(-128) and would be accepted with probability below exp(-8000)."""


def discrete_gaussians(bits: RandomBits, sigma: int, count: int) -> Int64s:
    """`count` independent values of the discrete Gaussian N_Z(0, sigma^2) (algorithm 3).

    Args:
      sigma: a whole number, 1 to `MAX_SIGMA`. The variance is sigma^2 to 15 digits.
    """
    if not 1 <= sigma <= MAX_SIGMA:
        raise LocalError(f"sigma={sigma} is outside 1..{MAX_SIGMA}")
    values_N = np.empty(count, dtype=np.int64)
    open_N = np.arange(count)
    while len(open_N):
        y_N, usable_N = _discrete_laplaces(bits, sigma, len(open_N))
        # "C ~ Bernoulli(exp(-(|Y| - sigma^2/t)^2 / 2 sigma^2))", with t = sigma.
        gap_N = np.where(usable_N, np.abs(y_N) - sigma, 0)
        accepted_N = _bernoulli_exp(bits, gap_N * gap_N, 2 * sigma * sigma) & usable_N
        values_N[open_N[accepted_N]] = y_N[accepted_N]
        open_N = open_N[~accepted_N]
    return values_N


def _discrete_laplaces(bits: RandomBits, t: int, count: int) -> tuple[Int64s, Booleans]:
    """Candidates of algorithm 2 with s = 1, and which of them it would return."""
    u_N = below(bits, np.full(count, t))
    usable_N = _bernoulli_exp(bits, u_N, t)
    v_N = np.zeros(count, dtype=np.int64)
    going_N = np.flatnonzero(usable_N)
    while len(going_N):
        ones_N = np.ones(len(going_N), dtype=np.int64)
        going_N = going_N[_bernoulli_exp(bits, ones_N, 1)]
        v_N[going_N] += 1
        going_N = going_N[v_N[going_N] < _MAX_TURNS]
    y_N = u_N + t * v_N
    negative_N = below(bits, np.full(count, 2)) == 1
    # 0 would otherwise come up twice as often as it should, once with either sign.
    usable_N &= ~(negative_N & (y_N == 0)) & (v_N < _MAX_TURNS)
    return np.where(negative_N, -y_N, y_N), usable_N


def _bernoulli_exp(bits: RandomBits, numerator_N: Int64s, denominator: int) -> Booleans:
    """True with probability exp(-numerator / denominator) (algorithm 1)."""
    whole_N, rest_N = np.divmod(numerator_N, denominator)
    true_N = _bernoulli_exp_unit(bits, rest_N, denominator)
    going_N = np.flatnonzero(true_N & (whole_N > 0))
    turn = 0
    while len(going_N):
        kept_N = _bernoulli_exp_unit(bits, np.ones(len(going_N), dtype=np.int64), 1)
        true_N[going_N[~kept_N]] = False
        turn += 1
        going_N = going_N[kept_N]
        going_N = going_N[whole_N[going_N] > turn]
    return true_N


def _bernoulli_exp_unit(bits: RandomBits, numerator_N: Int64s, denominator: int) -> Booleans:
    """The case numerator <= denominator: count K until the first failure; true if K is odd."""
    k_N = np.ones(len(numerator_N), dtype=np.int64)
    going_N = np.arange(len(numerator_N))
    while len(going_N):
        # "A ~ Bernoulli(gamma / K)", as two independent draws so that no product overflows.
        gamma_N = below(bits, np.full(len(going_N), denominator)) < numerator_N[going_N]
        going_N = going_N[gamma_N]
        going_N = going_N[below(bits, k_N[going_N]) == 0]
        k_N[going_N] += 1
    odd_N: Booleans = k_N % 2 == 1
    return odd_N


def below(bits: RandomBits, bound_N: Int64s) -> Int64s:
    """Uniform integers in [0, bound) for every bound from 1 to 2^62, without bias.

    As many bits as the largest candidate has are drawn again until they are below the bound.
    """
    values_N = np.zeros(len(bound_N), dtype=np.int64)
    width_N = _bit_lengths(bound_N - 1)
    open_N = np.flatnonzero(bound_N > 1)
    while len(open_N):
        drawn_N = (bits.words(len(open_N)) >> (np.uint64(64) - width_N[open_N])).astype(np.int64)
        fits_N = drawn_N < bound_N[open_N]
        values_N[open_N[fits_N]] = drawn_N[fits_N]
        open_N = open_N[~fits_N]
    return values_N


def _bit_lengths(values_N: Int64s) -> UInt64s:
    """How many binary digits each has; 0 has none."""
    if len(values_N) and (values_N == values_N[0]).all():
        return np.full(len(values_N), int(values_N[0]).bit_length(), dtype=np.uint64)
    width_N = np.zeros(len(values_N), dtype=np.uint64)
    for step in (32, 16, 8, 4, 2, 1):
        larger_N = (values_N >> np.int64(step)) > 0
        width_N[larger_N] += np.uint64(step)
        values_N = np.where(larger_N, values_N >> np.int64(step), values_N)
    return width_N + (values_N > 0).astype(np.uint64)
