"""A timer that is set and cleared with every request, and hardly ever rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EARLY_S = 0.001
"""How much too early the event loop's timer may be."""


class Alarm:
    """Calls something at a time that is moved on again and again.

    To move it on costs less than a timer of the event loop: that one is left as it is, and looks
    when it is due whether the time has been moved on since.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due_s: float | None = None
        self._ring: Callable[[], object] = _nothing
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it will ring."""
        return self._due_s is not None

    def set(self, delay_s: float, ring: Callable[[], object]) -> None:
        """Have `ring` called after so many seconds, and not what was set before."""
        self._due_s, self._ring = self._loop.time() + delay_s, ring
        if self._timer is None or self._timer.when() > self._due_s:
            self._wait(self._due_s)

    def clear(self) -> None:
        """Have nothing called."""
        self._due_s, self._ring = None, _nothing

    def close(self) -> None:
        """After its last use."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, until_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(until_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due_s is None:
            return
        if self._loop.time() + EARLY_S < self._due_s:
            self._wait(self._due_s)
            return
        ring = self._ring
        self.clear()
        ring()


def _nothing() -> None:
    pass
