"""Why a document is not a table of some type, in words of our own.

msgspec decides whether a document converts; this module says why it does not. It walks the same
type in the order of the file, so that the first problem is the first that a reader meets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from operator import ge, gt, le, lt

import msgspec
from msgspec import inspect

from troth.charter.file import FILE_KEYS
from troth.charter.keys import Key, dotted
from troth.charter.shorthand import short_form
from troth.charter.words import (
    alternatives,
    example,
    kind,
    listing,
    quoted,
    struct_fields,
    wanted,
)
from troth.errors import CharterError
from troth.specification import DIGEST_PATTERN, NAME_PATTERN, REFERENCE_PATTERN, Table

_PATTERNS = {
    REFERENCE_PATTERN: ("is not of the form module:callable", 'for example "task:load"'),
    NAME_PATTERN: (
        "is not 1 to 64 lower-case letters, digits, dots, dashes and underscores",
        'for example name = "my-charter"; it begins with a letter or a digit',
    ),
    DIGEST_PATTERN: (
        "is no digest",
        "sha256: and 64 hexadecimal digits, as troth check prints it",
    ),
}
"""What the patterns of `troth.specification` and the charter ask for, in words."""


def explain(document: object, cls: type[msgspec.Struct]) -> CharterError | None:
    """The first thing that is wrong with `document` as a `cls`; None if nothing is.

    Keys are relative to `document`, which is spelt out.
    """
    return next(_problems(document, inspect.type_info(cls), ()), None)


def not_finite(document: object, cls: type[msgspec.Struct]) -> CharterError | None:
    """The first infinity or NaN in the document of a table, and what its key takes instead. TOML
    has both; no key of ours takes them."""
    error = next(_not_finite(document, ()), None)
    if error is None:
        return None
    problems = _problems(document, inspect.type_info(cls), ())
    of_key = next((each for each in problems if each.key == error.key), error)
    return CharterError(error.problem, key=error.key, value=error.value, hint=of_key.hint)


def _not_finite(value: object, key: Key) -> Iterator[CharterError]:
    if isinstance(value, float) and not math.isfinite(value):
        yield _problem(
            "is not a finite number", key, value, hint="give an ordinary number, or remove the key"
        )
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _not_finite(inner, (*key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, (*key, index))


def _problems(value: object, type_: inspect.Type, key: Key) -> Iterator[CharterError]:
    match type_:
        case inspect.StructType():
            yield from _table(value, type_, key)
        case inspect.UnionType():
            yield from _union(value, type_, key)
        case inspect.ListType():
            yield from _array(value, type_, key)
        case inspect.DictType():
            if not isinstance(value, dict):
                yield _wrong_kind(value, type_, key)
                return
            for name, inner in value.items():
                if isinstance(type_.key_type, inspect.LiteralType):
                    known = [str(each) for each in type_.key_type.values]
                    if name not in known:
                        yield _unknown(name, known, key)
                yield from _problems(inner, type_.value_type, (*key, name))
        case inspect.LiteralType():
            yield from _literal(value, type_, key)
        case inspect.IntType() | inspect.FloatType():
            yield from _number(value, type_, key)
        case inspect.StrType():
            yield from _string(value, type_, key)
        case inspect.BoolType():
            if not isinstance(value, bool):
                yield _wrong_kind(value, type_, key)
        case _:
            raise AssertionError(f"no table has a key of type {type_}")


def _number(
    value: object, type_: inspect.IntType | inspect.FloatType, key: Key
) -> Iterator[CharterError]:
    whole = isinstance(type_, inspect.IntType)
    bounds = [
        (bound, *each) for name, *each in _BOUNDS if (bound := getattr(type_, name)) is not None
    ]
    allowed = " and ".join(f"{allows} {bound}" for bound, _, _, allows in bounds)
    takes = f"give {wanted(type_)} {allowed}".rstrip()
    if isinstance(value, float) and not math.isfinite(value):
        yield _problem("is not a finite number", key, value, hint=takes)
        return
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        hint = None
        if whole and isinstance(value, float) and value.is_integer():
            hint = f"write {int(value)}, without the point"
        elif isinstance(value, str) and re.fullmatch(r"-?[\d.]+", value):
            hint = f"write {value}, without the quotes"
        yield _wrong_kind(value, type_, key, hint=hint)
        return
    assert isinstance(value, int | float)
    for bound, breaks, problem, _ in bounds:
        if breaks(value, bound):
            yield _problem(f"{problem} {bound}", key, value, hint=takes)
            return
    if not whole and isinstance(value, int) and abs(value) > 10**300:
        yield _problem("is too large for a number", key, value, hint=takes)


_BOUNDS: tuple[tuple[str, Callable[[float, float], bool], str, str], ...] = (
    ("ge", lt, "is below", "at least"),
    ("gt", le, "is not above", "above"),
    ("le", gt, "is above", "at most"),
    ("lt", ge, "is not below", "below"),
)
"""The bounds that a number may have: the name, what breaks it, and that and what it allows in
words."""


def _string(value: object, type_: inspect.StrType, key: Key) -> Iterator[CharterError]:
    if not isinstance(value, str):
        yield _wrong_kind(value, type_, key, hint="strings stand in quotes")
    elif type_.pattern is not None and re.search(type_.pattern, value) is None:
        problem, hint = _PATTERNS[type_.pattern]
        yield _problem(problem, key, value, hint=hint)


def _literal(value: object, type_: inspect.LiteralType, key: Key) -> Iterator[CharterError]:
    values = type_.values
    # A bool equals 0 or 1 in Python, but not in a file.
    if any(value == known and type(value) is type(known) for known in values):
        return
    if isinstance(value, str) and all(isinstance(known, str) for known in values):
        hint = listing(value, [str(known) for known in values], what="choose one of")
    else:
        hint = f"write {dotted(key[-1:])} = {quoted(values[0])}"
    yield _problem(f"is not {wanted(type_)}", key, value, hint=hint)


def _array(value: object, type_: inspect.ListType, key: Key) -> Iterator[CharterError]:
    if not isinstance(value, list):
        yield _wrong_kind(value, type_, key, hint="arrays stand in brackets: [ ... ]")
        return
    if type_.min_length is not None and len(value) < type_.min_length:
        yield _problem(
            f"has {len(value)} entries, fewer than {type_.min_length}", key, value, hint="add some"
        )
    elif type_.max_length is not None and len(value) > type_.max_length:
        yield _problem(
            f"has {len(value)} entries, more than {type_.max_length}", key, value, hint="drop some"
        )
    for index, inner in enumerate(value):
        yield from _problems(inner, type_.item_type, (*key, index))


def _union(value: object, type_: inspect.UnionType, key: Key) -> Iterator[CharterError]:
    parts = alternatives(type_)
    tables = [part for part in parts if isinstance(part, inspect.StructType)]
    if len(parts) == 1:
        yield from _problems(value, parts[0], key)
    elif tables:
        yield from _tagged(value, tables, key)
    else:
        # One of the parts takes the value, or the one of its kind says what is wrong with it.
        found = [next(_problems(value, part, key), None) for part in parts]
        if None in found:
            return
        for part, error in zip(parts, found, strict=True):
            if isinstance(part, _TYPES_OF_KIND[kind(value)]):
                assert error is not None
                yield error
                return
        yield _wrong_kind(value, type_, key)


_TYPES_OF_KIND: Mapping[str, tuple[type[inspect.Type], ...]] = {
    "a boolean": (inspect.BoolType,),
    "a whole number": (inspect.IntType, inspect.FloatType),
    "a number with a point": (inspect.FloatType,),
    "a string": (inspect.StrType,),
    "an array": (inspect.ListType,),
    "a table": (inspect.DictType,),
    "a date or time": (),
}


def _tagged(value: object, tables: list[inspect.StructType], key: Key) -> Iterator[CharterError]:
    by_tag = {str(table.tag): table for table in tables}
    tag_field = tables[0].tag_field
    assert tag_field is not None
    if not isinstance(value, dict):
        yield _wrong_kind(value, tables[0], key, hint=_short_hint(key))
        return
    if tag_field not in value:
        yield _problem("is missing", (*key, tag_field), hint=f"one of: {', '.join(by_tag)}")
        return
    tag = value[tag_field]
    if not isinstance(tag, str):
        yield _wrong_kind(tag, inspect.StrType(), (*key, tag_field))
    elif tag not in by_tag:
        place = key if set(value) == {tag_field} and short_form(key) else (*key, tag_field)
        yield _problem("is not known", place, tag, hint=listing(tag, by_tag, what="choose one of"))
    else:
        yield from _table(value, by_tag[tag], key)


def _table(value: object, type_: inspect.StructType, key: Key) -> Iterator[CharterError]:
    if not isinstance(value, dict):
        yield _wrong_kind(value, type_, key, hint=_short_hint(key))
        return
    fields = {field.name: field for field in struct_fields(type_.cls)}
    for name, inner in value.items():
        if name in fields:
            yield from _problems(inner, fields[name].type, (*key, name))
        elif issubclass(type_.cls, Table) and (place := type_.cls.moved.get(name)):
            yield _problem("has another place now", (*key, name), hint=f"say it in {place}")
        elif name != type_.tag_field:
            yield _unknown(name, list(fields), key)
    for name, field in fields.items():
        if field.required and name not in value:
            yield _problem("is missing", (*key, name), hint=f"add {example(name, field.type)}")


def _unknown(name: str, known: list[str], key: Key) -> CharterError:
    where = f"[{dotted(key)}]" if key else "the top level"
    if key and name in FILE_KEYS:
        hint = f"{name} belongs to the top level: write it above the first [table]"
    elif known:
        hint = listing(name, known, what=f"keys of {where}")
    else:
        hint = f"{where} takes no other key"
    return _problem("is not a known key", (*key, name), hint=hint)


def _short_hint(key: Key) -> str | None:
    form = short_form(key)
    return None if form is None else f"write a table, or the short form {form.example}"


def _wrong_kind(
    value: object, type_: inspect.Type, key: Key, hint: str | None = None
) -> CharterError:
    if hint is None:
        name = key[-1]
        hint = (
            f"every entry is {wanted(type_)}"
            if isinstance(name, int)
            else f"write {example(name, type_)}"
        )
    return _problem(f"is {kind(value)}, not {wanted(type_)}", key, value, hint=hint)


def _problem(problem: str, key: Key, value: object = ..., hint: str | None = None) -> CharterError:
    return CharterError(problem, key=dotted(key) or None, value=value, hint=hint)
