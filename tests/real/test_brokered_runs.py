"""A broker, a curator and providers that know none of each other come to what a simulation does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from brokered_nodes import (
    SHORT_LINGER,
    Brokered,
    Crash,
    brokered,
    provider_states,
    released,
    write_tumours,
)

import troth
from troth.crypto.identity import Identity
from troth.ids import Round
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.report.read import load_run

BULK = 'synchrony = "bulk_synchronous"\nverifiers = []\n'
EVERY_UPDATE = '[{ kind = "roni", share = 1.0, threshold = 0.02 }]'
ROUNDS = 6


def check_rounds(nodes: Brokered, *, rounds: int = ROUNDS) -> None:
    """The broker's folder tells of each round once, and of as many updates as count."""
    run = load_run(nodes.folder / BROKER)
    assert run.summary.status == "finished"
    assert [record.round for record in run.rounds] == list(range(1, rounds + 1))
    told = sum(len(record.accepted) for record in run.rounds)
    assert told == len(nodes.witness().counted)


@pytest.mark.parametrize("verifiers", ["[]", EVERY_UPDATE], ids=["work", "roni"])
def test_a_bulk_synchronous_run_is_the_simulation(tmp_path: Path, verifiers: str) -> None:
    scenario = write_tumours(tmp_path, BULK.replace("[]", verifiers) + "model_to_providers = true")
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all()
        nodes.end()
    simulated = troth.simulate(scenario, progress=False)
    for name in (CURATOR, *nodes.providers):
        np.testing.assert_allclose(nodes.model(name), simulated.parameters, atol=1e-6, rtol=0)
    check_rounds(nodes)


def test_an_asynchronous_run_comes_to_the_error_of_the_simulation(tmp_path: Path) -> None:
    """Orders differ, and with them the models. On 114 test rows, two rows more or less."""
    scenario = write_tumours(tmp_path, "verifiers = []", rounds=40, rate=0.3)
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all()
        nodes.end()
    simulated = troth.simulate(scenario, progress=False).final
    final = load_run(tmp_path / CURATOR).summary.final
    assert final.examples == simulated.examples == 114
    assert abs(final.error - simulated.error) <= 2 / 114
    check_rounds(nodes, rounds=40)
    assert len(nodes.witness().counted) == 40 * 3


def test_what_one_knows_the_others_do_not(tmp_path: Path) -> None:
    """Names of parties stay in their own folders; nobody's report has a name of the others."""
    scenario = write_tumours(tmp_path, BULK)
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all()
        nodes.end()
    accepted = Counter(
        name for record in load_run(tmp_path / BROKER).rounds for name in record.accepted
    )
    assert list(accepted.values()) == [ROUNDS] * 3
    assert all(name.startswith("provider-") for name in accepted)
    for file in (tmp_path / BROKER).rglob("*"):
        assert b"party-" not in file.read_bytes(), file


# ---------------------------------------------------------------- who is killed


@pytest.mark.parametrize(
    "crash", [Crash(1, "before"), Crash(2, "after"), Crash(4, "before")], ids=str
)
def test_a_provider_goes_on_with_the_same_question(tmp_path: Path, crash: Crash) -> None:
    """Saves: 1 the solved admission puzzle, 2 the first update, 3 the second, ..."""
    scenario = write_tumours(tmp_path, BULK)
    with brokered(scenario, tmp_path) as nodes:
        nodes.start_all(crashes={"party-1": crash})
        nodes.nodes["party-1"].died()
        nodes.start("party-1")
        nodes.end()
    simulated = troth.simulate(scenario, progress=False)
    np.testing.assert_allclose(nodes.model(), simulated.parameters, atol=1e-6, rtol=0)
    check_rounds(nodes)
    # It was one provider to the broker, before and after.
    assert {state.life for state in provider_states(nodes, "party-1")} == {0}
    assert len(released(nodes, "party-1")) == ROUNDS


PRIVATE = """
[privacy]
mechanism = "laplace"
epsilon = 8.0
delta = 1e-4
clip = 1.0
"""


