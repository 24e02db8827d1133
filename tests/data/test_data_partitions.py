"""Who holds which rows: every built-in partition keeps its word, and says when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.data import Examples, deal
from troth.data.conformance import check_partition, example_rows
from troth.data.examples import Int64s
from troth.data.spec import (
    AsGiven,
    Bootstrap,
    ByClass,
    ByColumn,
    CallablePartition,
    Dirichlet,
    Equal,
    PartitionSpec,
    RandomFraction,
    RandomSizes,
)
from troth.errors import CharterError, ExitCode
from troth.references import resolve
from troth.streams import Stream, world

STREAM = world(7).child("partition")


def rows(count: int, classes: int = 3, group_size: int = 0) -> Examples:
    row_N = np.arange(count)
    return Examples(
        x_NF=np.zeros((count, 2), dtype=np.float32),
        y_N=row_N % classes,
        group_N=row_N // group_size if group_size else None,
        columns={"site": (row_N % 4).astype(np.str_)},
    )


def as_callable(spec: PartitionSpec) -> Callable[..., list[Int64s]]:
    def partition(train: Examples, parties: int, generator: np.random.Generator) -> list[Int64s]:
        return deal(train, spec, parties, Stream(int(generator.integers(2**32))))

    return partition


@pytest.mark.parametrize(
    ("spec", "parties"),
    [
        (Equal(), (1, 2, 7, 20)),
        (RandomSizes(), (1, 2, 7, 20)),
        (Bootstrap(), (1, 2, 7, 90)),
        (Bootstrap(rows=200), (3,)),
        (RandomFraction(), (1, 2, 90)),
        (RandomFraction(fraction=0.001), (2,)),
        (Dirichlet(alpha=1.0), (1, 2, 5)),
        (Dirichlet(alpha=100.0), (5,)),
        (ByClass(), (3, 4, 9)),
        (ByClass(classes=2), (2, 5)),
        (ByColumn(column="site"), (5,)),
    ],
)
@pytest.mark.parametrize("grouped", [True, False])
def test_built_in_partitions_conform(
    spec: PartitionSpec, parties: tuple[int, ...], grouped: bool
) -> None:
    train = example_rows()
    if not grouped:
        train = Examples(train.x_NF, train.y_N, None, train.columns)
    check_partition(as_callable(spec), train=train, parties=parties)


def cover(shares: list[Int64s]) -> list[int]:
    return sorted(int(row) for share in shares for row in share)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    parties=st.integers(1, 12),
    group_size=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 100),
)
def test_disjoint_partitions_deal_every_row_once(
    count: int, parties: int, group_size: int, seed: int
) -> None:
    train = rows(count, group_size=group_size)
    units = count if group_size == 0 else -(-count // group_size)
    for spec in (Equal(), RandomSizes()):
        if parties > units:
            with pytest.raises(CharterError, match="there are to deal"):
                deal(train, spec, parties, Stream(seed))
            continue
        shares = deal(train, spec, parties, Stream(seed))
        assert len(shares) == parties
        assert cover(shares) == list(range(count))
        assert all((np.diff(share) > 0).all() for share in shares)


def test_equal_parts_differ_by_one_at_most() -> None:
    sizes = [len(share) for share in deal(rows(103), Equal(), 10, STREAM)]
    assert sorted(set(sizes)) == [10, 11]


def test_equal_parts_are_balanced_over_groups() -> None:
    train = rows(300, group_size=3)
    assert {len(share) for share in deal(train, Equal(), 10, STREAM)} == {30}


def test_equal_is_shuffled() -> None:
    first = deal(rows(100), Equal(), 2, STREAM)[0]
    assert first.tolist() not in (list(range(50)), list(range(0, 100, 2)))
    assert first.tolist() != deal(rows(100), Equal(), 2, world(8))[0].tolist()


def test_random_sizes_keep_the_minimum_and_vary() -> None:
    sizes = [len(share) for share in deal(rows(500), RandomSizes(minimum=20), 10, STREAM)]
    assert min(sizes) >= 20
    assert max(sizes) > 60
    assert sum(sizes) == 500


def test_random_sizes_with_nothing_to_spare() -> None:
    shares = deal(rows(40), RandomSizes(minimum=10), 4, STREAM)
    assert [len(share) for share in shares] == [10, 10, 10, 10]


def test_bootstrap_draws_with_replacement_from_all_rows() -> None:
    shares = deal(rows(1000), Bootstrap(), 4, STREAM)
    assert [len(share) for share in shares] == [250] * 4
    assert any(len(np.unique(share)) < len(share) for share in shares)
    assert max(int(share.max()) for share in shares) > 900
    assert [len(share) for share in deal(rows(10), Bootstrap(rows=50), 2, STREAM)] == [50, 50]


def test_bootstrap_draws_whole_groups() -> None:
    share = deal(rows(300, group_size=3), Bootstrap(rows=31), 1, STREAM)[0]
    assert len(share) == 33
    values, counts = np.unique(share // 3, return_counts=True)
    assert (counts % 3 == 0).all()
    assert len(values) <= 11


def test_a_party_more_does_not_change_the_others() -> None:
    few, more = (deal(rows(100), RandomFraction(), count, STREAM) for count in (3, 4))
    for one, other in zip(few, more, strict=False):
        np.testing.assert_array_equal(one, other)


def test_fraction_is_without_replacement_and_overlaps() -> None:
    one, two = deal(rows(100), RandomFraction(fraction=0.6), 2, STREAM)
    assert len(np.unique(one)) == len(np.unique(two)) == 60
    assert len(np.intersect1d(one, two)) >= 20
    assert not np.array_equal(one, two)


def label_skew(alpha: float) -> float:
    """Mean share of a party's most frequent class."""
    train = rows(3000, classes=10)
    shares = deal(train, Dirichlet(alpha=alpha), 10, STREAM)
    assert cover(shares) == list(range(3000))
    return float(np.mean([np.bincount(train.y_N[s]).max() / len(s) for s in shares]))


