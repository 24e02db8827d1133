"""The JSON Schema of a scenario file, for editors and for `troth schema`."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from troth.charter.charter import Charter
from troth.charter.file import CHARTER_KEYS, ScenarioFile
from troth.charter.scenario import Scenario
from troth.charter.shorthand import SHORT_FORMS
from troth.privacy.spec import NoPrivacy
from troth.protocols.registry import PROTOCOLS
from troth.specification import REFERENCE_PATTERN, ShortForm, Table

Node = dict[str, Any]
"""A part of a JSON Schema."""

_AROUND = ("description", "default")
"""What a key says besides its type."""


def json_schema() -> Node:
    """The JSON Schema (2020-12) of a scenario file, short forms and `charter = "..."` included.

    It says what single keys may hold; how tables must fit each other only `troth check` says.
    Descriptions are the docstrings of the tables and of their keys.
    """
    _, components = msgspec.json.schema_components([ScenarioFile], ref_template="#/$defs/{name}")
    tables: dict[str, Node] = {name: _plain(table) for name, table in components.items()}
    # Whoever uses the noise that is usual for a protocol need not name it.
    usual = {protocol.privacy[0] for protocol in PROTOCOLS} - {NoPrivacy}
    for name, table in tables.items():
        _describe(table, _TABLES[name])
        if _TABLES[name][0] in usual:
            table["required"] = [key for key in table["required"] if key != "mechanism"]
        for key, node in table.get("properties", {}).items():
            table["properties"][key] = _without_null(node)
    for place, form in SHORT_FORMS.items():
        for home, key in _homes(tables, place):
            _allow_short(tables, home, key, form)
    return _whole(tables)


def _whole(tables: Mapping[str, Node]) -> Node:
    """The file: its charter's keys at the top level, or in another file, but not both."""
    top = tables["ScenarioFile"]
    charter_required = [name for name in top["required"] if name in CHARTER_KEYS]
    properties: Node = {
        **top["properties"],
        "charter": {
            "type": "string",
            "description": "Path of the charter file, relative to this one.",
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Troth scenario",
        "description": top["description"],
        "type": "object",
        "properties": properties,
        "required": [name for name in top["required"] if name not in CHARTER_KEYS],
        "additionalProperties": False,
        "if": {"required": ["charter"]},
        "then": {"properties": dict.fromkeys(CHARTER_KEYS, False)},
        "else": {"required": charter_required},
        "$defs": {name: table for name, table in tables.items() if name != "ScenarioFile"},
    }


def _plain(node: Any) -> Any:
    """Without nulls in defaults, and without `discriminator`, which is OpenAPI's."""
    if isinstance(node, dict):
        return {
            key: _plain(value)
            for key, value in node.items()
            if value is not None and key != "discriminator"
        }
    return [_plain(value) for value in node] if isinstance(node, list) else node


def _without_null(node: Node) -> Node:
    """TOML has no null: a key that may be None may be left out instead."""
    options = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == len(node.get("anyOf", ())):
        return node
    rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    return {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}


def _homes(tables: Mapping[str, Node], place: str) -> list[tuple[str, str]]:
    """The tables behind a short form's place, and the key in each: of several protocols, say."""
    *above, last = [part for part in place.split(".") if part != "*"]
    names = ["ScenarioFile"]
    for part in above:
        names = [
            option["$ref"].rpartition("/")[2]
            for name in names
            if part in tables[name]["properties"]
            for node in [tables[name]["properties"][part]]
            for option in node.get("anyOf", [node])
            if "$ref" in option
        ]
    return [(name, last) for name in dict.fromkeys(names) if last in tables[name]["properties"]]


def _allow_short(tables: Mapping[str, Node], home: str, key: str, form: ShortForm) -> None:
    node = tables[home]["properties"][key]
    if "additionalProperties" in node:
        node["additionalProperties"] = _with_short(node["additionalProperties"], tables, form)
    else:
        tables[home]["properties"][key] = _with_short(node, tables, form)


def _with_short(node: Node, tables: Mapping[str, Node], form: ShortForm) -> Node:
    described: Node = {key: node[key] for key in _AROUND if key in node}
    table = {key: value for key, value in node.items() if key not in _AROUND}
    short: list[Node] = []
    if form.number:
        short.append({"type": "number", "minimum": 0})
    else:
        short.append({"enum": _short_names(table, tables, form)})
    if form.callable_form is not None:
        short.append({"type": "string", "pattern": REFERENCE_PATTERN})
    return {**described, "anyOf": [*short, *table.get("anyOf", [table])]}


def _short_names(node: Node, tables: Mapping[str, Node], form: ShortForm) -> list[str]:
    """The names that make a complete table by themselves."""
    names: list[str] = []
    for option in node.get("anyOf", [node]):
        table = tables[option["$ref"].rpartition("/")[2]]
        given = {form.name_key, *(key for key, _ in form.fixed)}
        fixed = all(value in _values(table, key) for key, value in form.fixed)
        if fixed and given >= set(table.get("required", ())):
            names += _values(table, form.name_key)
    return names


def _values(table: Node, key: str) -> list[str]:
    return list(table["properties"].get(key, {}).get("enum", ()))


def _all_tables(cls: type[Table]) -> dict[str, type[Table]]:
    found: dict[str, type[Table]] = {}
    for inner in cls.__subclasses__():
        found[inner.__name__] = inner
        found.update(_all_tables(inner))
    return found


_TABLES: dict[str, tuple[type[Table], ...]] = {
    **{name: (cls,) for name, cls in _all_tables(Table).items()},
    "ScenarioFile": (Charter, Scenario),
}
"""The classes whose keys stand in the table of a name."""


def _describe(table: Node, classes: Sequence[type[Table]]) -> None:
    """Puts docstrings into a table's schema: its own, and one for every key that has one."""
    if "description" in table:
        table["description"] = inspect.cleandoc(table["description"])
    texts: dict[str, str] = {}
    for cls in classes:
        texts |= _key_docstrings(cls)
    for key, node in table["properties"].items():
        if key in texts:
            node["description"] = texts[key]


def _key_docstrings(cls: type[Table]) -> dict[str, str]:
    """The strings that stand below the annotations in a table's source, its bases' included."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Table) or base is Table:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, after in zip(definition.body, definition.body[1:], strict=False):
            match field, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = inspect.cleandoc(text)
    return texts
