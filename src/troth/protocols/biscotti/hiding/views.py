"""The check that what t aggregators see of an update fits every other update as well, as
`troth.crypto.sharing` promises.

Shown for the very messages of a run: for another update x' there are blinding factors that give the
same commitments, and then random rows that give the same shares and the same commitments to
themselves. Who could work that out for one x' but not for another would know something of x.

Finding blinding factors takes the generators' logarithms, which are known in the modelled group
only. That they exist in G1 too, where nobody finds them, makes commitments perfectly hiding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from troth.crypto.field import LIMBS, ORDER, integers
from troth.crypto.group import POINT_BYTES, Point
from troth.crypto.modelled_group import ModelledPoint
from troth.crypto.sharing import parse_share
from troth.ids import NodeId
from troth.protocols.biscotti.messages import Shares
from troth.protocols.biscotti.setting import Setting
from troth.wire import Int64s

Matrix = list[list[int]]
"""Rows of integers modulo r, the order of the group."""

_SEEN = NodeId("a contributor")


def explanation(setting: Setting, seen: Mapping[int, Shares], other_D: Int64s) -> Matrix | None:
    """The rows of a dealing of `other_D` that gives exactly these messages; None if there is none.

    Args:
      seen: what t aggregators were sent, by their numbers.
      other_D: any update in steps of the grid, shape (D,).

    Returns:
      All R rows, each of L coordinates and a blinding factor.
    """
    assert setting.modelled
    scheme, layout = setting.scheme, setting.layout
    commitments = next(iter(seen.values())).commitments
    count = len(commitments) // POINT_BYTES
    committed = [_log(point) for point in setting.points(commitments, count, sender=_SEEN)]
    logs = [_log(point) for point in setting.key.generators.coordinates_L]
    blinding_log = _log(setting.key.generators.blinding)
    inverse = pow(blinding_log, -1, ORDER)
    data = [
        [*row, (point - _dot(row, logs)) * inverse % ORDER]
        for row, point in zip(layout.to_rows(other_D).tolist(), committed, strict=False)
    ]
    points = [at for number in seen for at in scheme.points_of(number)]
    shares = [
        integers(row)
        for message in seen.values()
        for row in parse_share(message.share, scheme, layout, sender=_SEEN).reshape(
            scheme.points, -1, LIMBS
        )
    ]
    powers = [[pow(at, power, ORDER) for power in range(scheme.rows)] for at in points]
    left = [
        [
            (value - _dot(power[: layout.rows], column)) % ORDER
            for value, column in zip(share, zip(*data, strict=True), strict=True)
        ]
        for share, power in zip(shares, powers, strict=True)
    ]
    random = _solved([power[layout.rows :] for power in powers], left)
    if random is None:
        return None
    rows = [*data, *random]
    same = all(
        _dot(row, [*logs, blinding_log]) == point
        for row, point in zip(rows, committed, strict=False)
    )
    return rows if same and _combined(powers, rows) == shares else None


def _solved(matrix: Matrix, right: Matrix) -> Matrix | None:
    """The X with matrix X = right, by elimination; None if there is not exactly one."""
    size = len(matrix)
    rows = [[*some, *other] for some, other in zip(matrix, right, strict=True)]
    if any(len(row) != size for row in matrix):
        return None
    for at in range(size):
        pivot = next((row for row in range(at, size) if rows[row][at]), None)
        if pivot is None:
            return None
        rows[at], rows[pivot] = rows[pivot], rows[at]
        inverse = pow(rows[at][at], -1, ORDER)
        rows[at] = [value * inverse % ORDER for value in rows[at]]
        for row in range(size):
            if row != at and (factor := rows[row][at]):
                rows[row] = [
                    (value - factor * other) % ORDER
                    for value, other in zip(rows[row], rows[at], strict=True)
                ]
    return [row[size:] for row in rows]


def _combined(left: Matrix, right: Matrix) -> Matrix:
    return [[_dot(row, column) for column in zip(*right, strict=True)] for row in left]


def _dot(left: list[int] | tuple[int, ...], right: list[int] | tuple[int, ...]) -> int:
    return sum(one * other for one, other in zip(left, right, strict=True)) % ORDER


def _log(point: Point) -> int:
    return cast("ModelledPoint", point).value
