"""A stand-in for G1 in simulations: the numbers modulo r under addition.

The same code runs over it, messages are as long, and commitments, masks, shares and blame come out
as they would for parties that are honest or follow a script. It takes a hundredth of the time.

It protects nobody. A commitment is one linear equation, sum_l x_l g_l + b h modulo r, with known
numbers g_l and h: who computes opens it to any vector, and who guesses a vector finds b. So it says
nothing of what a party could do that breaks commitments, a run must ask for it by name, and a real
node refuses it (`Group.binding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import shake_256
from operator import mul
from typing import Final, cast

import numpy as np

from troth.crypto.field import (
    ELEMENT_BYTES,
    LIMBS,
    MAX_TERMS,
    ORDER,
    Elements,
    elements,
    integers,
    matmul,
)
from troth.crypto.group import POINT_BYTES, Group, Point, RowSums
from troth.wire import Int64s

_PADDING = bytes(POINT_BYTES - ELEMENT_BYTES)
_LIMB_WEIGHTS = [1 << (16 * place) for place in range(LIMBS)]


@dataclass(frozen=True, slots=True)
class ModelledPoint:
    """A number modulo r, where G1 has a point with that logarithm."""

    value: int

    def __add__(self, other: ModelledPoint) -> ModelledPoint:
        return ModelledPoint((self.value + other.value) % ORDER)

    def __sub__(self, other: ModelledPoint) -> ModelledPoint:
        return ModelledPoint((self.value - other.value) % ORDER)


class ModelledGroup(Group):
    """The integers modulo r with addition, Z_r, in place of a curve."""

    name = "modelled"
    binding = False
    identity = ModelledPoint(0)

    def hash_to_group(self, message: bytes, dst: bytes) -> ModelledPoint:
        named = b"troth-modelled-point\0" + len(dst).to_bytes(4) + dst + message
        return ModelledPoint(int.from_bytes(shake_256(named).digest(64)) % ORDER)

    def times(self, point: Point, factor: int) -> ModelledPoint:
        return ModelledPoint(cast("ModelledPoint", point).value * factor % ORDER)

    def equal(self, left: Point, right: Point) -> bool:
        return left == right

    def encode(self, points: Sequence[Point]) -> bytes:
        """The number, little-endian, filled up with zeros."""
        return b"".join(
            cast("ModelledPoint", point).value.to_bytes(ELEMENT_BYTES, "little") + _PADDING
            for point in points
        )

    def read(self, encoded: bytes) -> ModelledPoint:
        value = int.from_bytes(encoded, "little")
        if value >= ORDER:
            raise ValueError("not below r")
        return ModelledPoint(value)

    def combiner(self, points_L: Sequence[Point]) -> RowSums:
        """One float64 product with the points' limbs where it is exact."""
        limbs_LW = elements([cast("ModelledPoint", point).value for point in points_L])
        limbs_LW = limbs_LW.astype(np.float64)
        plain = super().combiner(points_L)

        def combine(factors_RL: Int64s, bound: int) -> tuple[Point, ...]:
            if bound * len(points_L) >= 2**37:  # times a limb of 16 bits: 2^53
                return plain(factors_RL, bound)
            sums_RW = (factors_RL.astype(np.float64) @ limbs_LW).astype(np.int64)
            return tuple(
                ModelledPoint(sum(map(mul, sums_W, _LIMB_WEIGHTS)) % ORDER)
                for sums_W in sums_RW.tolist()
            )

        return combine

    def _msm_rows(
        self, points_L: Sequence[Point], factors_KLW: Elements
    ) -> tuple[ModelledPoint, ...]:
        values_L = [point.value for point in cast("Sequence[ModelledPoint]", points_L)]
        factors_LKW = factors_KLW.transpose(1, 0, 2)
        parts = [
            integers(matmul([values_L[at : at + MAX_TERMS]], factors_LKW[at : at + MAX_TERMS])[0])
            for at in range(0, len(values_L), MAX_TERMS)
        ]
        return tuple(ModelledPoint(sum(row) % ORDER) for row in zip(*parts, strict=True))


MODELLED: Final = ModelledGroup()
