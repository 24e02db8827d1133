"""A broker that is killed at any point goes on: it loses no update, and applies none twice."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest
from brokered_nodes import (
    AT_DEPLOYMENT,
    AT_FINISH,
    AT_THE_END,
    KILLED,
    MAX_SHOWN,
    SHORT_LINGER,
    Brokered,
    Crash,
    Trace,
    brokered,
    done_in,
    replayed,
    starts,
    write_tumours,
)

import troth
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.report.read import load_run

ROUNDS, PARTIES = 6, 3
MANY = 20
"""Rounds in which there are more than 20 saves, however many updates share one."""

LOOKED_AT = 'verifiers = [{ kind = "roni", share = 0.5, threshold = 0.05 }]'

GENTLE = 0.2
"""Learning rate at which `LOOKED_AT` has next to nothing to reject over all rounds. Each rejection
makes a provider's next puzzle 16 times as long, and meanwhile its model grows older, so its next
update is rejected the likelier. At a rate of 1 that sometimes came to minutes for one puzzle."""


def check_nothing_lost(nodes: Brokered, *, rounds: int = ROUNDS, parties: int = PARTIES) -> None:
    """The broker's own saves, over all its starts, and what it has left behind, agree."""
    witness = nodes.witness()
    saved = witness.saved
    assert saved is not None
    assert saved.version == len(witness.counted) == rounds * parties
    np.testing.assert_array_equal(nodes.model(), saved.params_D)
    run = load_run(nodes.folder / BROKER)
    assert run.summary.status == "finished"
    assert [record.round for record in run.rounds] == list(range(1, rounds + 1))
    assert [len(record.accepted) for record in run.rounds] == [parties] * rounds


@pytest.mark.parametrize("seed", range(3))
def test_a_broker_that_is_killed_at_any_save_goes_on(tmp_path: Path, seed: int) -> None:
    """Before a save it forgets what it has not told; after it, it has told nobody yet."""
    chance = Random(seed)
    crashes = [Crash(chance.randint(1, 5), chance.choice(["before", "after"])) for _ in range(3)]
    # Updates that come together are saved together, and the last save is none of those.
    scenario = write_tumours(tmp_path, LOOKED_AT, rounds=MANY, rate=GENTLE * ROUNDS / MANY)
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all(Crash(chance.randint(2, 5), "before"))
        for crash in crashes:
            nodes.nodes[BROKER].died()
            nodes.start_broker(crash)
        nodes.nodes[BROKER].died()
        nodes.start_broker()
        nodes.end()
    check_nothing_lost(nodes, rounds=MANY)
    assert nodes.witness().restarts == 4


@pytest.mark.parametrize("round", [1, 3])
def test_a_broker_that_is_killed_at_any_time_goes_on(tmp_path: Path, round: int) -> None:
    """Not at a save, but when the signal comes; bulk synchronous, so the model is known."""
    scenario = write_tumours(tmp_path, 'synchrony = "bulk_synchronous"\nverifiers = []')
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all()
        while nodes.nodes[BROKER].event("round")["round"] < round:
            pass
        nodes.nodes[BROKER].kill()
        nodes.start_broker()
        nodes.end()
    simulated = troth.simulate(scenario, progress=False)
    np.testing.assert_allclose(nodes.model(), simulated.parameters, atol=1e-6, rtol=0)
    assert len(nodes.witness().counted) == ROUNDS * PARTIES


@pytest.mark.parametrize("crash", [AT_DEPLOYMENT, Crash(1, "before"), Crash(1, "after")], ids=str)
def test_a_broker_that_is_killed_while_it_is_deployed(tmp_path: Path, crash: Crash) -> None:
    """The curator has not heard that its broker runs, and asks again."""
    with brokered(write_tumours(tmp_path, LOOKED_AT, rate=GENTLE), tmp_path) as nodes:
        nodes.start_broker(crash)
        nodes.start(CURATOR)
        nodes.nodes[BROKER].died()
        broker = nodes.start_broker()
        broker.event("deployed")
        for name in nodes.providers:
            nodes.start(name)
        nodes.end()
    check_nothing_lost(nodes)


