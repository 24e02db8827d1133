"""What the broker and a provider decide, without a world: one question at a time."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from troth import streams
from troth.crypto.puzzles import SolvePuzzle, check_issued, model_digest
from troth.crypto.signatures import SigningKey
from troth.errors import CharterError, PeerError
from troth.ids import NodeId, PartyId, Round
from troth.learning.requests import LocalResult
from troth.learning.training import Training
from troth.privacy.spec import NoPrivacy
from troth.protocols.protocol import CharterTables
from troth.protocols.tormentor import joining, provider, rounds, steps, verification
from troth.protocols.tormentor.awaiting import awaited
from troth.protocols.tormentor.cost import messages_per_round
from troth.protocols.tormentor.messages import (
    MESSAGES,
    Curate,
    Delivered,
    Fetch,
    Finished,
    GradientUpdate,
    Join,
    Joined,
    Leave,
    Left,
    Next,
    Refused,
    Solve,
)
from troth.protocols.tormentor.parameters import (
    RONI,
    AllowList,
    Plateau,
    ShapleyValue,
    Tormentor,
)
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.roles import curator as curator_role
from troth.protocols.tormentor.roles import provider as provider_role
from troth.protocols.tormentor.state import (
    Admitting,
    CuratorState,
    Deposit,
    Plan,
    ProviderState,
    Secret,
)
from troth.robustness.roni import Influence
from troth.robustness.shapley import Value
from troth.roles.effects import Load, Perform, Receive, Received, Send
from troth.roles.node import Node
from troth.streams import Stream
from troth.wire import Codec
from troth.worlds.states import decode_state, encode_state

A, B, C = (PartyId(NodeId(f"party-{i}")) for i in range(3))
D = 4


def plan(parties=(A, B), training=None, **keys):
    parameters = Tormentor(**({"difficulty": 0, "verifiers": []} | keys))
    parameters.check()
    training = training or Training(rounds=3, learning_rate=0.5)
    return Plan(parties, np.zeros(D, np.float32), training, parameters, "sha256:model")


class Table:
    """A broker's state and the providers around it."""

    def __init__(self, plan, now_s=0.0):
        self.plan, self.now_s = plan, now_s
        self.state = joining.begin(plan, Secret(b"s" * 32), b"", CURATOR, now_s)
        self.state = joining.sent(self.state)

    def key(self, party):
        return SigningKey(party.encode().ljust(32, b"\0"))

    def join(self, party):
        key = self.key(party)
        puzzle = joining.admission(
            self.state, self.plan, Join(self.plan.model_id, key.public), sender=party
        ).puzzle
        solved = SolvePuzzle(self.plan.parameters.puzzle, puzzle, None).run(None)
        signature = key.sign(joining.JOIN, puzzle.challenge())
        solve = Solve(self.plan.model_id, puzzle, solved.solution, signature)
        self.state = joining.admit(self.state, self.plan, solve, sender=party, now_s=self.now_s)
        return self.go_on()

    def connection(self, party):
        (found,) = [
            c for c in self.state.connections.values() if c.provider == self.key(party).public
        ]
        return found

    def update(self, party, value, **changes):
        c = self.connection(party)
        solved = SolvePuzzle(self.plan.parameters.puzzle, c.puzzle, None).run(None)
        values = np.full(D, value, np.float32)
        update = GradientUpdate(
            self.plan.model_id, c.token, c.puzzle.nonce, solved.solution, c.version, values
        )
        return msgspec.structs.replace(update, **changes)

    def check(self, update, party):
        return steps.check_update(self.state, self.plan, update, sender=party)

    def send(self, party, value):
        """An update that no verifier looks at, accepted."""
        candidate = self.check(self.update(party, value), party)
        self.state = steps.accept(self.state, self.plan, candidate)
        return self.go_on()

    def go_on(self):
        """What the broker's role does after each question; who is answered now."""
        self.state = rounds.settle(self.state, self.plan, self.now_s)
        if rounds.round_is_over(self.state, self.plan):
            self.state = rounds.close_round(self.state, self.plan, None)
        self.state = rounds.release(self.state, self.plan, self.now_s)
        answered = [self.state.connections[token].node for token in self.state.outbox]
        self.state = joining.sent(self.state)
        return answered


