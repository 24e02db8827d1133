"""What a hostile peer sends is refused, blamed on it and bounded, and the node stays up."""

from __future__ import annotations

import numpy as np
import pytest

from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.dssgd.messages import Download, Upload
from troth.protocols.federated.messages import TrainRequest, Update
from troth.protocols.federated.roles import SERVER
from troth.roles.effects import Receive, SendBytes
from troth.wire import Codec
from troth.worlds.mailbox import MAX_WAITING_PER_SENDER, Envelope, Mailbox

ATTACKER = NodeId("party-2")


def _hostile(run, make):
    """`party-2` answers every request with what `make(request)` gives: messages or bytes."""

    async def role(node):
        while True:
            received = await node.receive(TrainRequest)
            for answer in make(received.message):
                if isinstance(answer, bytes):
                    await SendBytes((SERVER,), answer)
                else:
                    await node.send(SERVER, answer)

    run.world.nodes[ATTACKER].role = role
    return run


def _update(request, values=None, examples=10, shape=None):
    update = np.zeros_like(request.params_D) if shape is None else np.zeros(shape, np.float32)
    if values is not None:
        update[3] = values
    return Update(request.round, update, examples)


BAD_UPDATES = {
    "nan": (lambda r: [_update(r, np.nan)], "not finite"),
    "infinite": (lambda r: [_update(r, -np.inf)], "not finite"),
    "short": (lambda r: [_update(r, shape=3)], "3 values instead of 650"),
    "long": (lambda r: [_update(r, shape=651)], "651 values instead of 650"),
    "empty": (lambda r: [_update(r, shape=0)], "0 values instead of 650"),
    "no examples": (lambda r: [_update(r, examples=0)], "claims 0 examples"),
    "negative": (lambda r: [_update(r, examples=-5)], "claims -5 examples"),
    "too many": (lambda r: [_update(r, examples=2**40)], "outside 1..2147483647"),
}


@pytest.mark.parametrize("case", BAD_UPDATES)
def test_an_unusable_update_is_rejected_with_its_reason(scenario_file, simulated, case):
    make, reason = BAD_UPDATES[case]
    protocol = 'name = "federated"\ndeadline_s = 1.0\nat_least = 3'
    run = _hostile(simulated(scenario_file(protocol)), make).go()
    for record in run.records:
        assert [r.node for r in record.rejected] == [ATTACKER]
        assert reason in record.rejected[0].reason
        assert ATTACKER not in record.accepted
        assert len(record.accepted) == 5


def test_without_a_deadline_too_few_usable_updates_end_the_run_with_the_culprit(
    scenario_file, simulated
):
    from troth.errors import RoundFailedError

    run = _hostile(simulated(scenario_file()), BAD_UPDATES["nan"][0])
    with pytest.raises(RoundFailedError, match=r"5 of 6 updates can be used.*party-2.*not finite"):
        run.go()


