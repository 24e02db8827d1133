"""Events come by time, those of one instant in line, and what comes about together is shuffled."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth import streams
from troth.charter.world import Churn, ConstantLatency, Faults, Network, ZeroCost
from troth.engines.local import InlineEngine
from troth.ids import NodeId, Round
from troth.roles.messages import RoundMessage
from troth.roles.node import Cast
from troth.worlds.simulated.queue import EventQueue, Kind
from troth.worlds.simulated.world import SimulatedWorld


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.25]), min_size=1))
def test_events_come_by_time_and_in_line(times: list[float]) -> None:
    queue: Any = EventQueue()
    for number, time_s in enumerate(times):
        queue.add(time_s, (Kind.TIMER, None, number))
    expected = sorted((time_s, number) for number, time_s in enumerate(times))
    assert [(time_s, number) for time_s, (_, _, number) in queue] == expected
    taken = []
    while queue:
        assert queue.next_s == expected[len(taken)][0]
        time_s, (_, _, number) = queue.take()
        taken.append((time_s, number))
    assert taken == expected
    assert queue.next_s == inf


def test_an_event_that_is_put_back_comes_before_the_others_of_its_instant() -> None:
    queue: Any = EventQueue()
    queue.add_all(1.0, [(Kind.TIMER, None, "first"), (Kind.TIMER, None, "second")])
    time_s, event = queue.take()
    queue.add(1.0, (Kind.TIMER, None, "third"))
    queue.add_first(time_s, event)
    queue.add(0.5, (Kind.TIMER, None, "sooner"))
    order = [queue.take()[1][2] for _ in range(4)]
    assert order == ["sooner", "first", "second", "third"]


class Word(RoundMessage, frozen=True):
    text: str


SPEAKER = NodeId("speaker")
LISTENERS = tuple(NodeId(f"listener-{number:02}") for number in range(12))


class Nobody:
    def report(self, node: object, report: object, simulated_s: object) -> None: ...

    def refused(self, receiver: object, error: Exception) -> None:
        raise AssertionError(f"{receiver} refused a message: {error}")


def heard(seed: int, *, latency_s: float = 0.25) -> list[tuple[NodeId, str]]:
    """Who hears what, in order, when one node says "one" and "two" to all, and then "three" to
    each, all at one instant."""
    order: list[tuple[NodeId, str]] = []

    async def speaker(node: Any) -> None:
        for text in ("one", "two"):
            await node.broadcast(LISTENERS, Word(Round(1), text))
        for listener in LISTENERS:
            await node.send(listener, Word(Round(1), "three"))

    async def listener(node: Any) -> None:
        for _ in range(3):
            received = await node.receive(Word)
            order.append((node.id, received.message.text))

    world = SimulatedWorld(
        Cast({SPEAKER: speaker} | dict.fromkeys(LISTENERS, listener), LISTENERS, (Word,)),
        engine=InlineEngine(None),  # type: ignore[arg-type]  # nothing is computed
        parties=(),
        stream=streams.world(seed),
        learning=streams.learning(seed),
        secret=streams.secret(seed),
        observer=Nobody(),
        network=Network(latency=ConstantLatency(seconds=latency_s)),
        churn=Churn(),
        faults=Faults(),
        cost=ZeroCost(),
    )
    world.start()
    assert world.run() == latency_s
    return order


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("latency_s", [0.0, 0.25])
def test_messages_of_one_instant_on_one_link_keep_their_order(seed: int, latency_s: float) -> None:
    order = heard(seed, latency_s=latency_s)
    assert {id for id, _ in order} == set(LISTENERS)
    for listener in LISTENERS:
        assert [text for id, text in order if id == listener] == ["one", "two", "three"]


def test_the_seed_shuffles_who_hears_a_broadcast_first() -> None:
    first = {heard(seed)[0][0] for seed in range(10)}
    assert len(first) > 3
    whole = heard(1)
    assert whole == heard(1)
    assert [id for id, text in whole if text == "one"] != sorted(LISTENERS)
    assert [id for id, text in whole if text == "one"] != [
        id for id, text in whole if text == "two"
    ]