def test_nobody_is_answered_before_enough_have_joined():
    table = Table(plan())
    assert table.join(A) == []
    assert table.connection(A).waits
    assert table.join(B) == [A, B]
    assert isinstance(rounds.answer(table.state, table.connection(A)), Joined)


def test_a_deadline_starts_with_who_is_there():
    table = Table(plan(deadline_s=5.0))
    assert rounds.patience_s(table.state, table.plan, 1.0) is None
    assert table.join(A) == []
    assert rounds.patience_s(table.state, table.plan, 1.0) == 4.0
    table.now_s = 5.0
    assert table.go_on() == [A]


def test_asynchronous_updates_are_applied_as_they_come():
    table = Table(plan())
    table.join(A)
    table.join(B)
    assert table.send(A, 1.0) == [A]
    assert table.send(A, 2.0) == [A]
    np.testing.assert_array_equal(table.state.params_D, np.full(D, 3.0))
    assert (table.state.version, table.state.round) == (2, 1)
    answer = rounds.answer(table.state, table.connection(A))
    assert isinstance(answer, Next)
    assert answer.version == 2


def test_bulk_synchronous_is_the_mean_of_one_update_of_each():
    table = Table(plan((A, B, C), synchrony="bulk_synchronous"))
    for party in (A, B, C):
        table.join(party)
    assert table.send(B, 1.0) == []
    assert table.send(A, 2.0) == []
    np.testing.assert_array_equal(table.state.params_D, np.zeros(D))
    assert sorted(table.send(C, 6.0)) == [A, B, C]
    np.testing.assert_array_equal(table.state.params_D, np.full(D, 3.0))
    assert table.state.round == 1


def test_a_broker_says_whom_or_what_it_waits_for():
    """Without a deadline it waits for ever, and nobody said why."""
    table = Table(plan((A, B, C), synchrony="bulk_synchronous"))

    def said():
        return awaited(table.state, table.plan.providers)

    table.join(A)
    assert said() == "for 2 more providers to join: 1 of 3 are here"
    for party in (B, C):
        table.join(party)
    for party in (B, A):
        table.send(party, 1.0)
    assert said() == f"for the next update of 1 of 3 providers: {table.connection(C).name}"
    table.state = joining.leave(table.state, table.connection(C).token)
    table.go_on()
    for party in (A, B):
        table.state = joining.leave(table.state, table.connection(party).token)
    assert said() == "for a provider to join: all have left"
    table.state = msgspec.structs.replace(table.state, finished=True)
    assert said() == "for the curator to fetch the model"
    table.state = msgspec.structs.replace(table.state, delivered=True)
    assert said() == "for providers to hear that the training is over"


def test_bulk_synchronous_goes_on_without_who_is_late():
    table = Table(plan(synchrony="bulk_synchronous", deadline_s=5.0))
    table.join(A)
    table.join(B)
    table.send(A, 4.0)
    table.now_s = 4.0
    assert table.go_on() == []
    assert rounds.patience_s(table.state, table.plan, 4.0) == 1.0
    table.now_s = 5.0
    assert table.go_on() == [A]
    np.testing.assert_array_equal(table.state.params_D, np.full(D, 4.0))
    assert [c.node for c in table.state.connections.values()] == [A]


