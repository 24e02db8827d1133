"""One spelling for a value, whatever kind of file and type it comes in.

A patient 7 is the integer 7 in one file, the float 7.0 in another, and text in a third; a label is
`True` in the CSV that Python writes and `true` in Parquet. Spelled in two ways, one patient would
count as two and leak from training into the test. So labels, categories and groups of every file
pass through `spelled`:

| value                               | spelling                                              |
|-------------------------------------|-------------------------------------------------------|
| text, bytes of UTF-8                | itself, without the blanks around it                  |
| boolean; text `True`, `TRUE`        | `true`, `false`                                       |
| whole number; 7.0; text `7.0`       | `7`                                                   |
| other number                        | its shortest decimals                                 |
| date; time                          | `2020-01-02`; `2020-01-02 03:04:05`                   |
| absent, NaN, NaT, nothing but blanks| none: null                                            |

A charter's own values are spelled in the same way, and one that is in the file letter by letter
goes before one that is only spelled alike (`positions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

ABSENT = ("nan", "nat", "na", "<na>", "null", "none")
"""How programs write an absent value as text, in small letters. As a group these are refused; a
category may be called so, where the charter lists it."""

_EXACT = 2.0**53
"""Whole floats below this are integers without a doubt."""


class UnspelledError(Exception):
    """A value has no text: the problem, and its row from 0 where it is not the whole column's."""

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.row = problem, row


def spelled(column: pl.Series) -> pl.Series:
    """The column as text, null where there is no value.

    Raises:
      UnspelledError: its type has no text, or a value is no text.
    """
    kind = column.dtype
    if kind.is_float():
        return _floats(column)
    if kind.is_nested() or kind in (pl.Duration, pl.Object):
        raise UnspelledError(f"holds {kind}")
    if kind == pl.Binary:
        column = pl.Series(column.name, [_decoded(*pair) for pair in enumerate(column.to_list())])
    try:
        text = column.cast(pl.String)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise UnspelledError(f"holds {kind}") from None
    if kind.is_temporal():
        return text.str.replace(r"(:\d\d\.\d*?)0+( |$)", "$1$2").str.replace(r"\.( |$)", "$1")
    text = text.str.strip_chars()
    text = text.set(text == "", None)
    return _like_numbers(text)


def positions(allowed: Sequence[str | int]) -> tuple[dict[str, int], dict[str, int]]:
    """Where each allowed value stands, by its letters and by its spelling.

    Where exactly 0 and 1 are allowed, booleans are these. A spelling that two values have is left
    out, since it would not tell which is meant.
    """
    exact = {str(value): place for place, value in enumerate(allowed)}
    alike: dict[str, int] = {}
    twice: set[str] = set()
    spellings = _like_numbers(pl.Series(list(exact), dtype=pl.String).str.strip_chars()).to_list()
    for place, spelling in enumerate(spellings):
        if spelling in alike:
            twice.add(spelling)
        alike[spelling] = place
    if sorted(alike) == ["0", "1"]:
        alike |= {"false": alike["0"], "true": alike["1"]}
    return exact, {spelling: place for spelling, place in alike.items() if spelling not in twice}


def from_array(array: npt.NDArray[Any], name: str) -> pl.Series:
    """A one-dimensional array as a column.

    Raises:
      UnspelledError: its type has no text, or a value is no text.
    """
    kind = array.dtype.kind
    if kind in "biu":
        return pl.Series(name, array.astype(array.dtype.newbyteorder("=")))
    if kind == "f":
        return pl.Series(name, array.astype(np.float32 if array.itemsize <= 4 else np.float64))
    if kind == "S":
        return pl.Series(name, array.tolist(), dtype=pl.Binary)
    if kind == "U":
        return pl.Series(name, [_character(array, row) for row in range(len(array))], pl.String)
    if kind == "M":
        unit = np.datetime_data(array.dtype)[0]
        wanted = "D" if unit in "YMWD" else {"h": "ms", "m": "ms", "s": "ms"}.get(unit, unit)
        if wanted in ("D", "ms", "us", "ns"):
            return pl.Series(name, array.astype(f"datetime64[{wanted}]"))
    raise UnspelledError(f"holds {array.dtype}")


def _character(array: npt.NDArray[Any], row: int) -> str:
    try:
        text = str(array[row])
        text.encode()
    except (ValueError, SystemError):
        raise UnspelledError("is no Unicode text", row) from None
    return text


def _decoded(row: int, value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        shown = repr(value)
        raise UnspelledError(
            f"{shown if len(shown) <= 40 else shown[:37] + '...'} is not UTF-8 text", row
        ) from None


def _floats(column: pl.Series) -> pl.Series:
    column = column.fill_nan(None)
    whole = (column == column.floor()) & (column.abs() < _EXACT)
    text = column.set(~whole, None).cast(pl.Int64).cast(pl.String)
    rows = (~whole).arg_true()
    if not len(rows):
        return text
    # As Python writes them, and so CSV files: the shortest decimals that give the float back.
    texts: list[str | None] = text.to_list()
    for row, value in zip(rows.to_list(), column.gather(rows).to_numpy(), strict=True):
        texts[row] = str(value)
    return pl.Series(column.name, texts, pl.String)


def _like_numbers(text: pl.Series) -> pl.Series:
    """Text of booleans and of whole floats, spelled as these are."""
    small = text.str.to_lowercase()
    boolean = small.is_in(["true", "false"])
    return (
        small.zip_with(boolean, text).str.replace(r"^(-?\d+)\.0+$", "$1").str.replace(r"^-0+$", "0")
    )