def test_a_smaller_alpha_skews_labels_more() -> None:
    assert label_skew(1000.0) < 0.15
    assert label_skew(1000.0) < label_skew(1.0) < label_skew(0.1)
    assert label_skew(0.1) > 0.4


def test_dirichlet_keeps_the_minimum() -> None:
    shares = deal(rows(600), Dirichlet(alpha=0.5, minimum=40), 5, STREAM)
    assert min(len(share) for share in shares) >= 40


def test_by_class_gives_each_party_its_classes_only() -> None:
    train = rows(300, classes=5)
    shares = deal(train, ByClass(classes=2), 5, STREAM)
    assert cover(shares) == list(range(300))
    assert all(len(np.unique(train.y_N[share])) == 2 for share in shares)
    assert {len(share) for share in shares} == {60}


def test_by_column_follows_the_order_of_the_values() -> None:
    shares = deal(rows(40), ByColumn(column="site"), 4, STREAM)
    assert [share.tolist() for share in shares] == [list(range(p, 40, 4)) for p in range(4)]


def test_as_given_is_as_given() -> None:
    given_rows = [np.array([3, 4]), np.array([0])]
    shares = deal(rows(5), AsGiven(), 2, STREAM, given=given_rows)
    assert [share.tolist() for share in shares] == [[3, 4], [0]]


REGRESSION = Examples(np.zeros((9, 1), np.float32), np.zeros(9, np.float32))
MIXED = rows(30, group_size=3)


@pytest.mark.parametrize(
    ("train", "spec", "parties", "key", "said"),
    [
        (rows(5), Equal(), 6, "parties.count", "is above the 5 rows"),
        (rows(30, group_size=10), Equal(), 4, "parties.count", "is above the 3 groups"),
        (rows(5), RandomSizes(minimum=3), 2, "partition.minimum", "only 5 rows"),
        (rows(5), RandomSizes(), 6, "parties.count", "is above the 5 rows"),
        (rows(30, group_size=10), RandomSizes(minimum=11), 2, "partition.minimum", "only 30 rows"),
        (rows(300), Dirichlet(alpha=0.001), 50, "partition.alpha", "in each of 100 draws"),
        (rows(10), Dirichlet(alpha=1.0, minimum=6), 2, "partition.minimum", "only 10 rows"),
        (REGRESSION, Dirichlet(alpha=1.0), 2, "partition.kind", "the task is regression"),
        (REGRESSION, ByClass(), 2, "partition.kind", "the task is regression"),
        (rows(30), ByClass(classes=4), 2, "partition.classes", "above the 3 classes"),
        (rows(30), ByClass(), 2, "partition.classes", "1 of 3 classes to nobody"),
        (rows(3), ByClass(), 7, None, "party-3 has no data"),
        (MIXED, ByClass(classes=3), 2, "partition.kind", "a group is never split"),
        (rows(30), ByColumn(column="state"), 2, "partition.column", "is not a column"),
        (rows(30), ByColumn(column="site"), 3, "partition.column", "has 4 values"),
        (rows(30), AsGiven(), 3, "partition.kind", "needs own files"),
    ],
)
def test_what_cannot_be_met_is_said(
    train: Examples, spec: PartitionSpec, parties: int, key: str | None, said: str
) -> None:
    with pytest.raises(CharterError) as caught:
        deal(train, spec, parties, STREAM)
    assert caught.value.key == key
    assert said in caught.value.message
    assert caught.value.exit_code is ExitCode.CHARTER