def test_bounded_staleness_holds_back_who_is_ahead():
    table = Table(plan((A, B, C), synchrony="semi_synchronous", staleness=1))
    for party in (A, B, C):
        table.join(party)
    assert table.send(A, 1.0) == [A]
    assert table.send(A, 1.0) == []
    assert table.send(B, 1.0) == [B]
    assert table.send(C, 1.0) == [C, A] or table.connection(A).puzzle is not None
    newcomer = PartyId(NodeId("party-9"))
    table.join(newcomer)
    assert table.connection(newcomer).clock == 1


def test_an_update_counts_once_and_a_rejection_raises_the_difficulty_by_one():
    table = Table(plan())
    table.join(A)
    table.join(B)
    update = table.update(A, 1.0)
    candidate = table.check(update, A)
    table.state = steps.accept(table.state, table.plan, candidate)
    table.go_on()
    assert table.check(update, A) == table.connection(A)
    for expected in range(1, 20):
        c = table.connection(A)
        candidate = steps.Candidate(c, np.zeros(D, np.float32))
        table.state = steps.reject(table.state, candidate, "bad", harder=True)
        table.go_on()
        assert table.connection(A).difficulty == min(expected, 16)
    assert isinstance(rounds.answer(table.state, table.connection(A)), Refused)
    assert table.connection(A).puzzle.difficulty == 16
    assert not steps.is_hopeless(table.state)
    assert table.connection(B).difficulty == 0


def test_every_puzzle_is_new_and_bound_to_the_model_it_comes_with():
    table = Table(plan())
    table.join(A)
    table.join(B)
    seen = {table.connection(A).puzzle.nonce, table.connection(B).puzzle.nonce}
    for _ in range(5):
        table.send(A, 1.0)
        puzzle = table.connection(A).puzzle
        assert puzzle.model_digest == model_digest(table.state.params_D)
        seen.add(puzzle.nonce)
        # An update's puzzle is no ticket for joining, whoever presents it.
        with pytest.raises(PeerError, match="not issued here"):
            check_issued(b"s" * 32, joining.JOIN, puzzle, sender=A)
    assert len(seen) == 7


def test_the_state_survives_being_written_down():
    table = Table(plan(synchrony="bulk_synchronous"))
    table.join(A)
    table.join(B)
    table.send(A, 1.0)
    data = encode_state(table.state)
    again = decode_state(type(table.state), data)
    assert encode_state(again) == data
    assert "ssss" not in repr(table.state)
    assert "<redacted>" in repr(table.state)


def test_an_expired_puzzle_and_a_full_house_are_refused(monkeypatch):
    table = Table(plan(puzzle_rounds=2))
    key = table.key(A)
    puzzle = joining.admission(
        table.state, table.plan, Join(table.plan.model_id, key.public), sender=A
    ).puzzle
    solved = SolvePuzzle(table.plan.parameters.puzzle, puzzle, None).run(None)
    solve = Solve(
        table.plan.model_id, puzzle, solved.solution, key.sign(joining.JOIN, puzzle.challenge())
    )
    old = msgspec.structs.replace(table.state, round=Round(3))
    with pytest.raises(PeerError, match="past puzzle_rounds = 2"):
        joining.admit(old, table.plan, solve, sender=A, now_s=0.0)
    monkeypatch.setattr(joining, "MAX_CONNECTIONS", 0)
    with pytest.raises(PeerError, match="0 providers were here"):
        joining.admit(table.state, table.plan, solve, sender=A, now_s=0.0)


def test_used_admission_puzzles_are_remembered_until_they_would_have_expired():
    table = Table(plan((A,), puzzle_rounds=2))
    table.join(A)
    assert len(table.state.spent) == 1
    table.state = msgspec.structs.replace(table.state, round=Round(9))
    table.join(B)
    assert list(table.state.spent.values()) == [9]


