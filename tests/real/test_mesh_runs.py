"""Peers without a hub, over TLS: everybody hears everybody, whoever is killed or never comes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mesh_nodes import MeshCluster, mesh_stage
from real_nodes import kill

from troth.charter.loading import LoadedScenario, load_scenario
from troth.crypto.identity import Identity
from troth.errors import CharterError, UnreachableError, UsageError, VerificationError
from troth.ids import NodeId
from troth.worlds.real.journal import Checkpoint, Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Connect, Listen, check_place, run_node
from troth.worlds.real.stage import Mesh, prepare_node, topology_of

NAMES = tuple(NodeId(f"party-{number}") for number in range(4))
IMPATIENT = Limits(unreachable_s=3.0)


def others(name: NodeId) -> tuple[NodeId, ...]:
    return tuple(peer for peer in NAMES if peer != name)


def test_of_every_two_peers_one_connects(small: LoadedScenario) -> None:
    stages = {name: mesh_stage(small, name, rounds=1) for name in NAMES}
    connected = [
        {listener, name} for name, stage in stages.items() for listener in stage.connects_to
    ]
    expected = [{one, other} for one in NAMES for other in NAMES if one < other]
    assert sorted(map(sorted, connected)) == sorted(map(sorted, expected))
    for name, stage in stages.items():
        assert sorted(stage.peers) == sorted(others(name))
        for listener in stage.connects_to:
            assert name in stages[listener].listens_to


def test_everybody_hears_everybody_in_every_round(small: LoadedScenario, tmp_path: Path) -> None:
    """Without a deadline: no message may be lost where nobody fails."""
    cluster = MeshCluster(small, tmp_path, NAMES, faithful=NAMES)

    async def run() -> None:
        tasks = await cluster.start_all()
        for outcome in await asyncio.gather(*tasks.values()):
            assert outcome.parameters == [cluster.rounds]
            assert outcome.notes == outcome.absent == ()

    asyncio.run(run())
    for name in NAMES:
        assert cluster.accepted(name) == dict.fromkeys(range(1, 6), others(name))
        assert cluster.watchers[name].errors == []


@pytest.mark.parametrize("victims", [NAMES[:1], NAMES[-1:], NAMES[:3]], ids=len)
def test_killed_peers_come_back_and_nobody_waits_for_them(
    small: LoadedScenario, tmp_path: Path, victims: tuple[NodeId, ...]
) -> None:
    """One who listens to all, one who connects to all, and most of them. Roles check that nothing
    comes twice, or as somebody else's."""
    cluster = MeshCluster(small, tmp_path, NAMES, rounds=8)

    async def run() -> None:
        tasks = await cluster.start_all()
        for round, victim in enumerate(victims, start=2):
            await cluster.watchers[victim].when(round).wait()
            await kill(tasks[victim])
            tasks[victim] = await cluster.start(victim)
        await asyncio.gather(*tasks.values())

    asyncio.run(run())
    for name in NAMES:
        assert sorted(cluster.accepted(name)) == list(range(1, 9))
    for name in set(NAMES) - set(victims):
        undisturbed = set(others(name)) - set(victims)
        assert all(undisturbed <= set(accepted) for accepted in cluster.accepted(name).values())


def test_a_peer_that_never_comes_is_waited_for_once(small: LoadedScenario, tmp_path: Path) -> None:
    there = NAMES[:3]
    cluster = MeshCluster(small, tmp_path, NAMES, faithful=there, limits=IMPATIENT)

    async def run() -> None:
        tasks = [await cluster.start(name) for name in there]
        await asyncio.gather(*tasks)

    asyncio.run(run())
    for name in there:
        assert sorted(cluster.accepted(name)) == [1, 2, 3, 4, 5]


def test_a_peer_that_is_alone_gives_up(small: LoadedScenario, tmp_path: Path) -> None:
    cluster = MeshCluster(small, tmp_path, NAMES, limits=Limits(unreachable_s=0.5))

    async def run() -> None:
        task = await cluster.start(NAMES[0])
        with pytest.raises(UnreachableError, match=r"not heard of party-1, party-2, party-3 for"):
            await task
        assert cluster.watchers[NAMES[0]].reports == []

    asyncio.run(run())


def test_a_peer_that_is_left_alone_gives_up(small: LoadedScenario, tmp_path: Path) -> None:
    """It could go on by its deadlines, and would end with a model that nobody else has."""
    cluster = MeshCluster(small, tmp_path, NAMES, rounds=10_000, limits=IMPATIENT)

    async def run() -> None:
        tasks = await cluster.start_all()
        await cluster.watchers[NAMES[0]].when(1).wait()
        for name in NAMES[1:]:
            await kill(tasks[name])
        with pytest.raises(UnreachableError, match="party-0 has not heard of party-1, party-2"):
            await tasks[NAMES[0]]

    asyncio.run(run())


def test_a_peer_that_had_finished_finishes_again(small: LoadedScenario, tmp_path: Path) -> None:
    cluster = MeshCluster(small, tmp_path, NAMES)

    async def run() -> None:
        first = await asyncio.gather(*(await cluster.start_all()).values())
        again = await (await cluster.start(NAMES[2]))
        assert again.parameters == first[2].parameters
        assert again.tally == first[2].tally

    asyncio.run(run())
    assert len(cluster.watchers[NAMES[2]].reports) == cluster.rounds


