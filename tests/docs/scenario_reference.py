"""The tables of docs/scenario.md, made from the JSON Schema that `troth schema` prints.

Run as a script, it writes them anew; a test compares them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from troth.charter.file import CHARTER_KEYS
from troth.charter.schema import json_schema
from troth.charter.shorthand import SHORT_FORMS
from troth.specification import NAME_PATTERN, REFERENCE_PATTERN

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenario.md"
BEGIN = "<!-- made by tests/docs/scenario_reference.py: change the docstrings instead -->\n"

Node = dict[str, Any]

LARGEST = 10_000_000
"""The bound of every whole number that has no other; too large to be worth a word."""


def render() -> str:
    """Every table and key of a scenario, as Markdown."""
    schema = json_schema()
    tables: dict[str, Node] = schema["$defs"]
    top = {key: schema["properties"][key] for key in schema["properties"] if key != "charter"}
    parts = ["## Keys outside of tables\n"]
    simple = {key: node for key, node in top.items() if not _tables_of(node, tables)}
    required = [*schema["required"], *schema["else"]["required"]]
    parts.append(_key_table([(key, node, key in required, "") for key, node in simple.items()]))
    for heading, keys in (
        ("The charter", [key for key in top if key in CHARTER_KEYS]),
        ("The world", [key for key in top if key not in CHARTER_KEYS]),
    ):
        parts.append(f"## {heading}\n")
        for key in keys:
            if key not in simple:
                parts += _section(key, top[key], tables)
    return "\n".join(parts)


def _section(place: str, node: Node, tables: dict[str, Node]) -> Iterator[str]:
    """The table or tables that may stand at `place`, then those inside them."""
    names = _tables_of(node, tables)
    short = SHORT_FORMS.get(place)
    brackets = f"[[{place}]]" if node.get("type") == "array" else f"[{place}]"
    yield f"### `{brackets}`\n"
    if short is not None:
        yield f"Short form: `{short.example}`.\n"
    if len(names) == 1:
        yield from _text(tables[names[0]]["description"])
    else:
        yield _variants(names, tables)
    rows = list(_rows(names, tables))
    if rows:
        yield _key_table(rows)
    inner: dict[str, Node] = {}
    for name in names:
        for key, value in tables[name].get("properties", {}).items():
            if _tables_of(value, tables):
                inner[key] = value
    for key, value in inner.items():
        yield from _section(f"{place}.{key}", value, tables)


def _variants(names: list[str], tables: dict[str, Node]) -> str:
    """One line for each table that may be chosen by its first key."""
    tag = _tag(names[0], tables)
    lines = [f"| `{tag}` | its keys | |", "|---|---|---|"]
    for name in names:
        keys = [f"`{key}`" for key in tables[name]["properties"] if key != tag]
        value = json.dumps(tables[name]["properties"][tag]["enum"][0])
        meaning = _line(tables[name]["description"])
        lines.append(f"| `{value}` | {', '.join(keys)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _rows(names: list[str], tables: dict[str, Node]) -> Iterator[tuple[str, Node, bool, str]]:
    """(key, node, required, where) of every key of the tables; equal ones of several once."""
    tag = None if len(names) == 1 else _tag(names[0], tables)
    seen: dict[str, tuple[str, Node, bool, list[str]]] = {}
    for name in names:
        for key, node in tables[name]["properties"].items():
            if key == tag:
                continue
            needed = key in tables[name]["required"]
            entry = seen.setdefault(
                json.dumps([key, node, needed], sort_keys=True), (key, node, needed, [])
            )
            if tag is not None:
                entry[3].append(str(tables[name]["properties"][tag]["enum"][0]))
    keys = [entry[0] for entry in seen.values()]
    for key, node, needed, where in seen.values():
        yield key, node, needed, ", ".join(where) if keys.count(key) > 1 else ""


def _key_table(rows: list[tuple[str, Node, bool, str]]) -> str:
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for key, node, needed, where in rows:
        default = "must be given" if needed else _default(node)
        name = f"`{key}`" + (f" ({where})" if where else "")
        lines.append(f"| {name} | {_kind(node)} | {default} | {_line(_meaning(node))} |")
    return "\n".join(lines) + "\n"


def _meaning(node: Node) -> str:
    return str(node.get("description", ""))


def _default(node: Node) -> str:
    value = node.get("default")
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, dict):
        value = _shortened(value)
    return "" if value is None else f"`{json.dumps(value)}`"


def _shortened(value: Node) -> Any:
    """What a table's short form says; None for a table that has none."""
    for form in sorted(SHORT_FORMS.values(), key=lambda form: -len(form.fixed)):
        if form.name_key in value and dict(form.fixed).items() <= value.items():
            return value[form.name_key]
    return None


def _kind(node: Node) -> str:
    """What a key may hold, in words."""
    if "anyOf" in node:
        kinds = [_kind(option) for option in node["anyOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    match node:
        case {"enum": values}:
            return ", ".join(f"`{json.dumps(value)}`" for value in values)
        case {"$ref": _}:
            return "table"
        case {"type": "array", "items": items}:
            return f"list of {_grouped(_kind(items))}"
        case {"type": "object", "additionalProperties": values}:
            return f"for each name {_grouped(_kind(values))}"
        case {"pattern": pattern} if pattern == REFERENCE_PATTERN:
            return "`module:callable`"
        case {"pattern": pattern} if pattern == NAME_PATTERN:
            return "1 to 64 of `a-z 0-9 _ . -`"
        case {"type": "integer" | "number" as number}:
            return ("whole number" if number == "integer" else "number") + _bounds(node)
        case {"type": name}:
            return {"string": "text", "boolean": "true or false"}[name]
    raise AssertionError(node)


def _grouped(kind: str) -> str:
    return f"({kind})" if " or " in kind else kind


def _bounds(node: Node) -> str:
    bounds = []
    for key, word in (
        ("minimum", "from"),
        ("exclusiveMinimum", "above"),
        ("maximum", "to"),
        ("exclusiveMaximum", "below"),
    ):
        if key in node and node[key] != LARGEST:
            bounds.append(f"{word} {node[key]:,}")
    return "".join(f" {bound}" for bound in bounds)


def _tables_of(node: Node, tables: dict[str, Node]) -> list[str]:
    """The names of the tables that may stand where `node` does, inside a list or not."""
    if "$ref" in node:
        return [node["$ref"].rpartition("/")[2]]
    options = list(node.get("anyOf", ()))
    if isinstance(node.get("items"), dict):
        options.append(node["items"])
    return [name for option in options for name in _tables_of(option, tables)]


def _tag(name: str, tables: dict[str, Node]) -> str:
    """The key that chooses a table."""
    key, node = next(iter(tables[name]["properties"].items()))
    assert len(node["enum"]) == 1
    return str(key)


def _text(description: str) -> Iterator[str]:
    """A docstring without the name of the table, which stands above it already."""
    text = re.sub(r"^The `\[[\w.]+\]` table[:.]?\s*", "", description).strip()
    if text:
        yield text[:1].upper() + text[1:] + "\n"


def _line(text: str) -> str:
    """One cell of a table; what stands in backticks is left as it is."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    return "`".join(part if i % 2 else part.replace("*", "\\*") for i, part in enumerate(parts))


def page(text: str) -> str:
    """The page `text` with its tables made anew."""
    return text[: text.index(BEGIN) + len(BEGIN)] + "\n" + render().rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
