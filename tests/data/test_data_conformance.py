"""The conformance checks notice what breaks a data set's or a partition's word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from troth.data import DataSet, Examples
from troth.data.conformance import check_data_set, check_partition
from troth.data.examples import Int64s
from troth.errors import CharterError, DataError, LocalError


def examples(rows: int = 6, *, regression: bool = False, first_group: int = 0) -> Examples:
    row_N = np.arange(rows)
    return Examples(
        x_NF=np.full((rows, 4), 0.5, dtype=np.float32),
        y_N=row_N.astype(np.float32) if regression else row_N % 2,
        group_N=row_N + first_group,
        columns={"site": row_N.astype(np.str_)},
    )


GOOD = DataSet(
    name="good",
    task="classification",
    train=examples(),
    test=examples(4, first_group=10),
    features=(1, 2, 2),
    classes=("no", "yes"),
)


def with_train(**changes: object) -> DataSet:
    return replace(GOOD, train=replace(GOOD.train, **changes))  # type: ignore[arg-type]  # on purpose


def test_good_data_sets_pass() -> None:
    check_data_set(GOOD)
    regression = replace(
        GOOD,
        task="regression",
        train=examples(regression=True),
        test=examples(2, regression=True, first_group=9),
        classes=(),
    )
    check_data_set(regression)
    check_data_set(replace(GOOD, given=[np.array([0, 1]), np.array([2, 3, 4, 5])]))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("text", "a str is not a troth.data.DataSet"),
        (replace(GOOD, train=None), "train is not a troth.data.Examples"),  # type: ignore[arg-type]  # on purpose
        (replace(GOOD, features=(5,)), "train.x_NF is float32 of shape (6, 4)"),
        (with_train(x_NF=np.zeros((6, 4))), "train.x_NF is float64"),
        (with_train(x_NF=np.full((6, 4), np.nan, np.float32)), "train.x_NF row 0 is not finite"),
        (with_train(y_N=np.zeros(6, np.int32)), "train.y_N is int32"),
        (with_train(y_N=np.full(6, 2)), "train.y_N row 0 is class 2, outside 0..1"),
        (with_train(y_N=np.full(6, -1)), "class -1"),
        (with_train(group_N=None), "only one of train and test has group_N"),
        (with_train(group_N=np.arange(10, 16)), "group 10 is in train and in test"),
        (with_train(group_N=np.arange(3)), "train.group_N is int64 of shape (3,)"),
        (with_train(columns={"a": np.arange(2)}), "columns['a'] has shape (2,)"),
        (replace(GOOD, train=examples(0)), "train has no rows"),
        (replace(GOOD, classes=("one",)), "classes has 1 names"),
        (replace(GOOD, task="regression"), "the task is regression"),
        (replace(GOOD, task="regression", classes=()), "train.y_N is int64"),
        (replace(GOOD, task="ranking"), "task = 'ranking'"),  # type: ignore[arg-type]  # on purpose
        (replace(GOOD, target_floor=0.0), "target_floor = 0.0"),
        (replace(GOOD, given=[np.array([0, 6])]), "given gave party-0 row 6"),
    ],
)
def test_bad_data_sets_do_not(bad: object, said: str) -> None:
    with pytest.raises(LocalError) as caught:
        check_data_set(bad)
    assert said in caught.value.message


def by_group(train: Examples, parties: int, generator: np.random.Generator) -> list[Int64s]:
    assert train.group_N is not None
    owner_G = generator.permutation(np.arange(int(train.group_N.max()) + 1) % parties)
    return [np.flatnonzero(owner_G[train.group_N] == party) for party in range(parties)]


def test_a_good_partition_passes() -> None:
    check_partition(by_group)


def fickle(calls: Iterator[int]) -> Callable[..., list[Int64s]]:
    def partition(train: Examples, parties: int, _: np.random.Generator) -> list[Int64s]:
        turn = next(calls)
        return by_group(train, parties, np.random.default_rng(turn))

    return partition


def test_bad_partitions_do_not() -> None:
    with pytest.raises(DataError, match="the same generator gave two different partitions"):
        check_partition(fickle(count()))
    with pytest.raises(CharterError, match="only a part of group"):
        check_partition(lambda train, parties, _: np.array_split(np.arange(len(train)), parties))
    with pytest.raises(DataError, match="raised TypeError"):
        check_partition(lambda train: [np.arange(len(train))])
    with pytest.raises(DataError, match="raised ValueError: assignment destination"):
        check_partition(lambda train, *_: train.x_NF.fill(0))
    with pytest.raises(CharterError, match="gave 0 shares for 1 parties"):
        check_partition(lambda *_: [])
