"""Updates as whole numbers: what commitments bind and shares carry.

    x_j = round(clip(dw)_j 2^f),    |x_j| <= B = C 2^f

C is the L2 clipping norm, f the number of binary digits kept after the point. Sums of such numbers
are exact, in whatever order and in F_r, so all peers decode the same aggregate to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from troth.errors import LocalError
from troth.privacy.clipping import check_clip, clip_update
from troth.wire import Float32s, Float64s, Int64s

MAX_BOUND = 2**30
"""Largest B. A shifted value x + B then has 31 bits, and any sum that memory can hold fits 62."""

MAX_SUM = 2**62


@dataclass(frozen=True)
class FixedPoint:
    """One grid that all parties agree on.

    Args:
      clip: C, the L2 norm that an update is scaled down to.
      fraction_bits: f; with C = 1 the default gives 20-bit numbers.

    Raises:
      LocalError: `clip` is not one that updates can be clipped to, or B is not 1 to `MAX_BOUND`.
    """

    clip: float
    fraction_bits: int = 19

    def __post_init__(self) -> None:
        check_clip(self.clip)
        if not 1 <= self.bound <= MAX_BOUND:
            raise LocalError(
                f"clip={self.clip:g} with fraction_bits={self.fraction_bits} gives values up to "
                f"{self.bound}, which is not 1 to {MAX_BOUND}",
                hint="clip * 2^fraction_bits of about 2^19 is a good choice",
            )

    @property
    def bound(self) -> int:
        """B, the largest absolute value of an encoded coordinate."""
        return round(self.clip * 2.0**self.fraction_bits)

    def encode(self, update_D: Float32s) -> Int64s:
        """The update clipped to norm C, as integers from -B to B; halves go to the even number.

        Raises:
          RoundFailedError: the update is not finite.
        """
        clipped_D = clip_update(update_D, self.clip).astype(np.float64)
        # Multiplying by a power of two is exact, so rint is the only rounding.
        return np.rint(clipped_D * 2.0**self.fraction_bits).astype(np.int64)

    def decode(self, values_D: Int64s) -> Float64s:
        """The numbers that encoded values, or a sum of them, stand for; exact below 2^53."""
        return values_D.astype(np.float64) * 2.0**-self.fraction_bits

    def sum_bound(self, contributors: int) -> int:
        """u B, the largest absolute value in a sum of u = `contributors` encoded updates.

        Raises:
          LocalError: it is not below 2^62.
        """
        bound = contributors * self.bound
        if contributors < 1 or bound >= MAX_SUM:
            raise LocalError(
                f"sums of {contributors} values up to {self.bound} are not within 2^62",
                hint="take fewer fraction_bits",
            )
        return bound

    def norm_bound(self, dimension: int) -> float:
        """C + 2^-f sqrt(D)/2: the L2 norm that no decoded update exceeds.

        Each coordinate moves by up to half a step when it is rounded, so rounding can make an
        update longer than C. What is released after encoding is accounted with this bound for C.
        """
        return self.clip + 2.0**-self.fraction_bits * sqrt(dimension) / 2


def within(values: Int64s, bound: int) -> bool:
    """Whether all values are from -bound to bound."""
    # Not by np.abs, whose result for -2^63 is negative.
    return bool(((values >= -bound) & (values <= bound)).all())
