"""Every table that a charter can hold, by the place where it stands."""

from __future__ import annotations

from typing import Any

import msgspec

from troth.charter.charter import Charter


def charter_tables() -> dict[str, type[Any]]:
    """All tables by place: `training`, `protocol(federated).aggregation(krum)`. The charter itself
    stands at `charter`; in brackets is the tag where a key may hold several tables, and `[]` stands
    for each entry of a list."""
    found: dict[str, type[Any]] = {}

    def walk(type_: Any, place: str) -> None:
        match type_:
            case msgspec.inspect.StructType(cls=cls, fields=keys, tag=tag):
                place += "" if tag is None else f"({tag})"
                found[place or "charter"] = cls
                for key in keys:
                    walk(key.type, f"{place}.{key.encode_name}" if place else key.encode_name)
            case msgspec.inspect.UnionType(types=types):
                for each in types:
                    walk(each, place)
            case msgspec.inspect.ListType(item_type=item):
                walk(item, f"{place}[]")
            case _:
                pass

    walk(msgspec.inspect.type_info(Charter), "")
    return found
