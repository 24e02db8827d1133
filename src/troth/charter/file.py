"""The scenario file as one table, as opposed to the nested `Scenario` that the code works with."""

from __future__ import annotations

import msgspec

from troth.charter.charter import Charter
from troth.charter.scenario import Scenario
from troth.specification import Table


def _fields(cls: type[Table]) -> list[tuple[str, object, object]]:
    return [
        (field.name, field.type, msgspec.field(default=field.default))
        if field.default_factory is msgspec.NODEFAULT
        else (field.name, field.type, msgspec.field(default_factory=field.default_factory))
        for field in msgspec.structs.fields(cls)
    ]


CHARTER_KEYS = tuple(field.name for field in msgspec.structs.fields(Charter))
"""Keys that stand at the top level of a scenario, or in a charter file of their own."""

WORLD_KEYS = tuple(
    field.name for field in msgspec.structs.fields(Scenario) if field.name != "charter"
)
"""Keys that stand in a scenario only."""

FILE_KEYS = CHARTER_KEYS + WORLD_KEYS

ScenarioFile: type[msgspec.Struct] = msgspec.defstruct(
    "ScenarioFile",
    [
        *_fields(Charter),
        *(entry for entry in _fields(Scenario) if entry[0] != "charter"),
    ],
    bases=(Table,),
    kw_only=True,
    namespace={"__doc__": "A charter and a simulated world in one file."},
)
"""Charter and world side by side, without the short forms: what a file says once it is spelt
out."""


def place_in_file(key: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Where a key of `Scenario` stands in the file."""
    return key[1:] if key[:1] == ("charter",) else key