def test_a_charter_must_be_signed_by_a_curator_that_may():
    key = SigningKey(b"c" * 32)
    mine = plan(curators=[key.public.hex()])
    good = joining.curation(mine.model_id, key, Deposit())
    joining.check_deployment(mine, good, sender=CURATOR)
    other = SigningKey(b"o" * 32)
    forged = msgspec.structs.replace(
        good, signature=joining.curation(mine.model_id, other, Deposit()).signature
    )
    with pytest.raises(joining.FinalError, match="wrong signature for curate"):
        joining.check_deployment(mine, forged, sender=CURATOR)
    stranger = Curate(mine.model_id, other.public, forged.signature)
    with pytest.raises(joining.FinalError, match="not on the list"):
        joining.check_deployment(mine, stranger, sender=CURATOR)


def test_charter_and_validation_set_are_what_the_curator_has_signed():
    key, mine = SigningKey(b"c" * 32), plan()
    rows = np.arange(6, dtype=np.float32)
    good = joining.curation(mine.model_id, key, Deposit(b"{}", (3,), 2, rows, rows[:2]))
    joining.check_signed(good, sender=CURATOR)
    for change in (
        {"charter": b"[]"},
        {"shape": (2,)},
        {"outputs": 3},
        {"shape": (3, 2), "outputs": 0},
        {"x_NF": rows[::-1].copy()},
        {"y_N": rows[1:3]},
        {"x_NF": rows[:4], "y_N": rows[4:]},
    ):
        with pytest.raises(joining.FinalError, match="wrong signature for curate"):
            joining.check_signed(msgspec.structs.replace(good, **change), sender=CURATOR)


def test_only_the_curator_is_given_the_model():
    key, other, table = SigningKey(b"c" * 32), SigningKey(b"o" * 32), Table(plan())
    state = msgspec.structs.replace(table.state, curator=key.public)
    text = joining.addressed_text(table.plan)
    elsewhere = joining.addressed_text(dataclasses.replace(table.plan, broker="another"))
    fetch = Fetch(table.plan.model_id, key.sign(joining.FETCH, text))
    joining.check_curator(state, table.plan, fetch, sender=CURATOR)
    for signature in (
        other.sign(joining.FETCH, text),
        key.sign(joining.DELIVERY, text),
        key.sign(joining.FETCH, elsewhere),
        key.sign(joining.FETCH, table.plan.model_id.encode()),
    ):
        with pytest.raises(joining.FinalError, match="wrong signature for fetch"):
            joining.check_curator(
                state, table.plan, Fetch(fetch.model_id, signature), sender=CURATOR
            )


def test_a_plateau_is_counted_from_the_best_round():
    mine = plan(
        plateau=Plateau(rounds=2, improvement=0.1), training=Training(rounds=99, learning_rate=1)
    )
    state = Table(mine).state
    over = []
    for error in (0.9, 0.85, 0.7, 0.65, 0.61):
        state = rounds.close_round(state, mine, error)
        over.append(state.finished)
    assert over == [False, False, False, False, True]
    assert state.best_error == 0.7


# ------------------------------------------------------------------ verifiers


def test_which_updates_are_looked_at_is_drawn_per_provider_and_update():
    mine = plan(verifiers=[RONI(share=0.1)])
    table = Table(mine)
    table.join(A)
    table.join(B)
    looked = 0
    for number in range(2000):
        c = msgspec.structs.replace(table.connection(A), updates=number)
        found = [list(verification.examinations(table.state, mine, c, np.ones(D, np.float32)))
                 for _ in range(2)]  # fmt: skip
        assert len(found[0]) == len(found[1])
        looked += len(found[0])
    assert 150 < looked < 250


def test_on_probation_every_update_is_looked_at():
    endless = Training(rounds=99, learning_rate=1)
    mine = plan((A,), verifiers=[RONI(share=1e-9)], probation=2, training=endless)
    table = Table(mine)
    table.join(A)

    def looked_at():
        update_D = np.ones(D, np.float32)
        return len(
            list(verification.examinations(table.state, mine, table.connection(A), update_D))
        )

    seen = []
    for _ in range(3):
        seen.append(looked_at())
        table.send(A, 1.0)
    candidate = steps.Candidate(table.connection(A), np.ones(D, np.float32))
    table.state = steps.reject(table.state, candidate, "bad", harder=True)
    table.go_on()
    assert [*seen, looked_at()] == [1, 1, 0, 1]


