"""What a module keeps between two calls of it, put back after each.

A module may keep what it likes: its last activations, a table of positions, a counter. What it has
kept must not change its answers, since other processes, and a resumed run, have not kept it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

Array = npt.NDArray[Any]

_CONTAINERS = (dict, list, set, deque)


class Memories:
    """The attributes of a module and its parts as they are now, to be put back.

    The contents of dictionaries, lists and sets are put back as well, one level deep. Tensors and
    arrays that are changed in place are noticed, and not put back: what was computed from them may
    still need them.
    """

    def __init__(self, module: nn.Module) -> None:
        self._attributes = [(vars(part), dict(vars(part))) for part in module.modules()]
        self._contents = [
            (value, _items(value))
            for _, kept in self._attributes
            for value in kept.values()
            if isinstance(value, _CONTAINERS)
        ]

        self._tensors: list[tuple[str, Tensor, int]] = []
        self._arrays: list[tuple[str, Array, Array]] = []
        for place, part in module.named_modules():
            for name, value in _named_values(part):
                full = f"{place}.{name}" if place else name
                if isinstance(value, Tensor) and not value.is_inference():
                    self._tensors.append((full, value, value._version))
                elif isinstance(value, np.ndarray):
                    self._arrays.append((full, value, value.copy()))

    def changed_in_place(self) -> str | None:
        """The name of a tensor or an array that is not what it was, if there is one."""
        for name, tensor, version in self._tensors:
            if tensor._version != version:
                return name
        for name, array, kept in self._arrays:
            if array.tobytes() != kept.tobytes():
                return name
        return None

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


def _named_values(part: nn.Module) -> Iterator[tuple[str, Any]]:
    """What the attributes of a module hold, and their containers, with a name for each."""
    for name, value in vars(part).items():
        if name in ("_parameters", "_buffers"):
            yield from value.items()
        elif isinstance(value, dict):
            yield from ((f"{name}[{key!r}]", inner) for key, inner in value.items())
        elif isinstance(value, list | tuple | deque):
            yield from ((f"{name}[{place}]", inner) for place, inner in enumerate(value))
        else:
            yield name, value


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