def test_as_given_needs_one_file_per_party() -> None:
    with pytest.raises(CharterError, match="has 1 files, one for each of 2 parties"):
        deal(rows(5), AsGiven(), 2, STREAM, given=[np.arange(5)])
    with pytest.raises(CharterError, match="party-1 has no data"):
        deal(rows(5), AsGiven(), 2, STREAM, given=[np.arange(5), np.arange(0)])


OWN = """
import numpy as np

def halves(train, parties, generator, ascending=True):
    order = np.arange(len(train)) if ascending else generator.permutation(len(train))
    return np.array_split(order, parties)

def wrong(train, parties, generator, kind):
    good = [np.arange(len(train)) for _ in range(parties)]
    if kind == "few": return good[1:]
    if kind == "none": return None
    if kind == "floats": return [rows.astype(float) for rows in good]
    if kind == "lists": return [rows.tolist() for rows in good]
    if kind == "empty": return [np.arange(0), *good[1:]]
    if kind == "above": return [rows + 1 for rows in good]
    if kind == "below": return [rows - 1 for rows in good]
    if kind == "writes": train.y_N[:] = 0
    if kind == "raises": raise ValueError("no idea")
    if kind == "splits": return [np.arange(2) for _ in good]
"""


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Callable[..., object]]:
    (tmp_path / "own_partition.py").write_text(OWN)
    return lambda reference: resolve(reference, base=tmp_path)


def test_a_callable_partition_is_called(own: Callable[[str], Callable[..., object]]) -> None:
    spec = CallablePartition(callable="own_partition:halves", arguments={"ascending": True})
    shares = deal(rows(10), spec, 2, STREAM, resolve=own)
    assert [share.tolist() for share in shares] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("few", "gave 1 shares for 2 parties"),
        ("none", "gave a NoneType, not a list"),
        ("floats", "party-0 something else than a one-dimensional array of integers"),
        ("lists", "party-0 something else"),
        ("empty", "gave party-0 no data"),
        ("above", "row 30, outside 0..29"),
        ("below", "row -1, outside 0..29"),
        ("writes", "raised ValueError: assignment destination is read-only"),
        ("raises", "raised ValueError: no idea"),
        ("splits", "party-0 only a part of group 0"),
    ],
)
def test_what_a_callable_partition_gives_is_checked(
    kind: str, said: str, own: Callable[[str], Callable[..., object]]
) -> None:
    spec = CallablePartition(callable="own_partition:wrong", arguments={"kind": kind})
    with pytest.raises(CharterError) as caught:
        deal(rows(30, group_size=3), spec, 2, STREAM, resolve=own)
    assert said in caught.value.message


def test_an_unknown_callable_partition_is_said() -> None:
    with pytest.raises(CharterError, match="no_such_module is not on the Python path"):
        deal(rows(4), CallablePartition(callable="no_such_module:f"), 2, STREAM)


def test_shares_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "import numpy as np, hashlib\n"
        "from troth.data import deal\n"
        "from troth.data.conformance import example_rows\n"
        "from troth.data.spec import *\n"
        "from troth.streams import world\n"
        "for spec in (Equal(), RandomSizes(), Dirichlet(alpha=1.0), ByClass(), Bootstrap()):\n"
        "    print([share.tolist() for share in deal(example_rows(), spec, 3, world(1))])\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 5