def test_shapley_sees_the_last_updates_that_were_applied():
    mine = plan((A,), verifiers=[ShapleyValue(share=1.0, window=2)])
    table = Table(mine)
    table.join(A)
    for value in (1.0, 2.0, 3.0):
        table.send(A, value)
    ((_, request),) = verification.examinations(
        table.state, mine, table.connection(A), np.full(D, 4.0, np.float32)
    )
    assert [float(change[0]) for change in request.changes] == [2.0, 3.0, 4.0]


# ------------------------------------------------------------------ provider


def test_a_broker_that_everybody_has_left_waits_for_others_once():
    table = Table(plan(deadline_s=10.0))
    for party in (A, B):
        table.join(party)
    gone = msgspec.structs.replace(
        joining.sent(table.state), started=True, connections={}, departures=((A, b"t" * 32),)
    )
    deserted = rounds.settle(gone, table.plan, 4.0)
    assert rounds.patience_s(deserted, table.plan, 5.0) == 9.0
    assert not rounds.time_is_up(deserted, table.plan, 13.9)
    assert rounds.time_is_up(deserted, table.plan, 14.0)
    # Somebody else has come, or the others were only passed over.
    again = msgspec.structs.replace(deserted, connections=table.state.connections, departures=())
    assert not rounds.time_is_up(rounds.settle(again, table.plan, 5.0), table.plan, 14.0)
    passed_over = msgspec.structs.replace(gone, departures=())
    assert not rounds.time_is_up(rounds.settle(passed_over, table.plan, 4.0), table.plan, 99.0)


def test_a_provider_knows_answers_to_other_questions():
    mine = plan()
    key = SigningKey(b"k" * 32)
    join = provider.question(ProviderState(), mine, key)
    assert join == Join(mine.model_id, key.public)
    assert provider.is_answer(Refused(key.public, "no"), join)
    assert not provider.is_answer(Refused(b"x" * 32, "no"), join)
    table = Table(mine)
    admission = joining.admission(table.state, mine, join, sender=A)
    assert provider.is_answer(admission, join)
    solved = SolvePuzzle(mine.parameters.puzzle, admission.puzzle, None).run(None)
    state = provider.at_the_door(ProviderState(), admission.puzzle, solved)
    solve = provider.question(state, mine, key)
    assert isinstance(solve, Solve)
    assert not provider.is_answer(admission, solve)
    joined = Joined(admission.puzzle.nonce, b"t" * 32, 0, mine.initial_D, admission.puzzle)
    assert provider.is_answer(joined, solve)
    result = LocalResult(np.ones(D, np.float32), 3, 0.0)
    state = provider.ready(state, mine, None, joined, joined.token, solved, result, Stream(1))
    update = provider.question(state, mine, key)
    assert update is state.pending
    assert not provider.is_answer(joined, update)
    leaving = provider.stopped(state, "spent", leaving=b"t" * 32)
    leave = provider.question(leaving, mine, key)
    assert leave == Leave(mine.model_id, b"t" * 32)
    assert provider.is_answer(Left(b"t" * 32), leave)
    assert not provider.is_answer(Left(b"x" * 32), leave)
    assert not provider.is_answer(Left(b"t" * 32), update)
    assert provider.outside(state).life == 1
    assert provider.outside(state).updates == state.updates == 1


def test_pseudonyms_change_with_every_life_unless_the_charter_lists_them():
    secret = Stream(1, ("secret",))
    open_to_all = plan()
    lives = {provider.pseudonym(secret, open_to_all, life).public for life in range(4)}
    assert len(lives) == 4
    listed = plan(verifiers=[AllowList(keys=["0" * 64])])
    assert len({provider.pseudonym(secret, listed, life).public for life in range(4)}) == 1