BAD_BYTES = {
    "nothing": b"",
    "other version": b"\xff" * 20,
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "a party's own message type back": Codec((TrainRequest,)).encode(
        TrainRequest(Round(1), np.zeros(4, np.float32))
    ),
    "another protocol's message": Codec((Download,)).encode(Download()),
    "huge array header": b"\x01\x93\xa6Update\xdd\xff\xff\xff\xff",
    "deep nesting": b"\x01" + b"\x91" * 5000,
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_malformed_bytes_are_refused_and_the_round_goes_on(scenario_file, simulated, case):
    protocol = 'name = "federated"\ndeadline_s = 1.0\nat_least = 3'
    run = _hostile(simulated(scenario_file(protocol)), lambda _: [BAD_BYTES[case]]).go()
    assert len(run.records) == 4
    for record in run.records:
        assert ATTACKER not in record.accepted
        if case != "a party's own message type back":
            assert "server refused a message" in record.rejected[0].reason
            assert record.rejected[0].node == ATTACKER


def test_a_flood_is_bounded_and_blamed(scenario_file, simulated):
    protocol = 'name = "federated"\ndeadline_s = 1.0\nat_least = 3'

    def flood(request):
        return [Update(Round(900 + i), np.zeros(1, np.float32), 1) for i in range(300)]

    run = _hostile(simulated(scenario_file(protocol)), flood).go()
    assert len(run.world.nodes[SERVER].mailbox.waiting) <= MAX_WAITING_PER_SENDER
    assert len(run.records) == 4
    blamed = {r.node for record in run.records for r in record.rejected}
    assert blamed == {ATTACKER}


def test_messages_of_past_rounds_and_second_answers_are_dropped(scenario_file, simulated):
    calm = simulated(scenario_file('name = "federated"\ndeadline_s = 1.0')).go()

    def answers(request):
        late = Update(Round(0), np.full(650, 7, np.float32), 1)
        honest = np.zeros_like(request.params_D)
        return [late, Update(request.round, honest, 1), Update(request.round, honest + 100, 1)]

    run = _hostile(simulated(scenario_file('name = "federated"\ndeadline_s = 1.0')), answers).go()
    assert all(ATTACKER in record.accepted for record in run.records)
    assert np.abs(run.reports[-1].params_D).max() < 2 * np.abs(calm.reports[-1].params_D).max()


def test_a_mailbox_gives_room_back_when_messages_are_taken():
    codec = Codec((Download, Upload))
    mailbox = Mailbox()

    def letter(sender):
        envelope = Envelope(NodeId(sender), codec.encode(Download()))
        envelope.open(codec)
        return envelope

    for _ in range(3):
        for _ in range(MAX_WAITING_PER_SENDER):
            mailbox.put(letter("a"))
        with pytest.raises(PeerError, match="64 messages waiting") as caught:
            mailbox.put(letter("a"))
        assert caught.value.culprits == ("a",)
        mailbox.put(letter("b"))
        assert mailbox.take(Receive((Download,), sender=NodeId("b"))).sender == "b"
        for _ in range(MAX_WAITING_PER_SENDER):
            assert mailbox.take(Receive((Download, Upload))) is not None
        assert mailbox.take(Receive((Download,))) is None


@pytest.mark.parametrize("order", ["round_robin", "asynchronous"])
def test_dssgd_refuses_uploads_that_break_its_rules(scenario_file, simulated, order):
    from troth.protocols.dssgd.messages import Acknowledged, Parameters

    bad = [
        lambda turn: Upload(turn, np.array([1, 0], np.uint32), np.ones(2, np.float32)),
        lambda turn: Upload(turn, np.array([5, 5], np.uint32), np.ones(2, np.float32)),
        lambda turn: Upload(turn, np.array([650], np.uint32), np.ones(1, np.float32)),
        lambda turn: Upload(turn, np.array([1], np.uint32), np.array([np.nan], np.float32)),
        lambda turn: Upload(turn, np.array([1], np.uint32), np.ones(2, np.float32)),
        lambda turn: Upload(turn, np.arange(600, dtype=np.uint32), np.ones(600, np.float32)),
        lambda turn: Upload(turn, np.array([1], np.uint32), np.array([0.5], np.float32)),
        lambda turn: Upload(Round(turn + 7), np.array([1], np.uint32), np.ones(1, np.float32)),
    ]
    run = simulated(
        scenario_file(
            f'name = "dssgd"\norder = "{order}"\nupload = 0.2\nbound = 0.1\ndeadline_s = 1.0',
            parties=3,
            rounds=9,
        )
    )

    async def role(node):
        for make in bad:
            await node.send(SERVER, Download())
            offered = await node.receive(Parameters)
            await node.send(SERVER, make(offered.message.round))
            await node.receive(Acknowledged)
        while True:
            await node.receive(Parameters)

    run.world.nodes[ATTACKER].role = role
    run.go()
    reasons = [r.reason for record in run.records for r in record.rejected]
    for expected in (
        "do not ascend",
        "beyond D = 650",
        "not finite",
        "1 indices for 2 values",
        "above theta_u * D = 130",
        "above gamma = 0.1",
        "which it was not given",
    ):
        assert any(expected in reason for reason in reasons), expected
    assert all(ATTACKER not in record.accepted for record in run.records)
    assert np.abs(run.reports[-1].params_D).max() < 10


def test_a_party_that_only_ever_asks_does_not_hold_up_a_round_robin(scenario_file, simulated):
    from troth.protocols.dssgd.messages import Parameters

    run = simulated(scenario_file('name = "dssgd"\ndeadline_s = 1.0', parties=3))

    async def asks(node):
        while True:
            await node.send(SERVER, Download())
            await node.receive(Parameters)

    run.world.nodes["party-1"].role = asks
    run.go()
    assert [report.round for report in run.reports] == [1, 2, 3, 4]
    assert all(report.missing == ("party-1",) for report in run.reports)
