"""A timer that is set and cleared with every request."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, cast

import pytest

from troth.worlds.real.alarm import Alarm


class Timer:
    def __init__(self, when: float, do: Callable[[], None]) -> None:
        self._when, self.do, self.cancelled = when, do, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """An event loop's clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, int, Timer]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, do: Callable[[], None]) -> Timer:
        timer = Timer(when, do)
        self.made += 1
        heapq.heappush(self.timers, (when, self.made, timer))
        return timer

    def go(self, until: float) -> None:
        while self.timers and self.timers[0][0] <= until:
            self.now, _, timer = heapq.heappop(self.timers)
            if not timer.cancelled:
                timer.do()
        self.now = until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alarm(clock: Clock) -> Alarm:
    return Alarm(cast("asyncio.AbstractEventLoop", clock))


def noted(clock: Clock, rung: list[tuple[str, float]], name: str) -> Callable[[], None]:
    return lambda: rung.append((name, clock.now))


def test_it_rings_once_and_in_time(clock: Clock, alarm: Alarm) -> None:
    rung: list[tuple[str, float]] = []
    alarm.set(10.0, noted(clock, rung, "a"))
    assert alarm.is_set
    clock.go(9.9)
    assert rung == []
    clock.go(50.0)
    assert rung == [("a", 10.0)]
    assert not alarm.is_set


def test_moved_on_it_rings_later_and_sooner_it_rings_sooner(clock: Clock, alarm: Alarm) -> None:
    rung: list[tuple[str, float]] = []
    alarm.set(10.0, noted(clock, rung, "a"))
    clock.go(6.0)
    alarm.set(10.0, noted(clock, rung, "b"))
    clock.go(15.875)
    assert rung == []
    alarm.set(0.0625, noted(clock, rung, "c"))
    clock.go(50.0)
    assert rung == [("c", 15.9375)]


@pytest.mark.parametrize("end", [Alarm.clear, Alarm.close])
def test_cleared_it_does_not_ring(clock: Clock, alarm: Alarm, end: Callable[[Alarm], None]) -> None:
    rung: list[tuple[str, float]] = []
    alarm.set(10.0, noted(clock, rung, "a"))
    end(alarm)
    assert not alarm.is_set
    clock.go(50.0)
    assert rung == []
    alarm.set(10.0, noted(clock, rung, "b"))
    clock.go(100.0)
    assert rung == [("b", 60.0)]


def test_what_rings_may_set_it_again(clock: Clock, alarm: Alarm) -> None:
    rung: list[float] = []

    def ring() -> None:
        rung.append(clock.now)
        if len(rung) < 3:
            alarm.set(1.0, ring)

    alarm.set(1.0, ring)
    clock.go(10.0)
    assert rung == [1.0, 2.0, 3.0]


def test_a_thousand_requests_make_few_timers(clock: Clock, alarm: Alarm) -> None:
    nobody: list[Any] = []
    for number in range(1_000):
        clock.go(0.1 * number)
        alarm.set(10.0, nobody.clear)
        alarm.clear()
        alarm.set(30.0, nobody.clear)
        alarm.clear()
    assert 1 < clock.made <= 25