# ------------------------------------------------------------------ charter


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"synchrony": "semi_synchronous"}, "staleness is missing"),
        ({"staleness": 3}, "staleness = 3 has no effect"),
        ({"verifiers": [RONI(), RONI()]}, r"verifiers\[1\].kind = \"roni\" is there already"),
    ],
)
def test_contradictions_are_refused(keys, problem):
    with pytest.raises(CharterError, match=problem):
        plan(**keys)


def test_joining_is_two_digits_harder_unless_the_charter_says_otherwise():
    assert Tormentor().to_join == 5
    assert Tormentor(difficulty=16).to_join == 16
    assert Tormentor(admission_difficulty=3).to_join == 3


def test_the_cost_of_a_round_is_what_the_codec_makes_of_it():
    table = Table(plan())
    table.join(A)
    table.join(B)
    codec = Codec(MESSAGES)
    update = codec.encode(table.update(A, 1.0, solution=bytes(8)))
    agreed = table.plan
    charter_tables = CharterTables(
        parameters=agreed.parameters, privacy=NoPrivacy(), training=agreed.training
    )
    cost = messages_per_round(charter_tables, 2, D)
    # The model id of a real charter is 71 characters; this one's is shorter.
    assert cost["GradientUpdate"][0] == 2
    longer = 71 - len(table.plan.model_id) + 1
    assert cost["GradientUpdate"][1] == 2 * (len(update) + longer)


def test_a_refusal_with_a_puzzle_and_without_its_model_is_no_message():
    table = Table(plan())
    asked = Join(table.plan.model_id, table.key(A).public)
    puzzle = joining.admission(table.state, table.plan, asked, sender=A).puzzle
    refused = Refused(b"t", "no", params_D=table.state.params_D, puzzle=puzzle)
    codec = Codec(MESSAGES)
    whole = codec.encode(refused)
    assert codec.encode(codec.decode(whole, sender=BROKER)) == whole
    fields = msgspec.msgpack.decode(whole[1:])
    assert len(fields) == 7
    fields[-2] = None
    with pytest.raises(PeerError, match="a puzzle and a model, or neither") as caught:
        codec.decode(whole[:1] + msgspec.msgpack.encode(fields), sender=BROKER)
    assert caught.value.culprits == (BROKER,)


def test_a_broker_that_lets_a_provider_go_on_before_it_has_joined_is_blamed():
    mine = plan()
    stream = streams.secret(0)
    role = provider_role(Node(A, stream, stream), mine)
    joins = role.send(None)
    while not isinstance(joins, Send):
        joins = role.send(None)
    puzzle = joining.admission(Table(mine).state, mine, joins.message, sender=A).puzzle
    refused = Refused(joins.message.provider, "no", params_D=np.zeros(D, np.float32), puzzle=puzzle)
    assert isinstance(role.send(None), Receive)
    with pytest.raises(PeerError, match="lets a provider go on") as caught:
        role.send(Received(BROKER, refused))
    assert caught.value.culprits == (BROKER,)


def solve_of(table, party, key):
    """A solved admission puzzle of `party`, signed by `key`."""
    provider_key = table.key(party).public
    puzzle = joining.admission(
        table.state, table.plan, Join(table.plan.model_id, provider_key), sender=party
    ).puzzle
    solution = SolvePuzzle(table.plan.parameters.puzzle, puzzle, None).run(None).solution
    signature = key.sign(joining.JOIN, puzzle.challenge())
    return Solve(table.plan.model_id, puzzle, solution, signature)


