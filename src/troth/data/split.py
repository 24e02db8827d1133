"""Splits into training and test rows that keep groups whole.

Published sets are split by a fixed stream, the same in every run, so that figures can be compared;
own files by the run's.
"""

from __future__ import annotations

import numpy as np

from troth.data.examples import Int64s
from troth.streams import Stream

FIXED = Stream(0, ("data", "split"))
"""Splits of published and bundled sets."""


def split_rows(rows: int, held_out: float, stream: Stream) -> tuple[Int64s, Int64s]:
    """Training and test rows, each ascending; `held_out` of them, rounded, are for testing."""
    order_N = stream.generator().permutation(rows)
    test_rows = round(rows * held_out)
    return np.sort(order_N[test_rows:]), np.sort(order_N[:test_rows])


def split_groups(group_N: Int64s, held_out: float, stream: Stream) -> tuple[Int64s, Int64s]:
    """Training and test rows, each ascending; `held_out` of the groups, rounded, for testing."""
    groups_G, index_N = np.unique(group_N, return_inverse=True)
    _, test_G = split_rows(len(groups_G), held_out, stream)
    is_test_N = np.isin(index_N, test_G)
    return np.flatnonzero(~is_test_N), np.flatnonzero(is_test_N)
