"""Puts the charter file that a scenario names into the text of the scenario."""

from __future__ import annotations

import tomllib

import tomlkit


def inline_charter(scenario_text: str, charter_text: str) -> str:
    """The scenario with `charter = ...` replaced by what that file says; all comments are kept.

    TOML wants keys of the top level before the first table, so the result is the charter's keys,
    the scenario's keys, the charter's tables, the scenario's tables. Both texts are valid TOML with
    no top-level name in common.
    """
    charter_keys, charter_tables = _split(charter_text)
    world_keys, world_tables = _split(scenario_text)
    world = tomlkit.parse(world_keys)
    world.remove("charter")
    parts = [charter_keys, tomlkit.dumps(world), charter_tables, world_tables]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _split(text: str) -> tuple[str, str]:
    """The keys of the top level, and the tables with the comments right above the first."""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        # Inside a string or array that spans lines, what stands before does not parse on its own.
        if line.lstrip().startswith("[") and _is_toml(lines[:at]):
            while at > 0 and lines[at - 1].lstrip().startswith("#") and _is_toml(lines[: at - 1]):
                at -= 1
            return "".join(lines[:at]), "".join(lines[at:])
    return text, ""


def _is_toml(lines: list[str]) -> bool:
    try:
        tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True
