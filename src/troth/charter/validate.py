"""What no single key says: whether the tables of a charter or scenario fit each other.

Every rule refuses something that could not run, or that would do nothing: a scenario that asks for
what does not happen is a mistake somebody would rather hear about before the run than after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from troth.charter.charter import Charter
from troth.charter.file import place_in_file
from troth.charter.keys import Key, dotted, parse_key
from troth.charter.rules import (
    attacks,
    parties,
    partition,
    protocol,
    task,
    waiting,
    world,
)
from troth.charter.scenario import Scenario
from troth.errors import CharterError
from troth.specification import Table

_CHARTER_RULES: tuple[Callable[[Charter], None], ...] = (
    *task.RULES,
    *protocol.CHARTER_RULES,
)

_SCENARIO_RULES: tuple[Callable[[Scenario], None], ...] = (
    *parties.RULES,
    *protocol.RULES,
    *partition.RULES,
    *world.RULES,
    *attacks.RULES,
    *waiting.RULES,
)


def validate(scenario: Scenario) -> None:
    """Refuses a scenario whose tables contradict each other or themselves.

    Raises:
      CharterError: `key` is where a scenario file says it; the error names no file.
    """
    _check_tables(scenario)
    for charter_rule in _CHARTER_RULES:
        charter_rule(scenario.charter)
    for rule in _SCENARIO_RULES:
        rule(scenario)


def validate_charter(charter: Charter) -> None:
    """Refuses a charter whose tables contradict each other or themselves.

    Raises:
      CharterError: `key` is where a charter says it; the error names no file.
    """
    _check_tables(charter)
    for rule in _CHARTER_RULES:
        rule(charter)


def _check_tables(top: Table) -> None:
    for key, table in _tables(top, ()):
        try:
            table.check()
        except CharterError as error:
            place = place_in_file(key)
            if error.key is not None:
                place += parse_key(error.key)
            # TOML has no null: a value that is None is a key that is not there.
            value = ... if error.value is None else error.value
            raise CharterError(
                error.problem, key=dotted(place) or None, value=value, hint=error.hint
            ) from None


def _tables(value: object, key: Key) -> Iterator[tuple[Key, Table]]:
    """Every table in `value`, outer ones first, in the order they are declared."""
    if isinstance(value, Table):
        yield key, value
        for field in msgspec.structs.fields(value):
            yield from _tables(getattr(value, field.name), (*key, field.name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _tables(inner, (*key, index))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _tables(inner, (*key, name))
