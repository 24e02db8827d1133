"""CSV and Parquet files as tables whose every error names file, row and column.

Rows count from 1, after the header; for CSV the line in the file is given as well.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from troth.data import sources, spelling
from troth.data.examples import Float32s, Int64s
from troth.data.spec import Column
from troth.errors import DataError

MAX_HEADER_BYTES = 2**20
"""Longest first line of a CSV file."""

_BYTES_PER_VALUE = 8
"""What a value of a table takes at least, for the bound on a Parquet file's table."""


@dataclass(frozen=True, eq=False)
class TableFile:
    """The rows of one file, not yet checked."""

    frame: pl.DataFrame
    """CSV columns are text; empty text is null."""
    file: str
    """Name of the file, for errors."""
    csv_content: bytes | None = None
    """The text it came from, to find the line of a row."""
    part: str = "column"
    """What a column is called in this kind of file, for errors."""

    def __len__(self) -> int:
        return self.frame.height

    def error(self, row: int, column: str, problem: str, *, hint: str) -> DataError:
        """The error to raise for one value of column `column`; `row` counts from 0."""
        place = f"row {row + 1}"
        if self.csv_content is not None:
            place += f" (line {_line_of(self.csv_content, row)})"
        return DataError(f"{self.file}: {place}, {self.part} {column}: {problem}", hint=hint)

    def spelled(self, column: str, what: str) -> pl.Series:
        """The column as text, null where there is no value.

        Raises:
          DataError: its type has no text, or a value is no text; `what` it should hold.
        """
        try:
            return spelling.spelled(self.frame[column])
        except spelling.UnspelledError as error:
            raise self._not_text(column, error, what) from None

    def _not_text(self, column: str, error: spelling.UnspelledError, what: str) -> DataError:
        if error.row is not None:
            return self.error(error.row, column, error.problem, hint="save it as UTF-8 text")
        return DataError(
            f"{self.file}: {self.part} {column} {error.problem}, not {what}",
            hint="write it as text or whole numbers",
        )


def read_table(path: Path, columns: Sequence[str]) -> TableFile:
    """The named columns of a `.csv`, `.csv.gz` or `.parquet` file.

    Raises:
      DataError: the file is missing, too large, damaged, empty, or lacks a column.
    """
    data = sources.read_bytes(path)
    if path.suffix == ".parquet":
        table = _parse_parquet(data, path, columns)
    else:
        content = sources.unpack(data, path) if sources.is_packed(path) else data
        table = parse_csv(content, str(path), columns)
    if not len(table):
        raise DataError(f"{path}: has no rows", hint="is this the right file?")
    return table


def table_of_arrays(arrays: Mapping[str, npt.NDArray[Any]], file: str, what: str) -> TableFile:
    """One-dimensional arrays of one length as columns, for `categories` and `groups`.

    Raises:
      DataError: an array's type has no text, or a value is no text; `what` they should hold.
    """
    columns = []
    for name, array in arrays.items():
        try:
            columns.append(spelling.from_array(array, name))
        except spelling.UnspelledError as error:
            raise TableFile(pl.DataFrame(), file, part="array")._not_text(
                name, error, what
            ) from None
    return TableFile(pl.DataFrame(columns), file, part="array")


def parse_csv(
    content: bytes,
    file: str,
    columns: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    skip_lines: int = 0,
) -> TableFile:
    """The named columns of CSV text, as text; blank lines at the end are left out.

    Args:
      content: UTF-8, comma-separated.
      file: its name, for errors.
      columns: those to keep.
      names: every column's name, where the text has no header line.
      skip_lines: lines before the header or the first row, which are not looked at.

    Raises:
      DataError: it is not such text, or lacks a column.
    """
    content = content.rstrip(b"\r\n")
    if skip_lines:
        content = b"".join(content.split(b"\n", skip_lines)[skip_lines:])
    found = list(names) if names is not None else _header(content, file)
    _require_columns(columns, found, file)
    in_file = sorted(columns, key=found.index)
    try:
        frame = pl.read_csv(
            content,
            columns=[found.index(name) for name in in_file],
            has_header=names is None,
            infer_schema=False,
        )
    except pl.exceptions.NoDataError:
        frame = pl.DataFrame({name: pl.Series([], dtype=pl.String) for name in in_file})
    except pl.exceptions.PolarsError as error:
        raise _csv_error(content, file, len(found), error) from None
    frame.columns = in_file
    return TableFile(frame.select(columns), file, content if names is None else None)


def _header(content: bytes, file: str) -> list[str]:
    first = content[:MAX_HEADER_BYTES].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        header = next(csv.reader(io.StringIO(first, newline="")), [])
    except csv.Error as error:
        raise DataError(
            f"{file}: its first line is no header: {error}", hint="is it a CSV file?"
        ) from None
    if not header:
        raise DataError(f"{file}: is empty", hint="is this the right file?")
    return header


