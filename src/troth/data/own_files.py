"""A party's own files, checked against the charter's schema.

Whatever does not fit is refused with file, row and column; nothing is guessed or filled
in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from troth.data.arrays import finite_numbers, read_npz
from troth.data.examples import DataSet, Examples, Float32s, Int64s, Values
from troth.data.spec import FileData, Schema
from troth.data.split import split_groups, split_rows
from troth.data.tables import (
    categories,
    encode,
    groups,
    numbered,
    numbers,
    read_table,
    table_of_arrays,
)
from troth.errors import CharterError, DataError
from troth.streams import Stream


@dataclass(frozen=True, eq=False)
class _Rows:
    """One file's rows; groups still by name, because files share them."""

    x_NF: Float32s
    y_N: Int64s | Float32s
    group_N: Values | None
    columns: dict[str, Values]


def load_files(spec: FileData, *, base: Path, stream: Stream) -> DataSet:
    """The rows of the files that `spec` names, relative to `base`.

    Without a test file, `test_fraction` of each file's rows are held out, drawn by `stream`; of all
    files' groups, where rows have groups.

    Raises:
      DataError: a file does not hold what the schema says, or nothing is left to train or test on.
      CharterError: the schema and the kind of file do not go together.
    """
    if spec.train is None:
        raise CharterError(
            "is missing, so there are no rows to deal",
            key="task.data.train",
            hint='write train = "rows.csv"; strangers who have rows of their own use: troth join',
        )
    schema = spec.schema
    paths = [base / name for name in ([spec.train] if isinstance(spec.train, str) else spec.train)]
    parts = [_read(path, schema) for path in paths]
    file_N = np.repeat(np.arange(len(parts)), [len(part.y_N) for part in parts])
    test_part = None if spec.test is None else _read(base / spec.test, schema)
    everything = _join([*parts, *([] if test_part is None else [test_part])])
    if test_part is None:
        train_rows, test_rows = _hold_out(everything, file_N, spec.test_fraction, stream)
    else:
        train_rows = np.arange(len(file_N))
        test_rows = np.arange(len(file_N), len(everything))
        _refuse_shared_groups(everything, train_rows, test_rows, base / str(spec.test))
    for kind, rows in (("train", train_rows), ("test", test_rows)):
        if not len(rows):
            raise DataError(
                f"{paths[0]}: {len(everything)} rows leave none to {kind} on "
                f"(test_fraction = {spec.test_fraction})",
                hint="give more rows, another test_fraction, or a test file",
            )
    labels = schema.labels()
    return DataSet(
        name=paths[0].name.partition(".")[0],
        task="classification" if labels else "regression",
        train=everything.take(train_rows),
        test=everything.take(test_rows),
        features=tuple(schema.shape or (everything.x_NF.shape[1],)),
        classes=tuple(str(label) for label in labels),
        given=[np.flatnonzero(file_N[train_rows] == index) for index in range(len(parts))],
        target_floor=1e-6 if labels else 0.01,
        notes=_notes(spec, len(parts), len(train_rows), len(test_rows)),
    )


def read_rows(path: Path, schema: Schema) -> Examples:
    """All rows of one file.

    Raises:
      DataError: it does not hold what the schema says.
      CharterError: the schema and the kind of file do not go together.
    """
    rows = _join([_read(path, schema)])
    if not len(rows):
        raise DataError(f"{path}: holds no rows")
    return rows


def _read(path: Path, schema: Schema) -> _Rows:
    name = path.name
    if name.endswith((".csv", ".csv.gz", ".parquet")):
        if not schema.columns:
            raise CharterError(
                f"is set, but {name} is a table",
                key="task.data.schema.shape",
                value=schema.shape,
                hint="describe CSV and Parquet files by columns",
            )
        return _read_table(path, schema)
    if not name.endswith(".npz"):
        raise DataError(
            f"{path}: is of no known kind",
            hint="the name must end in .csv, .csv.gz, .parquet or .npz",
        )
    if schema.shape is None:
        raise CharterError(
            f"is not set, but {name} holds arrays",
            key="task.data.schema.shape",
            hint="describe NPZ files by the shape of one example: shape = [1, 28, 28]",
        )
    return _read_arrays(path, schema, schema.shape)


def _read_table(path: Path, schema: Schema) -> _Rows:
    wanted = [column.name for column in schema.columns] + [schema.target]
    table = read_table(path, wanted + ([] if schema.group is None else [schema.group]))
    x_NF, _ = encode(table, schema.columns)
    labels = schema.labels()
    y_N: Int64s | Float32s
    if labels:
        y_N = categories(table, schema.target, labels)
    else:
        minimum, maximum = schema.target_minimum, schema.target_maximum
        y_N = _scaled(numbers(table, schema.target, minimum, maximum), schema)
        if not np.isfinite(y_N).all():
            row = int(np.argmin(np.isfinite(y_N)))
            raise table.error(
                row, schema.target, "is too large for float32", hint="give the target a range"
            )
    columns: dict[str, Values] = {
        column.name: np.asarray([str(value) for value in column.values or []])[
            categories(table, column.name, column.values or [])
        ]
        for column in schema.columns
        if column.kind == "category"
    }
    group_N: Values | None = None
    if schema.group is not None:
        group_N = groups(table, schema.group)
        columns[schema.group] = group_N
    return _Rows(x_NF, y_N, group_N, columns)


