"""Conformance of the engines: values in order, equal requests once, groups together."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest

from troth.compute import Compute
from troth.engines.engine import MAX_KNOWN
from troth.engines.local import BatchedEngine, InlineEngine
from troth.engines.processes import ProcessesEngine
from troth.errors import RoundFailedError

CALLS: list[int] = []


@dataclass(frozen=True)
class Square(Compute[object, int]):
    number: int
    parity: bool = False
    shared: bool = False
    label: ClassVar[str] = "square"

    def run(self, bench: object) -> int:
        CALLS.append(1)
        return self.number**2

    def group(self) -> Hashable:
        return self.number % 2 if self.parity else None

    @classmethod
    def run_many(cls, requests: Sequence[Square], bench: object) -> list[int]:
        CALLS.append(len(requests))
        return [request.number**2 for request in requests]

    def memo_key(self) -> Hashable | None:
        return self.number if self.shared else None


@dataclass(frozen=True)
class Large(Square):
    keeps: ClassVar[bool] = False


@dataclass(frozen=True)
class Die(Compute[object, int]):
    label: ClassVar[str] = "die"

    def run(self, bench: object) -> int:
        os._exit(3)


@pytest.fixture(params=["inline", "batched", "processes"])
def engine(request):
    CALLS.clear()
    made = {
        "inline": lambda: InlineEngine(None),
        "batched": lambda: BatchedEngine(None),
        "processes": lambda: ProcessesEngine(partial(dict), workers=2),
    }[request.param]()
    yield made
    made.close()
    made.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_values_come_in_the_order_of_the_requests(engine, count):
    numbers = [(7 * i) % 11 for i in range(count)]
    requests = [Square(n, parity=bool(n % 3)) for n in numbers]
    assert engine.run(requests) == [n**2 for n in numbers]


def test_equal_memo_keys_are_computed_once(engine):
    values = engine.run([Square(n % 3, shared=True) for n in range(30)])
    assert values == [(n % 3) ** 2 for n in range(30)]
    if engine.name == "inline":
        assert CALLS == [1, 1, 1]
    if engine.name == "batched":
        assert CALLS == [3]


def test_a_value_is_shared_with_later_requests(engine):
    """The first time it is asked for it is computed, and the second not; unless it was so long ago
    that it is not kept any more."""
    asked = [3, 4, 3, *range(10, 10 + MAX_KNOWN), 3]
    assert [engine.run([Square(n, shared=True)]) for n in asked] == [[n**2] for n in asked]
    if engine.name != "processes":
        assert len(CALLS) == len(asked) - 1


def test_a_value_that_was_asked_for_lately_is_kept(engine):
    for number in range(10, 10 + MAX_KNOWN):
        assert engine.run([Square(3, shared=True), Square(number, shared=True)])[0] == 9
    assert engine.run([Square(3), Square(3)]) == [9, 9]
    if engine.name == "inline":
        assert len(CALLS) == 1 + MAX_KNOWN + 2


def test_a_large_value_is_shared_in_one_call_only(engine):
    for _ in range(2):
        assert engine.run([Large(3, shared=True), Large(3, shared=True)]) == [9, 9]
    if engine.name == "inline":
        assert len(CALLS) == 2


def test_nothing_is_shared_where_everybody_checks_everything(engine):
    engine.share_checks = False
    for _ in range(2):
        assert engine.run([Square(3, shared=True), Square(3, shared=True)]) == [9, 9]
    if engine.name == "inline":
        assert len(CALLS) == 4


def test_batched_runs_each_group_once():
    CALLS.clear()
    BatchedEngine(None).run([Square(n, parity=True) for n in range(10)])
    assert CALLS == [5, 5]


def test_a_worker_that_dies_ends_the_run_with_one_clear_error():
    engine = ProcessesEngine(partial(dict), workers=1)
    try:
        with pytest.raises(RoundFailedError, match="a worker process of the engine died"):
            engine.run([Die()])
    finally:
        engine.close()
