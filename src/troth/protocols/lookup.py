"""From a charter's `[protocol]` table to the record of its protocol."""

from __future__ import annotations

from typing import Any

from troth.protocols.protocol import Protocol
from troth.protocols.registry import PROTOCOLS
from troth.specification import Table

TABLES: tuple[type[Table], ...] = tuple(each.parameters for each in PROTOCOLS)
"""The `[protocol]` tables of the protocols that come with Troth."""

_BY_TABLE: dict[type[Table], Protocol[Any]] = {each.parameters: each for each in PROTOCOLS}


def protocol_of(parameters: Table) -> Protocol[Any]:
    """The record of the protocol whose table this is."""
    return _BY_TABLE[type(parameters)]
