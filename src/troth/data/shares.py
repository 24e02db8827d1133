"""Shares of a data set's rows, and the units that they are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from troth.data.examples import Examples, Int64s, Values
from troth.errors import CharterError
from troth.ids import party_id


@dataclass(frozen=True, eq=False)
class Units:
    """The rows as units 0..U-1; unit u holds the rows `order_N[start[u]:start[u + 1]]`."""

    order_N: Int64s
    start: Int64s
    """Where each unit begins in `order_N`, and last where all end, shape (U + 1,)."""

    @property
    def sizes_U(self) -> Int64s:
        """How many rows each unit has, shape (U,)."""
        return np.diff(self.start)

    def __len__(self) -> int:
        return len(self.start) - 1

    def first_rows_U(self) -> Int64s:
        """One row of each unit, the first: it speaks for the unit's class or column."""
        return self.order_N[self.start[:-1]]

    def rows(self, units: Int64s) -> Int64s:
        """All rows of `units`, ascending."""
        if len(self) == len(self.order_N):  # every unit is one row
            return np.sort(self.order_N[units])
        pieces = [self.order_N[self.start[unit] : self.start[unit + 1]] for unit in units]
        return np.sort(np.concatenate(pieces)) if pieces else np.zeros(0, dtype=np.int64)


def units_of(train: Examples) -> Units:
    """The units that rows are dealt in: groups, in ascending order of their number, where the rows
    have groups; else single rows."""
    if train.group_N is None:
        row_N = np.arange(len(train), dtype=np.int64)
        return Units(row_N, np.arange(len(train) + 1, dtype=np.int64))
    _, index_N, sizes_U = np.unique(train.group_N, return_inverse=True, return_counts=True)
    order_N = np.argsort(index_N, kind="stable")
    return Units(order_N, np.concatenate([[0], np.cumsum(sizes_U)]))


def read_only(train: Examples) -> Examples:
    """The same rows, through arrays that cannot be written to."""

    def sealed(array: Values) -> Values:
        view = array.view()
        view.flags.writeable = False
        return view

    return replace(
        train,
        x_NF=sealed(train.x_NF),
        y_N=sealed(train.y_N),
        group_N=None if train.group_N is None else sealed(train.group_N),
        columns={name: sealed(values_N) for name, values_N in train.columns.items()},
    )


def require_shares(result: object, train: Examples, parties: int, *, name: str) -> list[Int64s]:
    """`result`, known to be one valid share per party, as int64 arrays.

    Raises:
      CharterError: it is not; `name` says whose result it is.
    """
    cure = "return a list with one array of row indices per party"
    if not isinstance(result, list | tuple):
        raise CharterError(f"{name} gave a {type(result).__name__}, not a list", hint=cure)
    if len(result) != parties:
        raise CharterError(f"{name} gave {len(result)} shares for {parties} parties", hint=cure)
    shares: list[Int64s] = []
    for index, share in enumerate(result):
        party = party_id(index, parties)
        if not isinstance(share, np.ndarray) or share.ndim != 1 or share.dtype.kind not in "iu":
            raise CharterError(
                f"{name} gave {party} something else than a one-dimensional array of integers",
                hint=cure,
            )
        if share.size == 0:
            raise CharterError(f"{name} gave {party} no data", hint="give every party a row")
        if int(share.min()) < 0 or int(share.max()) >= len(train):
            worst = int(share.min()) if int(share.min()) < 0 else int(share.max())
            raise CharterError(
                f"{name} gave {party} row {worst}, outside 0..{len(train) - 1}", hint=cure
            )
        shares.append(share.astype(np.int64))
        _require_whole_groups(shares[-1], train, party, name)
    return shares


def _require_whole_groups(share: Int64s, train: Examples, party: str, name: str) -> None:
    if train.group_N is None:
        return
    held_N = np.zeros(len(train), dtype=bool)
    held_N[share] = True
    split = np.intersect1d(train.group_N[held_N], train.group_N[~held_N])
    if len(split):
        raise CharterError(
            f"{name} gave {party} only a part of group {split[0]}",
            hint="rows with the same group_N go to a party together",
        )