def test_a_peer_with_another_key_is_left_out_and_named(
    small: LoadedScenario, tmp_path: Path
) -> None:
    """The others were told another key than it has, and go on without it."""
    honest = NAMES[1:]
    # So many rounds that nobody is done before it has tried to connect.
    cluster = MeshCluster(small, tmp_path, NAMES, faithful=honest, limits=IMPATIENT, rounds=30)
    told = dict(cluster.public)

    async def run() -> None:
        cluster.identities[NAMES[0]] = Identity.create()
        cluster.public = {name: told[name] for name in honest}
        cluster.public[NAMES[0]] = cluster.identities[NAMES[0]].public
        impostor = await cluster.start(NAMES[0])
        cluster.public = told
        tasks = [await cluster.start(name) for name in honest]
        outcomes = await asyncio.gather(*tasks)
        for outcome in outcomes:
            (note,) = outcome.notes
            assert note.startswith("whoever answers at https://127.0.0.1:")
            assert note.endswith("cannot prove to be party-0")
        with pytest.raises(UnreachableError, match="party-0 has not heard of"):
            await impostor

    asyncio.run(run())
    for name in honest:
        for accepted in cluster.accepted(name).values():
            assert set(accepted) == set(honest) - {name}


def test_one_who_can_reach_an_impostor_only_says_so(small: LoadedScenario, tmp_path: Path) -> None:
    names = NAMES[:2]
    cluster = MeshCluster(small, tmp_path, NAMES, limits=Limits(unreachable_s=2.0))
    told = dict(cluster.public)

    async def run() -> None:
        cluster.identities[names[0]] = Identity.create()
        cluster.public = told | {names[0]: cluster.identities[names[0]].public}
        impostor = await cluster.start(names[0])
        cluster.public = told
        with pytest.raises(VerificationError, match="cannot prove to be party-0"):
            await (await cluster.start(names[1]))
        await asyncio.wait((impostor,))
        assert isinstance(impostor.exception(), UnreachableError)

    asyncio.run(run())


def test_a_real_peer_commits_to_what_it_says(scenario_file) -> None:
    protocol = 'name = "biscotti"\nadversarial_stake = 0.0'
    real, modelled = (
        load_scenario(scenario_file(protocol, f'[cryptography]\ngroup = "{group}"', parties=12))
        for group in ("g1", "modelled")
    )
    assert topology_of(real.scenario) == Mesh()
    with pytest.raises(CharterError, match=r"cryptography.group = .* belongs to a simulation"):
        topology_of(modelled.scenario)
    with pytest.raises(UsageError, match="party-00 needs its secret and the genesis"):
        prepare_node(real.scenario, NodeId("party-00"), base=real.base, root=None)


def test_place_and_addresses_are_checked(small: LoadedScenario) -> None:
    stage = mesh_stage(small, NAMES[2], rounds=1)
    with pytest.raises(UsageError, match="party-2 listens, it does not connect"):
        check_place(stage, Connect("https://a:1"), {})
    with pytest.raises(UsageError, match=r"lacks the address of party-1\n"):
        check_place(stage, Listen("a", 1), {NAMES[0]: "https://a:1", NAMES[3]: "https://a:1"})
    given = {name: f"https://{name}:1" for name in NAMES}
    urls = check_place(stage, Listen("a", 1), given)
    assert urls == {name: given[name] for name in NAMES[:2]}


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]], ids=["listens to all", "connects to all"])
def test_a_peer_without_its_journal_is_told_and_the_others_go_on(
    small: LoadedScenario, tmp_path: Path, name: NodeId
) -> None:
    """What it said was taken for replayed, so it trained alone, and ended as if all were well."""
    cluster = MeshCluster(small, tmp_path, NAMES, rounds=6)

    async def run() -> None:
        tasks = await cluster.start_all()
        await cluster.watchers[name].when(2).wait()
        await kill(tasks[name])
        (tmp_path / f"{name}.sqlite").rename(tmp_path / "lost.sqlite")
        for other in tmp_path.glob(f"{name}.sqlite-*"):
            other.unlink()
        lost = f"{name} has lost its journal, or runs a second time: party-"
        with pytest.raises(VerificationError, match=lost):
            await (await cluster.start(name))
        for other in others(name):
            await tasks[other]

    asyncio.run(run())
    for other in others(name):
        assert sorted(cluster.accepted(other)) == list(range(1, 7))


def test_one_peer_that_lies_about_messages_ends_nobody(
    small: LoadedScenario, tmp_path: Path
) -> None:
    """It says that it holds messages which nobody has sent to it."""
    cluster = MeshCluster(small, tmp_path, NAMES, rounds=4)
    liar = NAMES[-1]

    async def run() -> None:
        tasks = {name: await cluster.start(name) for name in NAMES[:-1]}
        stage = mesh_stage(small, liar, rounds=4)
        journal = Journal(tmp_path / "liar.sqlite", node=liar, run="mesh")
        journal.save(Checkpoint(None, b"", received=dict.fromkeys(others(liar), 2**40)))
        lying = asyncio.create_task(
            run_node(
                stage,
                cluster.identities[liar],
                cluster.public,
                Listen("127.0.0.1", 0),
                journal=journal,
                observer=cluster.watchers[liar],
                addresses=dict(cluster.addresses),
                limits=IMPATIENT,
            )
        )
        try:
            for task in tasks.values():
                await task
        finally:
            lying.cancel()
            await asyncio.gather(lying, return_exceptions=True)
            journal.close()

    cluster.limits = IMPATIENT
    asyncio.run(run())
    for name in NAMES[:-1]:
        assert sorted(cluster.accepted(name)) == list(range(1, 5))
