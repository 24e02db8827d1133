"""The contract of an engine, and the sharing of equal requests that all engines have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

from troth.compute import Compute


class Engine(ABC):
    """Carries out pure computations. It never runs a role.

    Engines agree on every value up to floating-point rounding; docs/determinism.md states the
    tolerance.
    """

    name: str
    share_checks = True
    """See `EngineSpec`."""

    def run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        """The requests' values, in order. Requests with equal memo keys are computed once."""
        unique: dict[Hashable, int] = {}
        todo: list[Compute[Any, Any]] = []
        place: list[int] = []
        for request in requests:
            key = request.memo_key() if self.share_checks else None
            if key is None:
                place.append(len(todo))
                todo.append(request)
                continue
            if key not in unique:
                unique[key] = len(todo)
                todo.append(request)
            place.append(unique[key])
        values = self._run(todo)
        assert len(values) == len(todo)
        return [values[index] for index in place]

    @abstractmethod
    def _run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        """The values of distinct requests, in order."""

    def close(self) -> None:  # noqa: B027 - most engines hold nothing that must be given back
        """Give back what the engine holds. Calling it twice is harmless."""


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
