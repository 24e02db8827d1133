"""The charter's canonical digest: what the parties sign."""

from __future__ import annotations

import json
from hashlib import sha256

import msgspec

from troth.charter.charter import Charter

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
    absent and have no default are null.
    """
    text = json.dumps(
        _canonical(msgspec.to_builtins(charter)),
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    return text.encode()


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
