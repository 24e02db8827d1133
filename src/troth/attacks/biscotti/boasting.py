"""Peers that say they have the longest chain of all, to those that catch up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from troth.attacks.biscotti.malice import Attack, Malice, Receivers, acting
from troth.protocols.biscotti.messages import Announce, Blocks, WireBlock
from troth.roles.effects import Effect, Receive, Send

EVERY = 20
"""Messages heard between two boasts. Attackers hear each other's, too, and would never end."""
MOST_HEARD = 2000
"""Messages of a round after which they boast no more in it, for the same reason."""


def _instead_of_serving(serve: Callable[[Receivers, Blocks], Iterable[Send]]) -> Attack:
    """Boasts whenever it has heard some messages, and shows what `serve` gives in place of
    blocks."""

    def instead(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
        boast = Announce(bytes(32), 2**32 - 1)
        if isinstance(effect, Send) and isinstance(effect.message, Blocks):
            return [*serve(effect.to, effect.message), Send(effect.to, boast)]
        if isinstance(effect, Send) and isinstance(effect.message, Announce):
            return [Send(effect.to, boast)]
        heard = len(malice.heard)
        if not isinstance(effect, Receive) or heard % EVERY or heard > MOST_HEARD:
            return None
        return [Send(malice.everybody_else, boast), effect]

    return acting(instead)


promising = _instead_of_serving(lambda *_: ())
"""Never shows the chain that it says it has."""


@_instead_of_serving
def repeating(to: Receivers, honest: Blocks) -> Iterable[Send]:
    """Shows its first block, again and again, with a promise of more."""
    yield Send(to, Blocks(honest.blocks[:1], True))


@_instead_of_serving
def babbling(to: Receivers, _: Blocks) -> Iterable[Send]:
    """Shows blocks that are none."""
    yield Send(to, Blocks((WireBlock(b"no block", None),), True))
