"""The charter's canonical digest: what the parties sign."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec

from troth.charter.charter import Charter
from troth.specification import Table

_EXACT_INTEGERS = 2**53


def charter_digest(charter: Charter) -> str:
    """`sha256:` and 64 hexadecimal digits over the charter's canonical JSON.

    It covers every key of the charter, with defaults filled in, short forms spelt out, and the
    paths of the charter's data files as they are written. It does not cover what stands in those
    files, the code behind a `module:callable`, or anything of the simulated world.

    Two charters that mean the same have the same digest: the order of keys, comments, short forms,
    and whether a number is written 1 or 1.0 make no difference.
    """
    return f"sha256:{sha256(canonical_json(charter)).hexdigest()}"


def canonical_json(charter: Charter) -> bytes:
    """UTF-8 JSON without spaces, keys in code-point order.

    A number that is whole and below 2^53 is written without a point, as in RFC 8785; any other is
    the shortest decimal that reads back as the same double, as Python writes it. Keys that are
    absent and have no default are null. Keys that a table did not have at first (`Table.added`)
    are left out while they have their defaults.
    """
    said = msgspec.to_builtins(charter)
    _drop_added(charter, said)
    text = json.dumps(
        _canonical(said),
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    return text.encode()


def _drop_added(value: object, said: Any) -> None:
    """Take what `Table.added` names and has its default out of `said`, which `value` is said as."""
    if isinstance(value, Table):
        for field in msgspec.structs.fields(value):
            inner = getattr(value, field.name)
            if field.name in value.added and inner == _default(field):
                del said[field.name]
            else:
                _drop_added(inner, said[field.name])
    elif isinstance(value, list):
        for inner, inner_said in zip(value, said, strict=True):
            _drop_added(inner, inner_said)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _drop_added(inner, said[name])


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    assert field.default is not msgspec.NODEFAULT, f"{field.name} was added without a default"
    return field.default


def _canonical(value: object) -> object:
    match value:
        case float() if value.is_integer() and abs(value) < _EXACT_INTEGERS:
            return int(value)
        case list():
            return [_canonical(inner) for inner in value]
        case dict():
            return {name: _canonical(inner) for name, inner in value.items()}
        case _:
            return value
