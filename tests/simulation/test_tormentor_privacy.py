"""Providers' own privacy in brokered learning: its price, who knows, and what a crash changes."""

from __future__ import annotations

import math
import struct

import msgspec
import numpy as np
import pytest

import troth
from troth.errors import UsageError
from troth.ids import NodeId
from troth.privacy.accounting import spent
from troth.privacy.own import own_privacy
from troth.protocols.tormentor.claims import Witness
from troth.protocols.tormentor.messages import GradientUpdate, Left, Refused
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.state import ProviderState
from troth.roles.effects import Load, Save, Send
from troth.worlds.mailbox import Envelope
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module
from troth.worlds.states import decode_state, encode_state

ROUNDS = 4
EPSILON, ODD_EPSILON = 40.0, 7.345678
NETWORK = '[network]\nlatency = { kind = "normal", mean_s = 0.1, std_s = 0.05 }\n'
COST = '[cost]\nkind = "fixed"\nseconds = { solve_puzzle = 1e-4, local_update = 0.02 }\n'
CALM = NETWORK + COST + "[puzzles]\nground_up_to = 1\n"
ROUGH = (
    CALM.replace("[cost]", "loss = 0.05\nduplication = 0.2\nreordering = 0.2\n[cost]")
    + "[churn]\nmean_online_s = 3.0\nmean_offline_s = 0.7\n[faults]\ncrashes = ["
    '{ node = "broker", at_s = 1.7, restart_after_s = 0.3 },'
    '{ node = "party-1", at_s = 1.9, restart_after_s = 0.4 }]\n'
)
MODES = {
    "asynchronous": 'synchrony = "asynchronous"',
    "bulk": 'synchrony = "bulk_synchronous"',
    "semi": 'synchrony = "semi_synchronous"\nstaleness = 2',
}
MECHANISMS = ("gaussian", "discrete_gaussian", "laplace", "dp_sgd")


def protocol(mode="asynchronous", *, verifiers="[]", **keys):
    keys = {"deadline_s": 5.0} | keys
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(
        ['name = "tormentor"', "difficulty = 1", f"verifiers = {verifiers}", MODES[mode], *lines]
    )


def private(mechanism="laplace", *, epsilon=EPSILON, own="", **keys):
    # One number of rows that all of them say: noise is then looked for once.
    rows = {"examples": 60} if mechanism == "dp_sgd" else {}
    keys = {"delta": 1e-3, "clip": 0.5} | rows | keys
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(
        [
            "[parties.privacy]",
            f'mechanism = "{mechanism}"',
            f"epsilon = {epsilon}",
            f"own_epsilon = {{ {own} }}",
            *lines,
            "",
        ]
    )


def state_of(run, party):
    durable = run.world.nodes[party].durable
    return ProviderState() if durable is None else decode_state(ProviderState, durable)


class Ledgers:
    """What providers save and send, over all their restarts.

    Whatever leaves was charged in a saved ledger before, and a number is used for one update only.
    """

    def __init__(self, run):
        self.run, self.saved, self.left = run, {}, {}
        for party in run.stage.parties:
            runtime = run.world.nodes[party]
            runtime.role = self.watch(runtime.role)

    def watch(self, role):
        async def watched(node):
            inner, value = role(node), None
            try:
                while True:
                    try:
                        effect = inner.send(value)
                    except StopIteration as stop:
                        return stop.value
                    if isinstance(effect, Save):
                        self.check_save(node.id, effect.state)
                    if isinstance(effect, Send) and isinstance(effect.message, GradientUpdate):
                        self.check_send(node.id, effect.message)
                    value = await effect
                    if isinstance(effect, Load) and node.id in self.saved:
                        assert encode_state(value) == encode_state(self.saved[node.id])
            finally:
                inner.close()

        return watched

    def check_save(self, party, state):
        before, self.saved[party] = self.saved.get(party), state
        assert state.ledger.last_release == state.updates
        if before is not None:
            assert state.updates - before.updates in (0, 1)

    def check_send(self, party, message):
        saved = self.saved[party]
        content = encode_state(message)
        assert saved.pending is not None
        assert encode_state(saved.pending) == content, "sent what was not saved"
        first = self.left.setdefault((party, saved.updates), content)
        assert first == content, "two updates for one price"