def test_a_repeated_solve_is_answered_only_on_the_provider_s_own_signature():
    table = Table(
        plan(verifiers=[AllowList(keys=[SigningKey(A.encode().ljust(32, b"\0")).public.hex()])])
    )
    own = solve_of(table, A, table.key(A))
    forged = msgspec.structs.replace(own, signature=b"\x07" * 64)
    table.join(A)
    with pytest.raises(PeerError, match="wrong signature"):
        joining.admit(table.state, table.plan, forged, sender=C, now_s=0.0)
    again = joining.admit(table.state, table.plan, own, sender=A, now_s=0.0)
    assert again == table.connection(A)


def test_a_repeated_update_is_answered_only_on_the_same_solution():
    table = Table(plan())
    table.join(A)
    table.join(B)
    update = table.update(A, 1.0)
    table.state = steps.accept(table.state, table.plan, table.check(update, A))
    table.go_on()
    assert table.check(update, A) == table.connection(A)
    with pytest.raises(PeerError, match="another solution"):
        table.check(msgspec.structs.replace(update, solution=b"guessed"), C)


@pytest.mark.parametrize(
    "sent_D",
    [
        np.zeros(D + 1, np.float32),
        np.zeros(0, np.float32),
        np.array([0, np.nan, 0, 0], np.float32),
        np.array([0, 0, np.inf, 0], np.float32),
    ],
    ids=["too long", "empty", "not a number", "infinite"],
)
def test_a_broker_that_sends_no_model_of_the_charter_is_blamed(sent_D):
    with pytest.raises(PeerError) as caught:
        provider.checked_model(plan(), sent_D)
    assert caught.value.culprits == (BROKER,)


@pytest.mark.parametrize("kind", ["joined", "next", "refused", "finished", "delivered"])
def test_no_model_is_computed_from_or_kept_before_it_is_checked(kind):
    bad_D = np.full(D, np.nan, np.float32)
    table = Table(plan(model_to_providers=True))
    table.join(A)
    table.join(B)
    puzzle = table.connection(A).puzzle
    secret = streams.learning(1).child("secret")
    waits = {
        "next": lambda: Next(puzzle.nonce, 1, bad_D, puzzle),
        "refused": lambda: Refused(puzzle.nonce, "no", False, 1, bad_D, puzzle),
        "joined": lambda: Joined(puzzle.nonce, bytes(32), 1, bad_D, puzzle),
        "finished": lambda: Finished(table.plan.model_id, 1, bad_D),
        "delivered": lambda: Delivered(table.plan.model_id, 1, bad_D),
    }
    answer = waits[kind]()
    if kind == "delivered":
        node = Node(CURATOR, secret, secret)
        role = curator_role(node, table.plan)
        loaded = CuratorState("here")
    else:
        node = Node(A, secret, secret)
        role = provider_role(node, table.plan)
        loaded = ProviderState(pending=table.update(A, 1.0))
        if kind == "joined":
            loaded = ProviderState(admitting=Admitting(puzzle, b""))
    with pytest.raises(PeerError) as caught:
        play_without_computing(role, loaded, answer)
    assert caught.value.culprits == (BROKER,)


def play_without_computing(role, loaded, answer):
    """Give a role its saved state and one answer of the broker, whatever it asks."""
    effect = role.send(None)
    while True:
        assert not isinstance(effect, Perform), "it computes before it has checked"
        value = None
        if isinstance(effect, Load):
            value = loaded
        elif isinstance(effect, Receive):
            value = Received(BROKER, answer)
        effect = role.send(value)


def test_a_solved_puzzle_is_worth_one_place_after_a_restart_too():
    table = Table(plan())
    solve = solve_of(table, A, table.key(A))
    table.join(A)
    table.state = decode_state(type(table.state), encode_state(table.state))
    again = joining.admit(table.state, table.plan, solve, sender=C, now_s=0.0)
    assert again == table.connection(A)
    table.state = joining.leave(table.state, again.token)
    table.state = decode_state(type(table.state), encode_state(table.state))
    with pytest.raises(PeerError, match="used already"):
        joining.admit(table.state, table.plan, solve, sender=A, now_s=0.0)
    late = msgspec.structs.replace(table.state, round=Round(100), spent={})
    with pytest.raises(PeerError, match="past puzzle_rounds"):
        joining.admit(late, table.plan, solve, sender=A, now_s=0.0)


