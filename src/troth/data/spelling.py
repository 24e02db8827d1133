"""One spelling for a value, whatever kind of file and type it comes in.

A patient 7 is the integer 7 in one file, the float 7.0 in another, and text in a third; a label is
`True` in the CSV that Python writes and `true` in Parquet. Spelled in two ways, one patient would
count as two and leak from training into the test. So labels, categories and groups of every file
pass through `spelled`:

| value                               | spelling                                              |
|-------------------------------------|-------------------------------------------------------|
| text, bytes of UTF-8                | itself in NFC, without what is not seen around it     |
| boolean; text `True`, `TRUE`        | `true`, `false`                                       |
| whole number; 7.0; text `7.0`       | `7`                                                   |
| other number; text `7.50`, `1e+05`  | its shortest decimals: `7.5`, `100000`                |
| date; midnight without a zone       | `2020-01-02`                                          |
| time; text `2020-01-02T03:04:05`    | `2020-01-02 03:04:05`                                 |
| time with a zone                    | in UTC: `2020-01-02 03:04:05+00:00`                   |
| absent, NaN, NaT, nothing to see    | none: null                                            |

A float from 2^53 on no longer tells whole numbers apart, so it names no group (`inexact`).

A charter's own values are spelled in the same way, and one that is in the file letter by letter
goes before one that is only spelled alike (`positions`).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

_ABSENT = [
    *("nan", "nat", "na", "n/a", "n.a.", "<na>", "null", "(null)", "none", "nil", "void"),
    *("missing", "unknown", "undefined", "not available", "not applicable", "inf", "infinity"),
    *("#n/a", "#n/a n/a", "#na", "#null!", "#value!", "#ref!", "#div/0!", "#num!", "#name?"),
    *("1.#ind", "1.#qnan", "1.#inf"),
]
"""How programs and people write an absent value as text, in small letters and without a sign."""

_EXACT = 2.0**53
"""Whole floats below this are integers without a doubt."""

_UNSEEN = "".join(
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc", "Cf")
    or character in "\u115f\u1160\u2800\u3164\uffa0"
)
"""Characters that nobody sees at either end of a text: blanks, control and format characters such
as the zero-width space and a byte order mark, and the fillers that are letters or symbols."""

_FLOAT = re.compile(r"-?[0-9]+\.[0-9]*|-?[0-9]+(?:\.[0-9]+)?[eE][+-][0-9]+")
"""Text that a program has written of a float: R writes 100000 as 1e+05. Without the sign, 1e05 may
be a name."""

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]+)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
"""Text of a date with its time, as in ISO 8601."""

_ONE_OF_THEM = rf"^(?:{_FLOAT.pattern}|{_MOMENT.pattern})$"


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
    if isinstance(kind, pl.Datetime):
        return _moments(column, kind)
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
        return text.str.replace(r"(:\d\d\.\d*?)0+$", "$1").str.replace(r"\.$", "")
    text = seen(text)
    text = text.set(text == "", None)
    if kind.is_decimal():
        return text.str.replace(r"(\.\d*?)0+$", "$1").str.replace(r"\.$", "")
    return _like_others(text)


def seen(text: pl.Series) -> pl.Series:
    """Text without the characters at its ends that nobody sees."""
    return text.str.normalize("NFC").str.strip_chars(_UNSEEN)


def absent(text: pl.Series) -> pl.Series:
    """Which texts stand for an absent value, as programs and people write it; null where null.

    As a group these are refused; a category may be called so, where the charter lists it. What has
    neither letter nor digit nor symbol, such as `-` and `?`, names nobody.
    """
    small = text.str.to_lowercase().str.strip_chars_start("+-")
    return small.is_in(_ABSENT) | ~text.str.contains(r"[\p{L}\p{N}\p{M}\p{So}]")


def inexact(text: pl.Series) -> pl.Series:
    """Which spellings are of floats that no longer tell whole numbers apart; null where null."""
    return text.str.contains(r"^-?[0-9]+\.0$|^-?[0-9]+(\.[0-9]+)?e\+[0-9]+$")


def positions(allowed: Sequence[str | int]) -> tuple[dict[str, int], dict[str, int]]:
    """Where each allowed value stands, by its letters and by its spelling.

    Where exactly 0 and 1 are allowed, booleans are these. A spelling that two values have is left
    out, since it would not tell which is meant.
    """
    exact = {str(value): place for place, value in enumerate(allowed)}
    alike: dict[str, int] = {}
    twice: set[str] = set()
    spellings = _like_others(seen(pl.Series(list(exact), dtype=pl.String))).to_list()
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
        if array.itemsize == 2:
            return pl.Series(name, _half(array))
        with np.errstate(over="ignore"):  # it becomes infinite, which is refused
            return pl.Series(name, array.astype(np.float32 if array.itemsize == 4 else np.float64))
    if kind == "S":
        return pl.Series(name, array.tolist(), dtype=pl.Binary)
    if kind == "U":
        return pl.Series(name, [_character(array, row) for row in range(len(array))], pl.String)
    if kind == "M":
        unit = np.datetime_data(array.dtype)[0]
        wanted = "D" if unit in "YMWD" else {"h": "ms", "m": "ms", "s": "ms"}.get(unit, unit)
        if wanted in ("D", "ms", "us", "ns"):
            moments = array.astype(f"datetime64[{wanted}]")
            # Numpy goes round where a finer unit cannot hold a time so far away.
            wrong = (moments.astype(array.dtype) != array) & ~np.isnat(array)
            if wrong.any():
                raise UnspelledError("is too far away for a time", int(np.argmax(wrong)))
            return pl.Series(name, moments)
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
    if column.dtype == pl.Float16:
        column = pl.Series(column.name, _half(column.to_numpy()))
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


def _half(array: npt.NDArray[Any]) -> list[float]:
    """Half floats as those that their shortest decimals are."""
    return [float(str(value)) for value in array.astype(np.float16)]


def _moments(column: pl.Series, kind: pl.Datetime) -> pl.Series:
    zone = kind.time_zone is not None
    if zone:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    text = column.cast(pl.String)
    text = text.str.replace(r"(:\d\d\.\d*?)0+$", "$1").str.replace(r"\.$", "")
    if zone:
        return text + "+00:00"
    return text.str.replace(r" 00:00:00$", "")


def _like_others(text: pl.Series) -> pl.Series:
    """Text of booleans, floats and times, spelled as these are."""
    small = text.str.to_lowercase()
    text = small.zip_with(small.is_in(["true", "false"]), text)
    text = text.str.replace(r"^(-?\d{1,15})\.0*$", "$1").str.replace(r"^-0+$", "0")
    rows = text.str.contains(_ONE_OF_THEM).arg_true()
    if not len(rows):
        return text
    written = text.gather(rows)
    respelled = {value: _like_other(value) for value in written.unique()}
    return text.scatter(rows, written.replace_strict(respelled, return_dtype=pl.String))


def _like_other(text: str) -> str:
    moment = _MOMENT.fullmatch(text)
    if moment is None:
        number = float(text)
        return str(int(number) if number.is_integer() and abs(number) < _EXACT else number)
    day, minutes, seconds, fraction, zone = moment.groups()
    clock = minutes + (seconds or ":00")
    fraction = (fraction or "").rstrip("0").removesuffix(".")
    if zone is None:
        return day if clock == "00:00:00" and not fraction else f"{day} {clock}{fraction}"
    try:
        utc = datetime.fromisoformat(f"{day} {clock}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{utc:%Y-%m-%d %H:%M:%S}{fraction}+00:00"