def test_a_broker_that_is_killed_while_it_hands_over(tmp_path: Path) -> None:
    """The model is trained; nobody has been told."""
    with brokered(write_tumours(tmp_path, LOOKED_AT, rounds=1), tmp_path) as nodes:
        nodes.start_all(AT_FINISH)
        nodes.nodes[BROKER].died()
        nodes.start_broker()
        nodes.end()
    check_nothing_lost(nodes, rounds=1)


def test_a_broker_that_has_handed_over_and_is_killed_does_not_wait_for_ever(
    tmp_path: Path,
) -> None:
    """Everybody knows, and has gone, when it is started again."""
    scenario = write_tumours(tmp_path, LOOKED_AT, rounds=1)
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all(AT_THE_END)
        for name in (CURATOR, *nodes.providers):
            nodes.nodes[name].end()
        nodes.nodes[BROKER].kill()
        nodes.further[BROKER] = SHORT_LINGER
        nodes.start_broker()
        nodes.end()
    np.testing.assert_array_equal(nodes.model(BROKER), nodes.model())
    assert load_run(tmp_path / BROKER).summary.status == "finished"


@pytest.mark.parametrize("left", range(0, 40, 3))
def test_a_trace_is_read_though_its_writer_was_killed_in_a_record(
    tmp_path: Path, left: int
) -> None:
    path = tmp_path / "trace"
    with Trace(path) as trace:
        trace.write("told", "one")
    whole = path.read_bytes()
    with Trace(path) as trace:
        trace.write("told", "a record of which the process has written a part")
    path.write_bytes(path.read_bytes()[: len(whole) + left])
    assert list(done_in(path)) == [("told", "one")]
    with Trace(path) as trace:
        trace.write("started", None)
    assert list(done_in(path)) == [("told", "one"), ("started", None)]


@pytest.mark.parametrize("wrong", ["lost", "twice"])
def test_a_broker_that_loses_an_update_would_be_found_out(tmp_path: Path, wrong: str) -> None:
    """What it has saved, with one model altered as if it had."""
    with brokered(write_tumours(tmp_path, LOOKED_AT, rounds=2), tmp_path) as nodes:
        nodes.start_all()
        nodes.end()
    plan, done = nodes.plan(), starts(nodes.trace(BROKER))
    replayed(plan, done)
    saves = [i for i, (kind, _) in enumerate(done[0]) if kind == "saved"]
    changing = [
        (before, now)
        for before, now in pairwise(saves)
        if done[0][before][1].version < done[0][now][1].version
    ]
    before, now = changing[0]
    old, new = done[0][before][1], done[0][now][1]
    change_D = new.params_D - old.params_D
    params_D = old.params_D if wrong == "lost" else new.params_D + change_D
    done[0][now] = "saved", msgspec.structs.replace(new, params_D=params_D)
    with pytest.raises(AssertionError, match="not equal"):
        replayed(plan, done)


def test_a_failure_comes_with_what_every_process_did_last(tmp_path: Path) -> None:
    """The one that a test waits for may itself wait for another."""

    def fail() -> None:
        with brokered(write_tumours(tmp_path), tmp_path) as nodes:
            nodes.start_broker(Crash(1, "after"))
            nodes.start(CURATOR)
            nodes.nodes[BROKER].died()
            raise AssertionError("it goes wrong")

    with pytest.raises(AssertionError, match="it goes wrong") as failed:
        fail()
    broker, curator = failed.value.__notes__
    assert broker.startswith(f"{BROKER} has ended with {KILLED}")
    assert "listening" in broker
    assert "did: saving BrokerState" in broker
    assert curator.startswith(f"{CURATOR} still runs")
    assert len(broker) < 12 * MAX_SHOWN + 200
