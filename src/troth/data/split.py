"""Splits into training and test rows that keep groups whole.

Published sets are split by a fixed stream, the same in every run, so that figures can be compared;
own files by the run's.
"""

from __future__ import annotations

import numpy as np

from troth.data.examples import Examples, Int64s
from troth.streams import Stream

_FIXED = Stream(0, ("data", "split"))
"""Splits of published and bundled sets."""


def fixed_split(rows: Examples, held_out: float, name: str) -> tuple[Examples, Examples]:
    """The training and the test rows of the published or bundled set `name`, the same in every run.

    `held_out` of its rows are for testing, rounded; of its groups, where it has any.
    """
    stream = _FIXED.child(name)
    if rows.group_N is None:
        train_rows, test_rows = split_rows(len(rows), held_out, stream)
    else:
        train_rows, test_rows = split_groups(rows.group_N, held_out, stream)
    return rows.take(train_rows), rows.take(test_rows)


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