# ------------------------------------------------------------------ the outcome


def test_with_a_large_budget_it_still_learns(scenario_file):
    training = 'update = "gradient"\nlearning_rate = 0.5\nbatch_size = 40'
    keys = {"parties": 3, "rounds": 40, "training": training}
    own = private("dp_sgd", epsilon=100.0, clip=2.0, examples=72)
    result = troth.simulate(scenario_file(protocol(), CALM + own, **keys), progress=False)
    without = troth.simulate(scenario_file(protocol(), CALM, **keys), progress=False)
    assert without.final.error < 0.25
    assert result.final.error < without.final.error + 0.15
    assert not np.array_equal(result.parameters, without.parameters)


def test_what_leaves_is_noisy(scenario_file, simulated):
    """The first updates of all come from one model and the same batches, with noise and without."""
    sent = {}
    for name, own in (("private", private(epsilon=4.0)), ("plain", "")):
        run = simulated(scenario_file(protocol("bulk"), CALM + own, parties=2, name=name))
        seen = messages_of(run)
        updates = [decoded(run, data) for kind, data in seen if kind == "GradientUpdate"]
        sent[name] = [update.update_D for update in updates if update.version == 0]
    spread = {name: np.mean([update_D.std() for update_D in sent[name]]) for name in sent}
    # Laplace noise for 4 updates within epsilon = 4 and a bound of 0.5 is of scale 1 at least.
    assert spread["private"] > 1.0 > spread["plain"]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_report_says_what_the_accountant_says(scenario_file, mechanism):
    own = private(mechanism, own=f"party-1 = {ODD_EPSILON}", epsilon=20.0)
    path = scenario_file(protocol(), CALM + own, parties=3, training="learning_rate = 0.01")
    summary = troth.simulate(path, progress=False).summary
    assert summary.privacy.mechanism == mechanism
    assert [party.party for party in summary.privacy.parties] == ["party-0", "party-1", "party-2"]
    for party in summary.privacy.parties:
        assert party.budget == (ODD_EPSILON if party.party == "party-1" else 20.0)
        assert 0 < party.epsilon <= party.budget
        assert 1 <= party.releases <= ROUNDS
        assert (party.views, party.unit, party.adjacency) == (["broker"], "record", "add_remove")
        assert party.delta == summary.privacy.delta == 1e-3
        counted = {}
        for entry in party.entries:
            counted[msgspec.convert(entry["event"], type=_event_types())] = entry["times"]
        found = spent(counted, 1e-3, "add_remove")
        assert (party.epsilon, party.pld, party.rdp) == (found.epsilon, found.pld, found.rdp)
    assert summary.privacy.epsilon == max(party.epsilon for party in summary.privacy.parties)
    assert "protects nobody" in summary.privacy.note


def _event_types():
    from troth.privacy.events import Event

    return Event


def test_rejected_updates_cost_as_much_as_accepted_ones(scenario_file, simulated):
    strict = '[{ kind = "roni", share = 1.0, threshold = 0.0 }]'
    path = scenario_file(protocol(verifiers=strict), CALM + private(epsilon=8.0))
    run = simulated(path).go()
    rejected = [r.node for record in run.records for r in record.rejected]
    # The last ones were left without a round, as everybody had stopped.
    assert rejected
    for party in run.stage.parties:
        state = state_of(run, party)
        assert state.ledger.last_release == state.updates <= ROUNDS


# ------------------------------------------------------------------ budgets


@pytest.mark.parametrize("mode", ["asynchronous", "semi"])
def test_a_provider_stops_when_its_budget_is_spent(scenario_file, simulated, mode):
    """Updates that RONI rejects are lost for the training, so nobody's budget lasts to its end."""
    verifiers = '[{ kind = "roni", share = 0.5, threshold = 0.0 }]'
    path = scenario_file(protocol(mode, verifiers=verifiers), CALM + private(epsilon=8.0))
    run = simulated(path).go()
    assert run.world.nodes[CURATOR].result is not None
    assert run.world.traffic["Leave"] >= 1
    stopped = [state_of(run, party) for party in run.stage.parties]
    stopped = [state for state in stopped if state.stopped is not None]
    assert stopped
    for state in stopped:
        assert "release 5 would bring epsilon from" in state.stopped
        assert state.updates == ROUNDS


