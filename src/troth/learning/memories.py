"""What a module keeps between two calls of it, put back after each.

A module may keep what it likes: its last activations, a table of positions, a counter. What it has
kept must not change its answers, since other processes, and a resumed run, have not kept it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from torch import nn

_CONTAINERS = (dict, list, set, deque)


class Memories:
    """The attributes of a module and its parts as they are now, to be put back.

    The contents of dictionaries, lists and sets are put back as well, one level deep. Tensors that
    are changed in place are not.
    """

    def __init__(self, module: nn.Module) -> None:
        self._attributes = [(vars(part), dict(vars(part))) for part in module.modules()]
        self._contents = [
            (value, _items(value))
            for _, kept in self._attributes
            for value in kept.values()
            if isinstance(value, _CONTAINERS)
        ]

    def put_back(self) -> None:
        """Make every attribute what it was, where it is not."""
        for held, items in self._contents:
            if not _same(_items(held), items):
                held.clear()
                if isinstance(held, dict | set):
                    held.update(items)
                else:
                    held.extend(items)
        for now, kept in self._attributes:
            if not _same(now.items(), kept.items()):
                now.clear()
                now.update(kept)


def _items(held: Any) -> list[Any]:
    return list(held.items() if isinstance(held, dict) else held)


def _same(some: Iterable[Any], others: Iterable[Any]) -> bool:
    some, others = list(some), list(others)
    return len(some) == len(others) and all(
        one is other
        or (isinstance(one, tuple) and isinstance(other, tuple) and all(map(_is, one, other)))
        for one, other in zip(some, others, strict=True)
    )


def _is(one: object, other: object) -> bool:
    return one is other
