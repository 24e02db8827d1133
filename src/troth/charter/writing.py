"""From what was built in Python to the TOML text that says the same."""

from __future__ import annotations

import msgspec
import tomlkit

from troth.charter.document import Document, without_nulls
from troth.charter.scenario import Scenario


def scenario_text(scenario: Scenario) -> str:
    """A scenario as the file that says the same, with every default written out."""
    document = msgspec.to_builtins(scenario)
    return toml_text(document.pop("charter") | document)


def toml_text(document: Document) -> str:
    """A document as TOML. Keys whose value is None are left out, for TOML has no null."""
    text: str = tomlkit.dumps(without_nulls(document))
    return text