def _require_columns(wanted: Sequence[str], found: Sequence[str], file: str) -> None:
    for name in wanted:
        if found.count(name) != 1:
            shown = ", ".join(found[:20]) + (", ..." if len(found) > 20 else "")
            problem = "has no column" if name not in found else "has more than one column"
            raise DataError(
                f"{file}: {problem} {name!r}", hint=f"its columns are {shown}; names must match"
            )


def _csv_error(content: bytes, file: str, width: int, error: Exception) -> DataError:
    """Finds what polars does not tell: the row at fault."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        return DataError(f"{file}: line {line}: is not UTF-8 text", hint="save the file as UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""))
    line = 1
    for row, fields in enumerate(reader):
        if len(fields) > width:
            return DataError(
                f"{file}: row {row} (line {line}): has {len(fields)} values, "
                f"but there are {width} columns",
                hint="quote values that hold commas",
            )
        line = reader.line_num + 1
    first_line = str(error).splitlines()[0]
    return DataError(
        f"{file}: is not a sound CSV file: {first_line}", hint="look for an open quote"
    )


def _line_of(content: bytes, row: int) -> int:
    """The line on which data row `row` (from 0) starts; a quoted value may hold line breaks."""
    reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    for _ in range(row + 1):
        next(reader)
    return reader.line_num + 1


def _parse_parquet(data: bytes, path: Path, columns: Sequence[str]) -> TableFile:
    damaged = DataError(
        f"{path}: is not a sound Parquet file (cut short or damaged)",
        hint="write or copy it again",
    )
    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise damaged
    try:
        with _quiet_panics():
            lazy = pl.scan_parquet(io.BytesIO(data))
            found = lazy.collect_schema().names()
            rows = int(lazy.select(pl.len()).collect().item())
        _require_columns(columns, found, str(path))
        # A Parquet file of a few bytes can stand for any number of equal values.
        table_bytes = rows * len(columns) * _BYTES_PER_VALUE
        if table_bytes > sources.MAX_UNPACKED_BYTES:
            raise DataError(
                f"{path}: {rows} rows take {table_bytes} bytes, above "
                f"MAX_UNPACKED_BYTES = {sources.MAX_UNPACKED_BYTES}",
                hint="keep fewer rows",
            )
        with _quiet_panics():
            frame = pl.read_parquet(io.BytesIO(data), columns=list(columns))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise damaged from None
    return TableFile(frame.select(columns), str(path))


@contextmanager
def _quiet_panics() -> Iterator[None]:
    """polars writes a Rust backtrace for a damaged file straight to descriptor 2, past Python."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def numbers(
    table: TableFile, name: str, minimum: float | None = None, maximum: float | None = None
) -> npt.NDArray[np.float64]:
    """Column `name` as float64, shape (N,).

    Raises:
      DataError: a value is absent, not a number, not finite, or outside [minimum, maximum].
    """
    column = table.frame[name]
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        values = text.cast(pl.Float64, strict=False)
        if values.null_count():
            boolean = text.str.to_lowercase().replace_strict(
                {"false": 0.0, "true": 1.0}, default=None, return_dtype=pl.Float64
            )
            values = values.fill_null(boolean)
    elif column.dtype.is_numeric() or column.dtype == pl.Boolean:
        values = column.cast(pl.Float64)
    else:
        raise DataError(
            f"{table.file}: column {name} holds {column.dtype}, not numbers",
            hint="write it as numbers, or make it a category in the charter",
        )
    if values.null_count():
        row = int(values.is_null().arg_max() or 0)
        raise table.error(
            row,
            name,
            _what(column[row], "is not a number"),
            hint="every row needs a number here; remove rows without one",
        )
    values_N = values.to_numpy()
    finite_N = np.isfinite(values_N)
    if not finite_N.all():
        row = int(np.argmin(finite_N))
        raise table.error(
            row, name, f"{values_N[row]} is not a finite number", hint="remove or mend the row"
        )
    for bound, key, outside_N in (
        (minimum, "minimum", None if minimum is None else values_N < minimum),
        (maximum, "maximum", None if maximum is None else values_N > maximum),
    ):
        if outside_N is not None and outside_N.any():
            row = int(np.argmax(outside_N))
            side = "below" if key == "minimum" else "above"
            raise table.error(
                row,
                name,
                f"{values_N[row]:g} is {side} {key} = {bound:g}",
                hint="mend the row, or widen the range in the charter",
            )
    return values_N