def test_the_run_says_who_stopped_and_goes_on_without(scenario_file, tmp_path):
    """The quickest provider has spent its budget long before the others have theirs."""
    slow = CALM.replace(
        "[cost]", "latency_of = { party-0 = 0.001, party-1 = 0.5, party-2 = 0.5 }\n[cost]"
    )
    path = scenario_file(protocol(), slow + private(), parties=3, rounds=6)
    result = troth.simulate(path, progress=False, into=tmp_path / "run")
    quick, *others = result.summary.parties
    assert "it was not made" in quick.stopped
    assert quick.accepted == 6
    assert result.summary.status == "finished"
    assert sum(party.accepted for party in others) > 0
    privacy = msgspec.json.decode((result.folder / "privacy.json").read_bytes())
    assert next(party["releases"] for party in privacy["parties"]) == 6


def test_a_restarted_provider_keeps_its_budget(scenario_file, simulated):
    run = simulated(scenario_file(protocol(), CALM + private())).go()
    party = run.stage.parties[0]
    run.world.nodes[party].role.keywords["privacy"] = None
    state = run.world.nodes[party].durable
    role = run.stage.cast.roles[party]
    for other in (None, own_privacy_of(run, party, epsilon=99.0)):
        inner = role.func(run.world.nodes[party].node, role.keywords["plan"], other)
        assert isinstance(inner.send(None), Load)
        with pytest.raises(UsageError, match="another privacy"):
            inner.send(decode_state(ProviderState, state))


def own_privacy_of(run, party, **changes):
    spec = msgspec.structs.replace(run.stage.privacy[party].spec, **changes)
    return own_privacy(
        spec, party, training=run.stage.scenario.charter.training, examples=36, simulated=True
    )


# ------------------------------------------------------------------ who knows


def messages_of(run):
    """Every message that any node sends, as bytes."""
    seen, send = [], run.world._send

    def listen(runtime, to, envelope, name):
        assert isinstance(envelope, Envelope)
        seen.append((name, envelope.data))
        send(runtime, to, envelope, name)

    run.world._send = listen
    run.go()
    return seen


def decoded(run, data):
    return run.world.codec.decode(data, sender=NodeId("somebody"))


def holds(data, value):
    return (
        any(struct.pack(form, value) in data for form in ("<d", ">d", "<f", ">f"))
        or str(value).encode() in data
    )


@pytest.mark.parametrize("minimum", [None, 1.5])
def test_the_broker_learns_epsilon_only_where_the_charter_asks(scenario_file, simulated, minimum):
    keys = {} if minimum is None else {"minimum_epsilon": minimum}
    run = simulated(scenario_file(protocol(**keys), CALM + private(epsilon=ODD_EPSILON), parties=3))
    seen = messages_of(run)
    assert {"GradientUpdate", "Next", "Join", "Delivered"} <= {name for name, _ in seen}
    telling = {name for name, data in seen if holds(data, ODD_EPSILON)}
    assert telling == (set() if minimum is None else {"GradientUpdate"})
    updates = [decoded(run, data) for name, data in seen if name == "GradientUpdate"]
    said = {update.epsilon for update in updates}
    assert said == ({None} if minimum is None else {ODD_EPSILON})


def test_examples_and_loss_stay_with_the_provider(scenario_file, simulated):
    """An update tells its values and how it was paid for."""
    assert [field.name for field in msgspec.structs.fields(GradientUpdate)] == [
        "model_id", "token", "nonce", "solution", "version", "update_D", "epsilon",
    ]  # fmt: skip


def test_without_noise_a_provider_says_so_where_it_is_asked(scenario_file, simulated):
    run = simulated(scenario_file(protocol(minimum_epsilon=2.0), CALM, parties=3))
    updates = [decoded(run, d) for name, d in messages_of(run) if name == "GradientUpdate"]
    assert {update.epsilon for update in updates} == {math.inf}
    assert len(run.records) == ROUNDS


# ------------------------------------------------------------------ requirements that do not meet


