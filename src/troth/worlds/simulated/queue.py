"""What is going to happen in a simulated world, by time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from heapq import heappop, heappush
from math import inf
from typing import Any

from troth.worlds.simulated.runtime import Runtime


class Kind(IntEnum):
    """What an event does to its node."""

    ARRIVE = 1
    DELIVER = 2
    BROADCAST = 3
    TIMER = 4
    RESUME = 5
    DOWN = 6
    UP = 7


Event = tuple[Kind, Runtime, Any]
"""(kind, node, payload). A broadcast that reaches all receivers at one instant is one event of its
sender; its payload is who they are, in order, and the envelope."""


class EventQueue:
    """Events by time; those of one instant in the order in which they were added.

    Many thousand events share an instant where a network has one delay for all. They stand in one
    line then, which costs each of them next to nothing, while a heap of single events compares each
    with a dozen others.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._lines: dict[float, deque[Event]] = {}

    def __bool__(self) -> bool:
        return bool(self._times)

    def __iter__(self) -> Iterator[tuple[float, Event]]:
        """All of them, in order."""
        for time_s in sorted(self._times):
            for event in self._lines[time_s]:
                yield time_s, event

    @property
    def next_s(self) -> float:
        """When the next event is; infinity where there is none."""
        return self._times[0] if self._times else inf

    def add(self, time_s: float, event: Event) -> None:
        """Add an event behind all others of its instant."""
        self._line(time_s).append(event)

    def add_all(self, time_s: float, events: Iterable[Event]) -> None:
        """Add events of one instant, in order, behind all others of it; at least one."""
        self._line(time_s).extend(events)

    def add_first(self, time_s: float, event: Event) -> None:
        """Put an event back that was taken, before all others of its instant."""
        self._line(time_s).appendleft(event)

    def take(self) -> tuple[float, Event]:
        """The next event; there has to be one."""
        time_s = self._times[0]
        line = self._lines[time_s]
        event = line.popleft()
        if not line:
            heappop(self._times)
            del self._lines[time_s]
        return time_s, event

    def _line(self, time_s: float) -> deque[Event]:
        line = self._lines.get(time_s)
        if line is None:
            line = self._lines[time_s] = deque()
            heappush(self._times, time_s)
        return line
