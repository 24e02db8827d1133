"""The contract of an engine, and the sharing of equal requests that all engines have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from troth.compute import Compute

MAX_KNOWN = 64
"""Shared values that are kept. A block reaches its last peer some hundred requests after the first,
and a round on a ledger has about fifteen different checks."""


class Engine(ABC):
    """Carries out pure computations. It never runs a role.

    Engines agree on every value up to floating-point rounding; docs/determinism.md states the
    tolerance.
    """

    name: str
    share_checks = True
    """Whether equal checks of several nodes are computed once: `share_checks` of `EngineSpec`."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        """Values by memo key, the one last asked for at the end."""

    def run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        """The requests' values, in order. One whose memo key has been seen in this call, or among
        the last `MAX_KNOWN` different ones whose values are kept, is not computed again."""
        keys = [request.memo_key() for request in requests] if self.share_checks else []
        if all(key is None for key in keys):
            values = self._run(requests)
            assert len(values) == len(requests)
            return values
        found: dict[Hashable, Any] = {}
        places: dict[Hashable, int] = {}
        todo: list[Compute[Any, Any]] = []
        for place, request in enumerate(requests):
            key = keys[place]
            if key is None:
                key = keys[place] = _Alone(place)
            if key in self._known:
                found[key] = self._known[key]
            elif key not in places:
                places[key] = len(todo)
                todo.append(request)
        values = self._run(todo)
        assert len(values) == len(todo)
        found |= {key: values[place] for key, place in places.items()}
        kept = {key: request.keeps for key, request in zip(keys, requests, strict=True)}
        for key, keeps in kept.items():
            if keeps and not isinstance(key, _Alone):
                self._known[key] = found[key]
                self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return [found[key] for key in keys]

    @abstractmethod
    def _run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        """The values of distinct requests, in order."""

    def close(self) -> None:  # noqa: B027 - most engines hold nothing that must be given back
        """Give back what the engine holds. Calling it twice is harmless."""


@dataclass(frozen=True)
class _Alone:
    """The key of a request that shares its value with none."""

    place: int


def run_grouped(requests: Sequence[Compute[Any, Any]], bench: Any) -> list[Any]:
    """Each group of requests through its `run_many`, groups in order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for index, request in enumerate(requests):
        groups.setdefault((type(request), request.group()), []).append(index)
    values: list[Any] = [None] * len(requests)
    for indices in groups.values():
        members = [requests[index] for index in indices]
        results = type(members[0]).run_many(members, bench)
        for index, value in zip(indices, results, strict=True):
            values[index] = value
    return values