def test_no_more_used_puzzles_are_remembered_than_the_bound(monkeypatch):
    monkeypatch.setattr(joining, "MAX_SPENT", 1)
    table = Table(plan())
    table.join(A)
    with pytest.raises(PeerError, match="puzzles were used lately"):
        table.join(B)
    assert len(table.state.spent) == 1


def looked_at(table, party, updates):
    """Which of so many updates on the connection of `party` a verifier would look at."""
    return [
        bool(
            list(
                verification.examinations(
                    table.state,
                    table.plan,
                    msgspec.structs.replace(table.connection(party), updates=number, proven=99),
                    np.zeros(D, np.float32),
                )
            )
        )
        for number in range(updates)
    ]


def rejoined(table, party, *, leaves):
    """The table once `party` has joined again, in a later round, by the same key."""
    if leaves:
        table.state = joining.leave(table.state, table.connection(party).token)
    table.state = msgspec.structs.replace(table.state, round=Round(table.state.round + 1))
    table.join(party)


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("verifier", [RONI(share=0.5), ShapleyValue(share=0.5)])
def test_a_pseudonym_that_comes_back_meets_other_draws(verifier, leaves):
    table = Table(plan(verifiers=[verifier]))
    table.join(A)
    first = looked_at(table, A, 64)
    assert looked_at(table, A, 64) == first
    rejoined(table, A, leaves=leaves)
    second = looked_at(table, A, 64)
    assert second != first
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 56


@pytest.mark.parametrize("leaves", [True, False])
def test_a_pseudonym_that_comes_back_keeps_its_record(leaves):
    table = Table(plan(probation=3))
    table.join(A)
    table.join(B)
    for _ in range(2):
        candidate = steps.Candidate(table.connection(A), np.zeros(D, np.float32))
        table.state = steps.reject(table.state, candidate, "bad", harder=True)
        table.go_on()
    table.send(A, 1.0)
    table.send(B, 1.0)
    before = table.connection(A)
    assert (before.difficulty, before.proven) == (2, 1)
    rejoined(table, A, leaves=leaves)
    after = table.connection(A)
    assert after.token != before.token
    assert (after.difficulty, after.proven, after.clock) == (2, 1, before.clock)
    assert table.connection(B).difficulty == 0


def test_records_are_bounded_and_the_worst_are_kept(monkeypatch):
    monkeypatch.setattr(joining, "MAX_RECORDS", 1)
    table = Table(plan((A,)))
    table.join(A)
    candidate = steps.Candidate(table.connection(A), np.zeros(D, np.float32))
    table.state = steps.reject(table.state, candidate, "bad", harder=True)
    table.go_on()
    for party in (A, B, C):
        if party != A:
            table.join(party)
        table.state = joining.leave(table.state, table.connection(party).token)
    assert list(table.state.records) == [table.key(A).public]


@pytest.mark.parametrize(
    ("verifier", "finding"),
    [(RONI(), Influence(0.1, 0.2345)), (ShapleyValue(), Value(-0.2345))],
)
def test_a_provider_is_told_yes_or_no_and_the_report_why(verifier, finding):
    table = Table(plan(verifiers=[verifier]))
    table.join(A)
    table.join(B)
    candidate = steps.Candidate(table.connection(A), np.zeros(D, np.float32))
    reason = verification.judge(verifier, finding)
    table.state = steps.reject(
        table.state, candidate, reason, harder=True, told=verification.told(verifier)
    )
    assert table.connection(A).refusal == verification.told(verifier)
    assert [rejection.reason for rejection in table.state.rejected] == [reason]
    assert "345" in reason
    assert "345" not in verification.told(verifier)
