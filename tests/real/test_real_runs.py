"""Nodes over TLS come to the model that a simulation comes to, whoever is killed on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from real_nodes import SERVER, Cluster, kill

import troth
from troth.charter.loading import LoadedScenario, load_scenario
from troth.errors import UnreachableError, UsageError, VerificationError
from troth.ids import NodeId
from troth.worlds.real.node import Connect, Listen, Outcome, check_peers
from troth.worlds.real.stage import prepare_node

ROUNDS = 8


def check_equal(outcomes: list[Outcome], loaded: LoadedScenario) -> None:
    simulated = troth.simulate(loaded, progress=False)
    for outcome in outcomes:
        np.testing.assert_allclose(outcome.parameters, simulated.parameters, atol=1e-6, rtol=0)
        assert outcome.absent == ()


@pytest.mark.parametrize(
    ("protocol", "training"),
    [
        ('name = "federated"', "learning_rate = 0.5"),
        (
            'name = "federated"\naggregation = "median"',
            'update = "delta"\nlocal_epochs = 1\nbatch_size = 16\nlearning_rate = 0.1',
        ),
        ('name = "dssgd"', "learning_rate = 0.1"),
    ],
    ids=["federated", "median", "dssgd"],
)
def test_a_real_run_equals_the_simulation(
    scenario_file, tmp_path: Path, protocol: str, training: str
) -> None:
    loaded = load_scenario(scenario_file(protocol, parties=4, rounds=ROUNDS, training=training))

    async def run() -> list[Outcome]:
        tasks = await Cluster(loaded, tmp_path).start_all()
        return await asyncio.gather(*tasks.values())

    check_equal(asyncio.run(run())[:1], loaded)


def test_a_node_holds_its_own_rows_only(small: LoadedScenario) -> None:
    stages = {
        name: prepare_node(small.scenario, NodeId(name), base=small.base, root=None)
        for name in ("server", "party-0", "party-3")
    }
    assert stages["server"].bench.rows_of == {}
    for name in ("party-0", "party-3"):
        bench = stages[name].bench
        assert list(bench.rows_of) == [name]
        assert len(bench.x_NF) == len(bench.rows_of[NodeId(name)]) == 60
    # Two parties' rows are not the same ones.
    assert not np.array_equal(
        stages["party-0"].bench.x_NF.numpy(), stages["party-3"].bench.x_NF.numpy()
    )


@pytest.mark.parametrize("victims", [["party-1"], ["server"], ["party-1", "server", "party-2"]])
def test_killed_nodes_go_on_to_the_same_model(
    small: LoadedScenario, tmp_path: Path, victims: list[str]
) -> None:
    """Each victim is killed right after the server reports a round: before it has saved it."""
    cluster = Cluster(small, tmp_path)

    async def run() -> list[Outcome]:
        tasks = await cluster.start_all()
        for round, victim in enumerate(victims, start=2):
            await cluster.watchers[SERVER].when(round).wait()
            await kill(tasks[NodeId(victim)])
            tasks[NodeId(victim)] = cluster.start(NodeId(victim))
        return await asyncio.gather(*tasks.values())

    outcomes = asyncio.run(run())
    check_equal(outcomes, small)
    rounds = [report.round for report in cluster.watchers[SERVER].reports]
    # Only a round that was reported and not saved is reported again; none is begun again.
    assert {later - earlier for earlier, later in pairwise(rounds)} <= {0, 1}
    last = {report.round: report for report in cluster.watchers[SERVER].reports}
    assert sorted(last) == list(range(1, ROUNDS + 1))
    for report in last.values():
        assert report.accepted == ("party-0", "party-1", "party-2", "party-3")
        assert report.rejected == ()


def test_a_node_that_had_finished_finishes_again(small: LoadedScenario, tmp_path: Path) -> None:
    cluster = Cluster(small, tmp_path)

    async def run() -> tuple[list[Outcome], list[Outcome]]:
        first = await asyncio.gather(*(await cluster.start_all()).values())
        rounds = len(cluster.watchers[SERVER].reports)
        again = await asyncio.gather(*(await cluster.start_all()).values())
        assert len(cluster.watchers[SERVER].reports) == rounds
        return first, again

    first, again = asyncio.run(run())
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.parameters, other.parameters)
        assert one.tally == other.tally


def test_nodes_that_are_not_there_are_named(small: LoadedScenario, tmp_path: Path) -> None:
    cluster = Cluster(small, tmp_path)
    cluster.limits = type(cluster.limits)(unreachable_s=0.5)

    async def run() -> None:
        server = cluster.start(SERVER)
        await cluster.listening.wait()
        others = [cluster.start(NodeId(f"party-{i}")) for i in range(3)]
        with pytest.raises(UnreachableError, match=r"has not heard of party-3 for 0\.5 s"):
            await server
        for task in others:
            await kill(task)

    asyncio.run(run())


def test_a_server_that_is_not_there_is_named(small: LoadedScenario, tmp_path: Path) -> None:
    cluster = Cluster(small, tmp_path)
    cluster.limits = type(cluster.limits)(unreachable_s=0.5)
    cluster.port = 1

    async def run() -> None:
        with pytest.raises(UnreachableError, match="party-0 has not heard of server"):
            await cluster.start(NodeId("party-0"))

    asyncio.run(run())


@pytest.mark.parametrize("wrong", ["server", "party-2"])
def test_a_wrong_identity_is_refused_on_either_side(
    small: LoadedScenario, tmp_path: Path, wrong: str
) -> None:
    """One node shows another key than the others were told."""
    cluster = Cluster(small, tmp_path)
    pinned = dict(cluster.public)
    cluster.identities[NodeId(wrong)] = type(cluster.identities[SERVER]).create()
    expected = "cannot prove to be server" if wrong == "server" else "does not accept party-2"

    async def run() -> None:
        cluster.public = {name: pinned[name] for name in pinned if name != wrong}
        if wrong == "server":
            tasks = {SERVER: cluster.start(SERVER)}
            await cluster.listening.wait()
            cluster.public = pinned
        else:
            cluster.public = pinned
            tasks = {SERVER: cluster.start(SERVER)}
            await cluster.listening.wait()
            cluster.public = {SERVER: pinned[SERVER]}
        with pytest.raises(VerificationError, match=expected):
            await cluster.start(NodeId("party-2"))
        assert not tasks[SERVER].done()
        await kill(tasks[SERVER])

    asyncio.run(run())


def test_peers_and_place_are_checked_before_anything_runs(
    small: LoadedScenario, tmp_path: Path
) -> None:
    cluster = Cluster(small, tmp_path)
    stage, own = cluster.stages[SERVER], cluster.identities[SERVER]
    some = {name: cluster.public[name] for name in list(cluster.public)[:3]}
    with pytest.raises(UsageError, match="lacks party-2, party-3"):
        check_peers(stage, own, some)
    with pytest.raises(UsageError, match="another public id"):
        check_peers(stage, cluster.identities[NodeId("party-0")], cluster.public)

    async def run(name: NodeId, where: Listen | Connect) -> None:
        await cluster._run(name, where, tmp_path)

    with pytest.raises(UsageError, match="server listens, it does not connect"):
        asyncio.run(run(SERVER, Connect("https://127.0.0.1:1")))
    with pytest.raises(UsageError, match="not of the form https"):
        asyncio.run(run(NodeId("party-0"), Connect("http://127.0.0.1:1")))


def test_a_party_with_another_charter_is_refused(
    scenario_file: Callable[..., Path], tmp_path: Path
) -> None:
    """It trained along unnoticed with a learning rate of its own."""
    same = load_scenario(scenario_file(parties=2, rounds=2))
    other = load_scenario(scenario_file(parties=2, rounds=2, training="learning_rate = 0.6"))

    async def main() -> None:
        cluster = Cluster(same, tmp_path)
        name = NodeId("party-1")
        cluster.stages[name] = prepare_node(other.scenario, name, base=other.base, root=None)
        tasks = await cluster.start_all()
        try:
            with pytest.raises(VerificationError, match="runs another charter than party-1"):
                await tasks[name]
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize("at_once", [False, True], ids=["lost", "twice"])
def test_a_party_without_its_journal_is_told(
    scenario_file: Callable[..., Path], tmp_path: Path, at_once: bool
) -> None:
    """It came back with an empty folder, or was started twice at once, and all waited for ever."""
    loaded = load_scenario(scenario_file(parties=2, rounds=300))
    name = NodeId("party-1")

    async def main() -> None:
        cluster = Cluster(loaded, tmp_path)
        second = cluster.watchers[SERVER].when(2)
        tasks = await cluster.start_all()
        await second.wait()
        if not at_once:
            await kill(tasks.pop(name))
        (tmp_path / "again").mkdir()
        cluster._folder = tmp_path / "again"
        try:
            with pytest.raises(VerificationError, match="party-1 has lost its journal, or runs"):
                await cluster.start(name)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 20.0))


def test_a_server_without_its_journal_is_told(
    scenario_file: Callable[..., Path], tmp_path: Path
) -> None:
    """It came back with an empty folder, began with round 1, and all waited for ever."""
    loaded = load_scenario(scenario_file(parties=2, rounds=300))

    async def main() -> None:
        cluster = Cluster(loaded, tmp_path)
        second = cluster.watchers[SERVER].when(2)
        tasks = await cluster.start_all()
        await second.wait()
        await kill(tasks.pop(SERVER))
        (tmp_path / "again").mkdir()
        cluster._folder = tmp_path / "again"
        tasks[SERVER] = cluster.start(SERVER)
        ends = await asyncio.gather(*tasks.values(), return_exceptions=True)
        failed = dict(zip(tasks, ends, strict=True))
        lost = "server has lost its journal, or runs a second time: party-"
        for end in failed.values():
            assert isinstance(end, VerificationError | UnreachableError)
        assert isinstance(failed[SERVER], VerificationError)
        assert failed[SERVER].message.startswith(lost)
        told = [end for end in ends if isinstance(end, VerificationError) and lost in end.message]
        assert len(told) >= 2

    asyncio.run(asyncio.wait_for(main(), 30.0))


def test_of_two_processes_that_start_at_once_one_goes_on(
    scenario_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Neither has sent anything when the other begins, so none knows of the other by numbers."""
    loaded = load_scenario(scenario_file(parties=2, rounds=40))
    name = NodeId("party-1")

    async def main() -> None:
        cluster = Cluster(loaded, tmp_path)
        cluster.start(SERVER)
        await cluster.listening.wait()
        first = cluster.start(name)
        (tmp_path / "again").mkdir()
        cluster._folder = tmp_path / "again"
        second = cluster.start(name)
        other = cluster.start(NodeId("party-0"))
        ends = await asyncio.gather(first, second, other, return_exceptions=True)
        refused = [end for end in ends if isinstance(end, VerificationError)]
        assert len(refused) == 1

    asyncio.run(asyncio.wait_for(main(), 60.0))