def test_who_cannot_meet_the_charter_does_not_join(scenario_file):
    own = private(own="party-1 = 0.5")
    path = scenario_file(protocol(minimum_epsilon=2.0), CALM + own, parties=3)
    summary = troth.simulate(path, progress=False).summary
    refused = summary.parties[1]
    assert refused.messages_sent == 0
    assert refused.stopped == (
        "its own epsilon=0.5 is below minimum_epsilon=2 of the charter, so its updates would be "
        "refused"
    )
    assert summary.privacy.parties[1].releases == 0
    assert summary.privacy.parties[1].epsilon == 0.0
    # Three updates are a round. When the two others had spent their budgets, it was over.
    assert [party.accepted for party in summary.parties] == [ROUNDS, 0, ROUNDS]
    assert (summary.status, summary.rounds) == ("finished", 2 * ROUNDS // 3 + 1)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (0.5, "trains with epsilon=0.5, and the curator asks for at least 2"),
        (None, "does not say its epsilon, and the curator asks for at least 2"),
    ],
)
def test_who_sends_anyway_is_rejected_and_both_sides_are_told(
    scenario_file, simulated, said, reason
):
    path = scenario_file(protocol(minimum_epsilon=2.0), CALM + private(), parties=3, rounds=6)
    run = simulated(path)
    witness = Witness(run.stage.cast.roles[BROKER].keywords["plan"])
    run.world.nodes[BROKER].role = witness.watch(run.world.nodes[BROKER].role)
    liar = NodeId("party-1")
    run.world.nodes[liar].role = saying(run.world.nodes[liar].role, said)
    run.go()
    witness.check_end()
    told = [(r.node, r.reason) for record in run.records for r in record.rejected]
    assert told
    assert set(told) == {(liar, reason)}
    assert state_of(run, liar).told == reason
    assert all(liar not in record.accepted for record in run.records)


def saying(role, epsilon):
    """`role`, which says `epsilon` with its updates, whatever it is."""

    async def lying(node):
        inner, value = role(node), None
        while True:
            try:
                effect = inner.send(value)
            except StopIteration as stop:
                return stop.value
            if isinstance(effect, Send) and isinstance(effect.message, GradientUpdate):
                effect = Send(effect.to, msgspec.structs.replace(effect.message, epsilon=epsilon))
            value = await effect

    return lying


def test_a_refusal_reaches_the_providers_report(scenario_file):
    strict = '[{ kind = "roni", share = 1.0, threshold = 0.0 }]'
    path = scenario_file(protocol(verifiers=strict), CALM + private(epsilon=4.0), parties=3)
    summary = troth.simulate(path, progress=False).summary
    assert any("validation error" in (party.told or "") for party in summary.parties)


# ------------------------------------------------------------------ crashes and resumed runs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mechanism", ["laplace", "dp_sgd"])
@pytest.mark.parametrize("seed", range(2))
def test_no_update_is_charged_twice_and_no_price_pays_for_two(
    scenario_file, simulated, mode, mechanism, seed
):
    path = scenario_file(
        protocol(mode, deadline_s=1.0), ROUGH + private(mechanism), seed=seed, parties=4
    )
    run = simulated(path)
    ledgers = Ledgers(run)
    run.go()
    assert len(ledgers.left) >= 4
    for party, state in ledgers.saved.items():
        charged = state.ledger.last_release
        sent = sum(1 for who, _ in ledgers.left if who == party)
        # The last one may have been saved and not sent yet.
        assert charged - sent in (0, 1)
        assert state.ledger.spent().epsilon <= EPSILON


@pytest.mark.parametrize("moment", np.linspace(0.3, 3.0, 12).round(2).tolist())
def test_killed_at_any_point_it_pays_what_it_would_have_paid(scenario_file, simulated, moment):
    """Bulk synchronous: a crash delays everybody, and changes nothing else."""
    path = scenario_file(protocol("bulk", deadline_s=30.0), CALM + private(), parties=3)
    # With the plain engine, where a request's place in a batch cannot show in its last digits.
    whole = simulated(path, ['engine.name="inline"']).go()
    crash = f'[{{ node = "party-1", at_s = {moment}, restart_after_s = 0.2 }}]'
    killed = simulated(path, ['engine.name="inline"', f"faults.crashes={crash}"])
    ledgers = Ledgers(killed)
    killed.go()
    assert set(ledgers.left) == {(p, n) for p in whole.stage.parties for n in range(1, ROUNDS + 1)}
    for party in whole.stage.parties:
        assert state_of(killed, party).ledger == state_of(whole, party).ledger
    np.testing.assert_array_equal(
        killed.world.nodes[CURATOR].result, whole.world.nodes[CURATOR].result
    )


