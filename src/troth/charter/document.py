"""From a file's bytes to a TOML document, with errors that show the line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from troth.charter.keys import MAX_PARTS
from troth.errors import CharterError, UsageError, reason_of

MAX_FILE_BYTES = 2**20
"""Largest charter or scenario that is read; a hundred times what a long one needs."""

Document = dict[str, object]

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_text(path: Path) -> str:
    """The file's text; a leading byte-order mark is dropped.

    Raises:
      UsageError: there is no such file, or it cannot be read.
      CharterError: it is larger than `MAX_FILE_BYTES`, or not UTF-8.
    """
    if path.is_dir():
        inside = path / "scenario.toml"
        hint = f"name the file: {inside}" if inside.is_file() else "name a .toml file"
        raise UsageError(f"{path} is a folder, not a scenario", hint=hint)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist", hint="troth new FOLDER writes a charter and a scenario"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason_of(error)}") from None
    if len(data) > MAX_FILE_BYTES:
        raise CharterError(
            f"is larger than {MAX_FILE_BYTES} bytes, the most a charter or scenario may have",
            file=path,
            hint="data belongs in files of its own, named by task.data",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CharterError(
            f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x})",
            file=path,
            hint="save the file as UTF-8",
        ) from None


def parse(text: str, file: Path | str) -> Document:
    """Parses TOML text to a document of plain tables, arrays and values.

    Raises:
      CharterError: `text` is not TOML; names line and column and shows the line.
    """
    try:
        document = tomllib.loads(text)
        _check_depth(document)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text, file) from None
    except RecursionError:
        raise CharterError(
            "nests arrays or tables too deeply",
            file=file,
            hint="no key needs more than a few levels",
        ) from None
    except ValueError:
        # Python refuses to read integers of thousands of digits.
        raise CharterError(
            "holds a number with too many digits", file=file, hint="no key needs more than twenty"
        ) from None
    return document


def _check_depth(document: Document) -> None:
    """Check that no value lies deeper than `MAX_PARTS`, without going as deep as it may lie.

    Raises:
      RecursionError: one does, as if Python had met it.
    """
    level: list[object] = [document]
    for _ in range(MAX_PARTS):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise RecursionError


def without_nulls(value: Any) -> Any:
    """`value` without the keys of its tables that are None: JSON writes a key that is absent as
    null, which TOML does not have."""
    match value:
        case dict():
            return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
        case list():
            return [without_nulls(inner) for inner in value]
        case _:
            return value


def _syntax_error(message: str, text: str, file: Path | str) -> CharterError:
    lines = text.splitlines() or [""]
    place = _PLACE.search(message)
    what = message[: place.start()] if place else message
    what = what[:1].lower() + what[1:]
    if place is not None and place[1] is not None:
        row, column = int(place[1]), int(place[2])
    else:
        row, column = len(lines), len(lines[-1]) + 1
    # The parser reports the end of a line as column 1 of an empty line after the last one.
    shown = lines[row - 1] if row <= len(lines) else ""
    if len(shown) > 100:
        shown = shown[:97] + "..."
    return CharterError(
        f"line {row}, column {column} is not TOML: {what}: {shown.strip()!r}",
        file=file,
        hint=_syntax_hint(what),
    )


def _syntax_hint(what: str) -> str:
    if what.startswith("invalid value"):
        return 'strings need quotes, as in data = "digits"; numbers need a digit before the point'
    if "overwrite" in what or "twice" in what:
        return "a key or table may be given once only"
    return "a line is key = value, or the name of a table in brackets, as in [training]"
