"""Identifiers and units. Each is its own type, so that one cannot stand in for another."""

from __future__ import annotations

from typing import NewType

NodeId = NewType("NodeId", str)
"""A node of a run: `server`, `party-007`."""

PartyId = NewType("PartyId", NodeId)
"""A node that holds data."""

Round = NewType("Round", int)
"""Rounds count from 1; 0 is the state before the first."""

SimulatedSeconds = NewType("SimulatedSeconds", float)
"""Virtual time of a simulated world, since its start."""

MeasuredSeconds = NewType("MeasuredSeconds", float)
"""Wall-clock time of this machine."""

Bytes = NewType("Bytes", int)


def party_id(index: int, count: int) -> PartyId:
    """Name of party `index` (from 0) of `count`.

    Zero-padded, so that the order of the names is the order of the parties:

    >>> party_id(7, 100)
    'party-07'
    """
    width = len(str(count - 1))
    return PartyId(NodeId(f"party-{index:0{width}d}"))