def test_the_check_notices_noise_that_is_drawn_again(scenario_file, simulated, monkeypatch):
    """A provider that computes anew after a restart, instead of asking the same question again."""
    path = scenario_file(protocol(deadline_s=1.0), ROUGH + private(), parties=4)
    run = simulated(path)
    Ledgers(run)
    from troth.protocols.tormentor import provider

    question, asked = provider.question, []

    def careless(state, plan, key):
        found = question(state, plan, key)
        if isinstance(found, GradientUpdate):
            asked.append(found)
            noisy_D = found.update_D + np.float32(len(asked))
            return msgspec.structs.replace(found, update_D=noisy_D)
        return found

    monkeypatch.setattr(provider, "question", careless)
    with pytest.raises(AssertionError, match="not saved"):
        run.go()


def test_resumed_from_any_moment_a_private_run_ends_the_same(monkeypatch, scenario_file, simulated):
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 1)
    path = scenario_file(
        protocol(deadline_s=1.0), ROUGH + private("dp_sgd", own="party-0 = 20.0"), parties=4
    )
    taken = []

    def checkpoint(run):
        taken.append(snapshot.take(run.world, scenario_digest="s", observer=run.recorder.state()))

    whole = simulated(path, checkpoint=checkpoint).go()
    assert len(taken) > 30
    for index in {0, len(taken) - 1, *range(0, len(taken), max(1, len(taken) // 10))}:
        run = simulated(path)
        run.recorder.restore(snapshot.restore(run.world, taken[index], scenario_digest="s"))
        run.finish()
        assert run.world.trace_digest() == whole.world.trace_digest(), f"moment {index}"
        for party in run.stage.parties:
            assert state_of(run, party).ledger == state_of(whole, party).ledger


# ------------------------------------------------------------------ attackers and sybils


def test_an_attacker_adds_no_noise_to_what_it_makes_up(scenario_file):
    attack = '[[attacks]]\nkind = "sign_flip"\nparties = ["party-1"]\n'
    path = scenario_file(protocol(), CALM + private() + attack, parties=4)
    summary = troth.simulate(path, progress=False).summary
    assert [party.mechanism for party in summary.privacy.parties] == [
        "laplace", "none", "laplace", "laplace",
    ]  # fmt: skip
    assert "attackers add no noise: 1" in summary.privacy.note


def test_a_sybil_pays_from_one_budget_in_all_its_lives(scenario_file, simulated):
    strict = '[{ kind = "roni", share = 1.0, threshold = 0.0 }]'
    attack = '[[attacks]]\nkind = "rejoin"\nparties = ["party-1"]\n'
    path = scenario_file(
        protocol(verifiers=strict), CALM + private(epsilon=6.0) + attack, parties=4, rounds=8
    )
    run = simulated(path).go()
    state = state_of(run, "party-1")
    assert state.life > 1
    assert state.ledger.last_release == state.updates <= 8
    assert state.ledger.spent().epsilon <= 6.0


def test_goodbyes_are_answered(scenario_file, simulated):
    verifiers = '[{ kind = "roni", share = 0.5, threshold = 0.0 }]'
    path = scenario_file(protocol(verifiers=verifiers), CALM + private(epsilon=8.0), parties=3)
    run = simulated(path)
    left = []

    def listen(role):
        async def listening(node):
            inner, value = role(node), None
            while True:
                try:
                    effect = inner.send(value)
                except StopIteration as stop:
                    return stop.value
                value = await effect
                if isinstance(getattr(value, "message", None), Left | Refused):
                    left.append((node.id, value.message))

        return listening

    for party in run.stage.parties:
        run.world.nodes[party].role = listen(run.world.nodes[party].role)
    run.go()
    assert sorted(party for party, message in left if isinstance(message, Left)) == list(
        run.stage.parties
    )
    assert run.world.traffic["Leave"] == 3