def categories(table: TableFile, name: str, allowed: Sequence[str | int]) -> Int64s:
    """Column `name` as positions in `allowed`, int64 of shape (N,).

    Raises:
      DataError: a value is absent or not allowed.
    """
    column = table.frame[name]
    text = table.spelled(name, "categories")
    exact, alike = spelling.positions(allowed)
    codes = text.replace_strict(alike | exact, default=None, return_dtype=pl.Int64)
    if column.dtype == pl.String:
        letters = spelling.seen(column)
        by_letters = letters.replace_strict(exact, default=None, return_dtype=pl.Int64)
        codes = by_letters.zip_with(by_letters.is_not_null(), codes)
    if codes.null_count():
        row = int(codes.is_null().arg_max() or 0)
        shown = ", ".join(map(str, allowed[:12])) + (", ..." if len(allowed) > 12 else "")
        raise table.error(
            row,
            name,
            _what(_shown(column, text, row), "is not one of its values"),
            hint=f"the charter allows {shown}",
        )
    return codes.to_numpy()


def _what(value: object, problem: str) -> str:
    if value is None or value == "":
        return "has no value"
    shown = repr(value) if isinstance(value, str) else str(value)
    return f"{shown if len(shown) <= 40 else shown[:37] + '...'} {problem}"


def _shown(column: pl.Series, text: pl.Series, row: int) -> object:
    """The value of a row as the file has it, where that is text or a number."""
    if text[row] is None:
        return None
    if column.dtype == pl.String:
        return spelling.seen(column[row : row + 1])[0]
    return column[row] if column.dtype.is_numeric() or column.dtype == pl.Boolean else text[row]


def encode(table: TableFile, columns: Sequence[Column]) -> tuple[Float32s, list[str]]:
    """Features of shape (N, F), all in [0, 1], and their F names.

    A number is scaled by the column's range; a category becomes one feature per value it may have.

    Raises:
      DataError: a value does not fit its column.
    """
    widths = [1 if column.kind == "number" else len(column.values or ()) for column in columns]
    needed_bytes = len(table) * sum(widths) * np.dtype(np.float32).itemsize
    if needed_bytes > sources.MAX_UNPACKED_BYTES:
        raise DataError(
            f"{table.file}: {len(table)} rows of {sum(widths)} features take {needed_bytes} bytes, "
            f"above MAX_UNPACKED_BYTES = {sources.MAX_UNPACKED_BYTES}",
            hint="keep fewer rows, or categories with fewer values",
        )
    x_NF = np.zeros((len(table), sum(widths)), dtype=np.float32)
    rows_N = np.arange(len(table))
    names: list[str] = []
    for column, width in zip(columns, widths, strict=True):
        first = len(names)
        if column.kind == "number":
            assert column.minimum is not None
            assert column.maximum is not None
            values_N = numbers(table, column.name, column.minimum, column.maximum)
            x_NF[:, first] = (values_N - column.minimum) / (column.maximum - column.minimum)
            names.append(column.name)
        else:
            allowed = column.values or []
            x_NF[rows_N, first + categories(table, column.name, allowed)] = 1.0
            names += [f"{column.name}={value}" for value in allowed]
        assert len(names) == first + width
    return x_NF, names


def text(table: TableFile, name: str) -> npt.NDArray[np.str_]:
    """Column `name` as text of shape (N,), to deal by; an absent value is empty text."""
    return np.asarray(table.frame[name].cast(pl.String).fill_null("").to_list(), dtype=np.str_)


def groups(table: TableFile, name: str) -> npt.NDArray[np.str_]:
    """Column `name` as the names of groups, one spelling for each, of shape (N,).

    Raises:
      DataError: a value is absent, in whatever way; its type has no text.
    """
    column, text = table.frame[name], table.spelled(name, "groups")
    hint = "every row needs its group: give it one, or leave the row out"
    if text.null_count():
        row = int(text.is_null().arg_max() or 0)
        raise table.error(row, name, "has no value", hint=hint)
    absent = spelling.absent(text)
    if absent.any():
        row = int(absent.arg_max() or 0)
        raise table.error(
            row, name, f"{_shown(column, text, row)!r} stands for no value", hint=hint
        )
    inexact = spelling.inexact(text)
    if inexact.any():
        row = int(inexact.arg_max() or 0)
        raise table.error(
            row,
            name,
            f"{text[row]} is a float, which tells whole numbers from 2^53 on no longer apart",
            hint="write such numbers as integers or as text",
        )
    return np.asarray(text.to_list(), dtype=np.str_)


def numbered(values_N: npt.NDArray[np.str_]) -> Int64s:
    """Names of groups as numbers from 0, in order of the names, int64 of shape (N,)."""
    codes_N: Int64s = np.unique(values_N, return_inverse=True)[1].astype(np.int64)
    return codes_N
