"""What the rest of Troth knows of the attacks on one protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from troth.attacks.spec import Attack
from troth.protocols.protocol import CharterTables
from troth.specification import Table


def anything_goes(_attack: Attack, _agreement: CharterTables[Any]) -> None:
    """A protocol's attacks have an effect whatever the charter says."""


@dataclass(frozen=True)
class OwnAttacks:
    """The attacks on one protocol: those that speak its messages, or hold its secrets.

    Code is named as `module:function` and imported only when a run is staged, so that a charter
    loads without it.
    """

    parameters: type[Table]
    """The table of the protocol that is attacked."""
    tables: tuple[type[Attack], ...]
    """The attacks, as `[[attacks]]` names them."""
    idle: str
    """Why they have no effect with any other protocol, after "with protocol = ...": a sentence
    without its full stop."""
    instead: str
    """What to write in their place with another protocol."""
    cast: str
    """`(cast, attackers) -> Cast`: the roles with those of the attackers replaced. It is given the
    honest cast and all attackers of the run, by party, and leaves those of other attacks alone."""
    brings: str | None = None
    """`(brought, attackers, initial_D) -> brought`: what the parties bring to a simulated run
    (keys, a genesis), with what attackers bring in place of their own; None: the same."""
    check: Callable[[Any, CharterTables[Any]], None] = anything_goes
    """Given an attack and what is agreed, raises a `CharterError` where the attack would have
    no effect; its `key` is relative to the attack's table."""
