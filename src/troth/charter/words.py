"""What values and types are called in messages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches

import msgspec
from msgspec import inspect

from troth.protocols.registry import PROTOCOLS

_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "a whole number",
    float: "a number with a point",
    str: "a string",
    list: "an array",
    dict: "a table",
}


def kind(value: object) -> str:
    """What a TOML value is: `a whole number`."""
    return _KINDS.get(type(value), "a date or time")


_WANTED: dict[type[inspect.Type], tuple[str, str]] = {
    inspect.BoolType: ("true or false", "true"),
    inspect.IntType: ("a whole number", "10"),
    inspect.FloatType: ("a number", "0.1"),
    inspect.StrType: ("a string", '"..."'),
    inspect.ListType: ("an array", "[...]"),
}
"""What a value of a type is called, and an example of one; of any other it is a table."""
_TABLE = ("a table", "{ ... }")


def wanted(type_: inspect.Type) -> str:
    """What a value of `type_` is called: `a whole number`, `one of "mean", "median"`."""
    match type_:
        case inspect.LiteralType():
            values = [quoted(value) for value in type_.values]
            return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
        case inspect.UnionType():
            parts = [wanted(part) for part in alternatives(type_)]
            return " or ".join(dict.fromkeys(parts))
        case _:
            return _WANTED.get(type(type_), _TABLE)[0]


def alternatives(type_: inspect.UnionType) -> list[inspect.Type]:
    """The types a union offers a file. TOML has no null: what may be None may be left out."""
    return [part for part in type_.types if not isinstance(part, inspect.NoneType)]


def quoted(value: object) -> str:
    """A value as a file would spell it."""
    return json.dumps(value, ensure_ascii=False, default=str)


def listing(name: str, known: Iterable[str], *, what: str) -> str:
    """A hint: the known name that `name` may be a slip of, and all of them."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    return f"{guess}{what}: {', '.join(names)}"


def example(name: str, type_: inspect.Type) -> str:
    """A line that gives key `name` a value of `type_`."""
    return _EXAMPLES.get(name) or f"{name} = {_example_value(type_)}"


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
        case inspect.LiteralType():
            return quoted(type_.values[0])
        case inspect.UnionType():
            return _example_value(alternatives(type_)[0])
        case _:
            return _WANTED.get(type(type_), _TABLE)[1]


def struct_fields(cls: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """The keys that a table may hold, with their types and defaults."""
    type_ = inspect.type_info(cls)
    assert isinstance(type_, inspect.StructType)
    return type_.fields
