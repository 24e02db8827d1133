"""What values and types are called in messages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches

import msgspec
from msgspec import inspect

from troth.protocols.registry import PROTOCOLS


def kind(value: object) -> str:
    """What a TOML value is: `a whole number`."""
    match value:
        case bool():
            return "a boolean"
        case int():
            return "a whole number"
        case float():
            return "a number with a point"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def wanted(type_: inspect.Type) -> str:
    """What a value of `type_` is called: `a whole number`, `one of "mean", "median"`."""
    match type_:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.StrType():
            return "a string"
        case inspect.LiteralType():
            values = [quoted(value) for value in declared(type_)]
            return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
        case inspect.ListType():
            return "an array"
        case inspect.UnionType():
            parts = [wanted(part) for part in alternatives(type_)]
            return " or ".join(dict.fromkeys(parts))
        case _:
            return "a table"


def alternatives(type_: inspect.UnionType) -> list[inspect.Type]:
    """The types a union offers a file. TOML has no null: what may be None may be left out."""
    return [part for part in type_.types if not isinstance(part, inspect.NoneType)]


def declared(type_: inspect.LiteralType) -> list[object]:
    """The values of a literal; msgspec keeps them sorted."""
    return list(type_.values)


def quoted(value: object) -> str:
    """A value as a file would spell it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` may be a slip of."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def listing(name: str, known: Iterable[str], *, what: str) -> str:
    """A hint: the nearest of the known names, and all of them."""
    names = list(known)
    near = nearest(name, names)
    guess = "" if near is None else f'did you mean "{near}"? '
    return f"{guess}{what}: {', '.join(names)}"


def example(name: str, type_: inspect.Type) -> str:
    """A line that gives key `name` a value of `type_`."""
    special = _EXAMPLES.get(name)
    if special is not None:
        return special
    return f"{name} = {_example_value(type_)}"


_EXAMPLES = {
    "name": 'name = "my-charter"',
    "task": '[task] with kind = "classification", data = "digits", model = "softmax"',
    "training": "[training] with rounds = 10, learning_rate = 0.1",
    "parties": "[parties] with count = 10",
    "data": 'data = "digits"',
    "model": 'model = "softmax"',
    "protocol": f'protocol = "{PROTOCOLS[0].name}"',
    "callable": 'callable = "task:function"',
    "train": 'train = "train.csv"',
    "hidden": "hidden = [64]",
    "schema": "[task.data.schema] with target and classes, and columns or shape",
    "party": 'party = "party-00"',
    "node": 'node = "party-00"',
    "groups": 'groups = [["party-00", "party-01"], ["party-02"]]',
}


def _example_value(type_: inspect.Type) -> str:
    match type_:
        case inspect.BoolType():
            return "true"
        case inspect.IntType():
            return "10"
        case inspect.FloatType():
            return "0.1"
        case inspect.LiteralType():
            return quoted(declared(type_)[0])
        case inspect.ListType():
            return "[...]"
        case inspect.UnionType():
            return _example_value(alternatives(type_)[0])
        case inspect.StrType():
            return '"..."'
        case _:
            return "{ ... }"


def struct_fields(cls: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """The keys that a table may hold, with their types and defaults."""
    type_ = inspect.type_info(cls)
    assert isinstance(type_, inspect.StructType)
    return type_.fields
