"""Whether your own data set or partition keeps its word.

If a data set breaks it, models train on shapes or labels that are not there; if a partition does,
parties silently share rows, or a patient's rows end up on both sides of a comparison.

    from troth.data.conformance import check_data_set, check_partition

    check_data_set(my_task.load())
    check_partition(my_task.deal_by_clinic)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from troth.data.examples import DataSet, Examples, Int64s
from troth.data.shares import read_only, require_shares
from troth.errors import DataError, LocalError
from troth.references import raised
from troth.streams import Stream

_CURE = "see troth.data.examples for what each field must be"


def check_data_set(data_set: object) -> None:
    """Raise a `DataError` that says what is wrong with `data_set`.

    Guaranteed afterwards: float32 features and matching shapes; int64 classes below C or float32
    targets; everything finite; rows to train and to test on; no group in both.
    """
    if not isinstance(data_set, DataSet):
        raise DataError(f"a {type(data_set).__name__} is not a troth.data.DataSet", hint=_CURE)
    if data_set.task == "classification" and len(data_set.classes) < 2:
        raise DataError(f"classes has {len(data_set.classes)} names, fewer than 2", hint=_CURE)
    if data_set.task == "regression" and data_set.classes:
        raise DataError("classes is not empty, but the task is regression", hint=_CURE)
    features = int(np.prod(data_set.features, dtype=np.int64))
    for part, examples in (("train", data_set.train), ("test", data_set.test)):
        if not isinstance(examples, Examples):
            raise DataError(f"{part} is not a troth.data.Examples", hint=_CURE)
        _check_examples(part, examples, features)
        _check_targets(part, examples, data_set)
    if not (np.isfinite(data_set.target_floor) and data_set.target_floor > 0):
        raise DataError(f"target_floor = {data_set.target_floor} is not above 0", hint=_CURE)
    train_group_N, test_group_T = data_set.train.group_N, data_set.test.group_N
    if (train_group_N is None) != (test_group_T is None):
        raise DataError("only one of train and test has group_N", hint=_CURE)
    if train_group_N is not None and test_group_T is not None:
        shared = np.intersect1d(train_group_N, test_group_T)
        if len(shared):
            raise DataError(f"group {shared[0]} is in train and in test", hint=_CURE)
    if data_set.given is not None:
        # Who holds which file is a fact: the same patient may well be in two of them.
        rows = replace(data_set.train, group_N=None)
        require_shares(data_set.given, rows, len(data_set.given), name="given")


def _check_examples(part: str, examples: Examples, features: int) -> None:
    x_NF, rows = examples.x_NF, len(examples.y_N)
    if rows == 0:
        raise DataError(f"{part} has no rows", hint=_CURE)
    if x_NF.dtype != np.float32 or x_NF.shape != (rows, features):
        raise DataError(
            f"{part}.x_NF is {x_NF.dtype} of shape {x_NF.shape}, "
            f"expected float32 of shape ({rows}, {features})",
            hint=_CURE,
        )
    finite_N = np.isfinite(x_NF).all(axis=1)
    if not finite_N.all():
        raise DataError(f"{part}.x_NF row {np.argmin(finite_N)} is not finite", hint=_CURE)
    group_N = examples.group_N
    if group_N is not None and (group_N.dtype != np.int64 or group_N.shape != (rows,)):
        raise DataError(
            f"{part}.group_N is {group_N.dtype} of shape {group_N.shape}, "
            f"expected int64 of shape ({rows},)",
            hint=_CURE,
        )
    for name, values_N in examples.columns.items():
        if values_N.shape != (rows,):
            raise DataError(
                f"{part}.columns[{name!r}] has shape {values_N.shape}, expected ({rows},)",
                hint=_CURE,
            )


def _check_targets(part: str, examples: Examples, data_set: DataSet) -> None:
    y_N = examples.y_N
    expected = {"classification": np.dtype(np.int64), "regression": np.dtype(np.float32)}
    if data_set.task not in expected:
        raise DataError(f"task = {data_set.task!r} is neither of {list(expected)}", hint=_CURE)
    if y_N.dtype != expected[data_set.task] or y_N.ndim != 1:
        raise DataError(
            f"{part}.y_N is {y_N.dtype} of shape {y_N.shape}, "
            f"expected {expected[data_set.task]} of shape (N,) for {data_set.task}",
            hint=_CURE,
        )
    if not np.isfinite(y_N).all():
        raise DataError(f"{part}.y_N row {np.argmin(np.isfinite(y_N))} is not finite", hint=_CURE)
    if data_set.task == "classification":
        outside_N = (y_N < 0) | (y_N >= len(data_set.classes))
        if outside_N.any():
            row = int(np.argmax(outside_N))
            raise DataError(
                f"{part}.y_N row {row} is class {y_N[row]}, outside 0..{len(data_set.classes) - 1}",
                hint=_CURE,
            )


def check_partition(
    partition: Callable[..., object],
    *,
    train: Examples | None = None,
    parties: Sequence[int] = (1, 2, 5),
    arguments: Mapping[str, object] | None = None,
) -> None:
    """Call `partition` and raise a `CharterError` or `DataError` that says what is wrong.

    Guaranteed afterwards, for each number of parties: one non-empty integer array per party,
    indices within bounds, no group split, the same shares for the same generator, the rows
    left alone.

    Args:
      partition: `callable(train, parties, generator, **arguments)`.
      train: the rows to deal; absent: 60 rows of 20 groups and 3 classes.
      parties: the numbers of parties to try.
      arguments: passed on.
    """
    rows = example_rows() if train is None else train
    given = dict(arguments or {})
    for count in parties:
        shares: list[list[Int64s]] = []
        for _ in range(2):
            generator = Stream(0, ("conformance", count)).generator()
            try:
                result = partition(read_only(rows), count, generator, **given)
            except LocalError:
                raise
            except Exception as error:
                raise DataError(
                    f"with {count} parties the partition {raised(error)}",
                    hint="it is called as callable(train, parties, generator, **arguments), and "
                    "must not write to train",
                ) from error
            shares.append(require_shares(result, rows, count, name="the partition"))
        if any(not np.array_equal(*pair) for pair in zip(*shares, strict=True)):
            raise DataError(
                f"with {count} parties the same generator gave two different partitions",
                hint="draw random numbers from `generator` only, and iterate in a stated order",
            )


def example_rows() -> Examples:
    """60 rows with 4 features: 20 groups of 3, 3 classes, one column `site` with 5 values."""
    row_N = np.arange(60)
    x_NF = Stream(0, ("conformance", "rows")).generator().random((60, 4), dtype=np.float32)
    group_N = row_N % 20
    return Examples(
        x_NF=x_NF, y_N=group_N % 3, group_N=group_N, columns={"site": (group_N % 5).astype(np.str_)}
    )
