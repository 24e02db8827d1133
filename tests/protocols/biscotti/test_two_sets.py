"""What a leader learns that gets honest aggregators to add up two sets: why they vote first.

Aggregators that are asked for the sum of U and others for that of U without v give, together with
the leader's own shares, linear equations on what was dealt. Whatever follows of v's data rows alone
is a leak: these are short numbers, so one equation modulo r has them as its only short solution.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from troth.crypto.field import ORDER
from troth.crypto.sharing import SharingScheme


def rank(rows: list[list[int]]) -> int:
    rows, found = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((at for at in range(found, len(rows)) if rows[at][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, ORDER)
        top = rows[found] = [value * inverse % ORDER for value in rows[found]]
        for at in range(found + 1, len(rows)):
            if factor := rows[at][column]:
                rows[at] = [
                    (value - factor * other) % ORDER
                    for value, other in zip(rows[at], top, strict=True)
                ]
        found += 1
    return found


def leaked(
    scheme: SharingScheme, corrupt: Iterable[int], whole: Iterable[int], without: Iterable[int]
) -> int:
    """Equations on v's data rows alone that follow from what `corrupt` aggregators were dealt, and
    the sums of those who answer for all of U (`whole`) or for U without v (`without`).

    Unknown are the rows of v, then those of all others added up.
    """

    def powers(at: int) -> list[int]:
        return [pow(at, power, ORDER) for power in range(scheme.rows)]

    nothing = [0] * scheme.rows
    known = []
    for number in corrupt:
        for at in scheme.points_of(number):
            known += [powers(at) + nothing, nothing + powers(at)]
    known += [powers(at) * 2 for number in whole for at in scheme.points_of(number)]
    known += [nothing + powers(at) for number in without for at in scheme.points_of(number)]
    data = [[int(at == row) for at in range(2 * scheme.rows)] for row in range(scheme.data_rows)]
    return rank(known) + len(data) - rank(known + data)


SCHEMES = [
    SharingScheme(3, 1, 3, 2),
    SharingScheme(4, 1, 3, 2),
    SharingScheme(10, 4, 8),
    SharingScheme(26, 12, 20),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_one_set_that_all_answer_gives_nothing_of_one_member(scheme: SharingScheme) -> None:
    m, t = scheme.aggregators, scheme.tolerated
    assert leaked(scheme, range(t), range(t, m), ()) == 0


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_two_sets_give_away_shares_though_one_sum_only_can_be_opened(scheme: SharingScheme) -> None:
    """The quorum rule alone is not enough where more than tau aggregators may answer."""
    m, t, tau = scheme.aggregators, scheme.tolerated, scheme.quorum
    assert 2 * tau > m + t
    assert leaked(scheme, range(t), range(t, tau), range(tau, m)) == scheme.points * (m - tau)


def test_two_opened_sums_give_away_everything() -> None:
    scheme = SharingScheme(4, 1, 2, 2, crash=True)
    assert leaked(scheme, [0], [1], [2, 3]) == scheme.data_rows