def test_a_killed_provider_pays_for_every_release_once(tmp_path: Path) -> None:
    """Noise is drawn anew whenever an update is made: two for one puzzle would differ."""
    scenario = write_tumours(tmp_path, BULK)
    (tmp_path / "privacy.toml").write_text(PRIVATE)
    with brokered(scenario, tmp_path) as nodes:
        nodes.further["party-1"] = ["--privacy", tmp_path / "privacy.toml"]
        nodes.start_all(crashes={"party-1": Crash(3, "before")})
        nodes.nodes["party-1"].died()
        nodes.start("party-1", Crash(2, "after"))
        nodes.nodes["party-1"].died()
        nodes.start("party-1")
        nodes.end()
    states = provider_states(nodes, "party-1")
    sent = released(nodes, "party-1")
    assert len(set(sent.values())) == len(sent) == ROUNDS
    last = states[-1]
    assert sum(entry.times for entry in last.ledger.entries) == len(sent)
    assert last.ledger.last_release == last.updates == len(sent)
    for state in states:
        assert sum(entry.times for entry in state.ledger.entries) == state.updates
    counted = {update.update_D.tobytes() for update in nodes.witness().counted.values()}
    assert set(sent.values()) <= counted


@pytest.mark.parametrize(
    "crash", [Crash(1, "before"), Crash(1, "after"), Crash(2, "before")], ids=str
)
def test_a_killed_curator_gets_its_model(tmp_path: Path, crash: Crash) -> None:
    """Before it knows that its broker runs, after that, and when it has the model."""
    scenario = write_tumours(tmp_path, BULK)
    with brokered(scenario, tmp_path) as nodes:
        broker = nodes.start_broker()
        nodes.start(CURATOR, crash)
        broker.event("deployed")
        for name in nodes.providers:
            nodes.start(name)
        nodes.nodes[CURATOR].died()
        nodes.start(CURATOR)
        nodes.end()
    simulated = troth.simulate(scenario, progress=False)
    np.testing.assert_allclose(nodes.model(), simulated.parameters, atol=1e-6, rtol=0)


def test_a_curator_that_comes_back_when_all_is_over_gets_its_model(tmp_path: Path) -> None:
    """It is killed before it knows that its broker runs, and asks for that again after the last
    round: it is told, and not that the training is over, which answers nothing that it asked."""
    with brokered(write_tumours(tmp_path, BULK, rounds=1), tmp_path) as nodes:
        broker = nodes.start_broker()
        nodes.start(CURATOR, Crash(1, "before"))
        broker.event("deployed")
        nodes.nodes[CURATOR].died()
        for name in nodes.providers:
            nodes.start(name)
        for name in nodes.providers:
            nodes.nodes[name].end()
        nodes.start(CURATOR)
        nodes.end()
    np.testing.assert_array_equal(nodes.model(), nodes.model(BROKER))


@pytest.mark.parametrize("synchrony", ["asynchronous", "bulk_synchronous"])
def test_one_that_never_comes_back_does_not_hold_up_the_others(
    tmp_path: Path, synchrony: str
) -> None:
    scenario = write_tumours(
        tmp_path, f'synchrony = "{synchrony}"\nverifiers = []\ndeadline_s = 2.0'
    )
    with brokered(scenario, tmp_path) as nodes:
        nodes.further[BROKER] = SHORT_LINGER
        nodes.start_all(crashes={"party-2": Crash(4, "before")})
        nodes.nodes.pop("party-2").died()
        nodes.end()
    check_rounds(nodes)
    assert load_run(tmp_path / CURATOR).summary.final is not None
    missing = [name for record in load_run(tmp_path / BROKER).rounds for name in record.missing]
    assert len(missing) == (synchrony == "bulk_synchronous")


# ---------------------------------------------------------------- who may join


def test_who_is_on_the_list_joins_and_others_are_told_why(tmp_path: Path) -> None:
    keys = [Identity.create() for _ in range(4)]
    for number, key in enumerate(keys):
        key.save(tmp_path / f"key-{number}.pem")
    listed = ", ".join(f'"{key.public}"' for key in keys[:3])
    scenario = write_tumours(
        tmp_path,
        'synchrony = "bulk_synchronous"\n'
        f'verifiers = [{{ kind = "allow_list", keys = [{listed}] }}]',
    )
    with brokered(scenario, tmp_path) as nodes:
        for number, name in enumerate(nodes.providers):
            nodes.further[name] = ["--identity", tmp_path / f"key-{number}.pem"]
        right = nodes.further["party-2"]
        nodes.further["party-2"] = ["--identity", tmp_path / "key-3.pem", "--into", tmp_path / "no"]
        nodes.start_all()
        assert nodes.nodes["party-2"].code() == 5
        assert "not on the allow list" in nodes.nodes["party-2"].said
        nodes.further["party-2"] = right
        nodes.start("party-2")
        nodes.end()
    check_rounds(nodes)
    accepted = {name for record in load_run(tmp_path / BROKER).rounds for name in record.accepted}
    assert accepted == {f"provider-{key.public[:12]}" for key in keys[:3]}
    assert Round(ROUNDS) == load_run(tmp_path / BROKER).summary.rounds
