"""The noise of a slot: a discrete Gaussian vector that follows from the slot's seeds, and Pedersen
commitments to its rows.

All integers, so every node makes the same vector of the same seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from troth.crypto.commitments import CommitmentKey, Opening, commit_many
from troth.crypto.group import POINT_BYTES
from troth.crypto.noise_table import Seeds
from troth.crypto.seeded_bits import SeededBits
from troth.privacy.discrete_table import gaussian_table

MIN_SIGMAS = 12
"""How many standard deviations fit below the bound: a value beyond has probability 1e-32."""


@dataclass(frozen=True, eq=False)
class GaussianRows:
    """A `RowCommitter` whose noise is the discrete Gaussian on the updates' grid.

    Args:
      key: what updates are committed with.
      sigma: the standard deviation of a coordinate, in steps of the grid.
      bound: no coordinate is larger; at least 12 sigma. Values beyond would become the bound.
    """

    key: CommitmentKey
    sigma: int
    bound: int

    def __post_init__(self) -> None:
        if self.bound < MIN_SIGMAS * self.sigma:
            raise ValueError(f"bound {self.bound} is below {MIN_SIGMAS} * sigma={self.sigma}")

    def opening(self, seeds: Seeds) -> Opening:
        """The noise and the blinding of its commitments: what is added to an update's opening."""
        layout = self.key.layout
        noise_D = gaussian_table(self.sigma).draw(SeededBits(seeds.noise), layout.dimension)
        np.clip(noise_D, -self.bound, self.bound, out=noise_D)
        return Opening.draw(noise_D, layout.rows, SeededBits(seeds.blinding))

    def rows(self, seeds: Seeds) -> list[bytes]:
        """The commitments to the rows, 96 bytes each."""
        encoded = self.encoded([seeds])
        return [encoded[at : at + POINT_BYTES] for at in range(0, len(encoded), POINT_BYTES)]

    def encoded(self, seeds_S: Sequence[Seeds]) -> bytes:
        """The rows of many slots, one after the other."""
        openings = [self.opening(seeds) for seeds in seeds_S]
        committed = commit_many(self.key, openings, bound=self.bound)
        return b"".join(commitment.encoded for commitment in committed)
