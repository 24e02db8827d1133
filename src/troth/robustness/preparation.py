"""What goes before a rule: mixing updates, so that the honest ones are closer together.

B is the number of updates that come out.
"""

from __future__ import annotations

import msgspec
import numpy as np

from troth.robustness.bounds import require_inputs
from troth.robustness.combination import mix
from troth.robustness.distances import squared_distances
from troth.robustness.updates import Updates, UpdatesError, shape_of
from troth.wire import Float32s, Float64s


class Mixed(msgspec.Struct, frozen=True):
    """Updates made of updates: row b of `updates_BD` is sum_p share_BP[b, p] x_p."""

    updates_BD: Float32s
    share_BP: Float64s


def nnm(updates: Updates, f: int) -> Mixed:
    """Nearest-neighbour mixing: each update is replaced by the mean of the P - f nearest to it,
    itself included; B = P.

    With it before them, the rules here reach the optimal order of error f / P against f < P / 2
    Byzantine inputs, whatever the honest ones' heterogeneity. Allouah et al., AISTATS 2023,
    algorithm 2. A tie goes to the update itself, then to the lowest position.

    Raises:
      UpdatesError: an update is not finite, or P < 2f + 1.
    """
    count, _ = shape_of(updates)
    require_inputs("nnm", count, least=2 * f + 1, f=f)
    squared_PP = squared_distances(updates)
    np.fill_diagonal(squared_PP, -1)
    nearest_PK = np.argsort(squared_PP, axis=1, kind="stable")[:, : count - f]
    share_PP = np.zeros((count, count))
    np.put_along_axis(share_PP, nearest_PK, 1 / (count - f), axis=1)
    return Mixed(mix(updates, share_PP), share_PP)


def bucketing(updates: Updates, s: int, generator: np.random.Generator) -> Mixed:
    """Means of buckets of s updates drawn at random, the last one smaller if s does not divide P;
    B = ceil(P / s).

    Up to f buckets hold a Byzantine input, so the rule after it must withstand f of B.
    Karimireddy, He & Jaggi, ICLR 2022, algorithm 1.

    Raises:
      UpdatesError: an update is not finite, or s < 1.
    """
    count, _ = shape_of(updates)
    if s < 1:
        raise UpdatesError(f"bucketing into buckets of {s} updates is not possible")
    order_P = generator.permutation(count)
    share_BP = np.zeros((-(-count // s), count))
    for bucket, start in enumerate(range(0, count, s)):
        members = order_P[start : start + s]
        share_BP[bucket, members] = 1 / len(members)
    return Mixed(mix(updates, share_BP), share_BP)
