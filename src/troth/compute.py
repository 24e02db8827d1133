"""Pure computations that a role hands to the engine.

A request is plain data: it can be pickled to another process, grouped with requests like it, and
run again with the same result. It finds models and data on the engine's bench, never inside itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import ClassVar, Generic, Self, TypeVar

Bench = TypeVar("Bench", contravariant=True)
Value = TypeVar("Value", covariant=True)


class Compute(ABC, Generic[Bench, Value]):
    """One request. Implementations are frozen dataclasses or structs.

    If `run` is not a pure function of the request and the bench, engines stop agreeing, a resumed
    run diverges, and a trace no longer repeats.
    """

    label: ClassVar[str]
    """Its name in cost models and reports: `local_update`."""
    keeps: ClassVar[bool] = True
    """Whether its value is small enough for an engine to keep it for later requests of its key."""

    steady: ClassVar[bool] = False
    """Whether every request of its kind takes about as long as the last one, on one bench. A node
    then carries out those that are over at once between two messages."""

    @abstractmethod
    def run(self, bench: Bench) -> Value:
        """The plain version. The value is a struct that `troth.wire` can encode."""

    def units(self) -> float:
        """How much work this request is; cost models charge `seconds[label]` for each unit."""
        return 1.0

    def group(self) -> Hashable:
        """Requests with equal groups may share one `run_many`."""
        return type(self)

    @classmethod
    def run_many(cls, requests: Sequence[Self], bench: Bench) -> Sequence[Value]:
        """The same values as `run` on each, within stated tolerance, in the same order."""
        return [request.run(bench) for request in requests]

    def memo_key(self) -> Hashable | None:
        """Requests with equal keys have equal values and may be computed once; None: never
        share."""
        return None
