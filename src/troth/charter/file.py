"""The scenario file as one table, as opposed to the nested `Scenario` that the code works with."""

from __future__ import annotations

from functools import cache
from typing import Any, Union

import msgspec

from troth.charter.charter import Charter
from troth.charter.scenario import Scenario
from troth.protocols.lookup import PRIVACY_TABLES, TABLES
from troth.protocols.protocol import Protocol
from troth.specification import Table


def _fields(cls: type[Table], foreign: Protocol[Any] | None) -> list[tuple[str, object, object]]:
    """Name, type and default of each key, for `msgspec.defstruct`."""
    found: list[tuple[str, object, object]] = []
    for field in msgspec.structs.fields(cls):
        type_ = field.type
        if foreign is not None and field.name == "protocol":
            type_ = Union[(*TABLES, foreign.parameters)]
        if foreign is not None and field.name == "privacy":
            type_ = Union[tuple(dict.fromkeys((*PRIVACY_TABLES, *foreign.privacy)))]  # noqa: UP007
        if field.default_factory is msgspec.NODEFAULT:
            default = msgspec.field(default=field.default)
        else:
            default = msgspec.field(default_factory=field.default_factory)
        found.append((field.name, type_, default))
    return found


CHARTER_KEYS = Charter.__struct_fields__
"""Keys that stand at the top level of a scenario, or in a charter file of their own."""

WORLD_KEYS = tuple(name for name in Scenario.__struct_fields__ if name != "charter")
"""Keys that stand in a scenario only."""

FILE_KEYS = CHARTER_KEYS + WORLD_KEYS


@cache
def scenario_file(foreign: Protocol[Any] | None = None) -> type[msgspec.Struct]:
    """Charter and world side by side, without the short forms: what a file says once it is spelt
    out.

    Args:
      foreign: a protocol that does not come with Troth, if it may have one.
    """
    world = [entry for entry in _fields(Scenario, None) if entry[0] != "charter"]
    return _defined("ScenarioFile", [*_fields(Charter, foreign), *world])


@cache
def charter_file(foreign: Protocol[Any] | None = None) -> type[msgspec.Struct]:
    """The same for a charter alone."""
    return _defined("CharterFile", _fields(Charter, foreign))


def _defined(name: str, fields: list[tuple[str, object, object]]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        name,
        fields,
        bases=(Table,),
        kw_only=True,
        namespace={"__doc__": "A charter and a simulated world in one file."},
    )


ScenarioFile = scenario_file()
"""Of the protocols that come with Troth."""


def place_in_file(key: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a key of `Scenario` stands in the file."""
    return key[1:] if key[:1] == ("charter",) else key