def _read_arrays(path: Path, schema: Schema, shape: list[int]) -> _Rows:
    names = ["x", schema.target] + ([] if schema.group is None else [schema.group])
    arrays = read_npz(path, names)
    x, target_N = arrays["x"], arrays[schema.target]
    if x.shape[1:] != tuple(shape) or x.ndim == 0:
        raise DataError(
            f"{path}: array x has shape {x.shape}, expected (N, {', '.join(map(str, shape))})",
            hint="reshape it, or correct shape in the charter's schema",
        )
    for name in names[1:]:
        if arrays[name].shape != (len(x),):
            raise DataError(
                f"{path}: array {name} has shape {arrays[name].shape}, expected ({len(x)},)",
                hint="give one value per row of x",
            )
    if not len(x):
        raise DataError(f"{path}: has no rows", hint="is this the right file?")
    values = finite_numbers(x, "x", path, minimum=None, maximum=None)
    y_N: Int64s | Float32s
    if schema.labels():
        labels = {schema.target: target_N}
        y_N = categories(
            table_of_arrays(labels, str(path), "categories"), schema.target, schema.labels()
        )
    else:
        bounded = finite_numbers(
            target_N,
            schema.target,
            path,
            minimum=schema.target_minimum,
            maximum=schema.target_maximum,
        )
        y_N = _scaled(bounded, schema)
    group_N: Values | None = None
    columns: dict[str, Values] = {}
    if schema.group is not None:
        named = table_of_arrays({schema.group: arrays[schema.group]}, str(path), "groups")
        group_N = columns[schema.group] = groups(named, schema.group)
    return _Rows(values.reshape(len(x), -1).astype(np.float32, copy=False), y_N, group_N, columns)


def _scaled(values_N: npt.NDArray[Any], schema: Schema) -> Float32s:
    divisor = _divisor(schema)
    return (values_N / divisor).astype(np.float32)


def _divisor(schema: Schema) -> float:
    if schema.target_minimum is None or schema.target_maximum is None:
        return 1.0
    return max(abs(schema.target_minimum), abs(schema.target_maximum))


def _join(parts: list[_Rows]) -> Examples:
    group_N: Int64s | None = None
    if parts[0].group_N is not None:
        named = np.concatenate([part.group_N for part in parts if part.group_N is not None])
        group_N = numbered(named)
    one = len(parts) == 1
    return Examples(
        x_NF=parts[0].x_NF if one else np.concatenate([part.x_NF for part in parts]),
        y_N=parts[0].y_N if one else np.concatenate([part.y_N for part in parts]),
        group_N=group_N,
        columns={
            name: np.concatenate([part.columns[name] for part in parts])
            for name in parts[0].columns
        },
    )


def _hold_out(
    rows: Examples, file_N: Int64s, fraction: float, stream: Stream
) -> tuple[Int64s, Int64s]:
    if rows.group_N is not None:
        return split_groups(rows.group_N, fraction, stream.child("held out"))
    train: list[Int64s] = []
    test: list[Int64s] = []
    for index in range(int(file_N[-1]) + 1):
        of_file = np.flatnonzero(file_N == index)
        kept, held = split_rows(len(of_file), fraction, stream.child("held out", index))
        train.append(of_file[kept])
        test.append(of_file[held])
    return np.concatenate(train), np.concatenate(test)


def _refuse_shared_groups(
    rows: Examples, train_rows: Int64s, test_rows: Int64s, test_file: Path
) -> None:
    if rows.group_N is None:
        return
    shared_N = np.isin(rows.group_N[test_rows], rows.group_N[train_rows])
    if shared_N.any():
        raise DataError(
            f"{test_file}: row {int(np.argmax(shared_N)) + 1}: its group is among the "
            "training rows",
            hint="keep every group in one of the files, or training leaks into the test",
        )


def _notes(spec: FileData, files: int, train_rows: int, test_rows: int) -> list[str]:
    schema = spec.schema
    held_out = "from a file of its own" if spec.test else f"{spec.test_fraction:.0%} held out"
    notes = [
        f"own files: {files} file{'s' if files > 1 else ''}, {train_rows} training rows; "
        f"{test_rows} test rows, {held_out}",
        "own files: numbers scaled to [0, 1] by the charter's ranges, categories one-hot"
        if schema.columns
        else "own files: arrays are used as they are",
    ]
    if _divisor(schema) != 1.0:
        notes.append(f"own files: the target is divided by {_divisor(schema):g}")
    return notes
