"""The server of `dssgd` stepped by hand: what a review found about rounds, crashes and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from troth import streams
from troth.errors import RoundFailedError
from troth.ids import NodeId, Round
from troth.learning.training import Training
from troth.privacy.spec import NoPrivacy
from troth.protocols.dssgd import claims
from troth.protocols.dssgd.messages import Acknowledged, Upload
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.dssgd.roles import MAX_ATTEMPTS, server
from troth.protocols.protocol import Agreed
from troth.roles.effects import Load, Receive, Received, Report, Save, Send
from troth.roles.node import Node

A, B = NodeId("a"), NodeId("b")


def _plan(order="asynchronous", rounds=2):
    training = Training(rounds=rounds, learning_rate=0.1)
    return Agreed(
        parameters=DSSGD(order=order, upload=0.5),
        privacy=NoPrivacy(),
        training=training,
        parties=(A, B),
        initial_D=np.zeros(4, np.float32),
        charter=f"sha256:{64 * '0'}",
        base=None,
    )


def _upload(turn, value=1.0):
    return Upload(Round(turn), np.array([1], np.uint32), np.array([value], np.float32))


def _step(plan, letters, durable=None):
    """The server's effects while it takes `letters`, until it waits for one more or returns."""
    letters = list(letters)
    coroutine = server(Node(NodeId("server"), streams.learning(1), streams.secret(1)), plan)
    effects, value = [], None
    try:
        while True:
            effect = coroutine.send(value)
            effects.append(effect)
            value = durable if isinstance(effect, Load) else None
            if isinstance(effect, Receive):
                if not letters:
                    return effects
                value = Received(*letters.pop(0))
    except StopIteration:
        return effects
    finally:
        coroutine.close()


def test_a_refused_upload_at_the_edge_of_a_round_closes_no_round():
    bad = float("nan")
    letters = [
        (A, _upload(1, bad)),
        (A, _upload(2)),
        (B, _upload(1)),
        (B, _upload(2, bad)),
        (A, _upload(3)),
        (B, _upload(3)),
    ]
    plan = _plan()
    reports = [effect for effect in _step(plan, letters) if isinstance(effect, Report)]
    claims.check(reports, plan)
    assert [[r.node for r in report.rejected] for report in reports] == [[A], [B]]


@pytest.mark.parametrize("order", ["asynchronous", "round_robin"])
def test_an_upload_is_saved_before_it_is_acknowledged(order):
    effects = _step(_plan(order), [(A, _upload(1))])
    kinds = [type(effect) for effect in effects]
    (sent,) = [effect for effect in effects if isinstance(effect, Send)]
    assert sent.message == Acknowledged(Round(1))
    assert kinds.index(Save) < kinds.index(Send)


@pytest.mark.parametrize("order", ["asynchronous", "round_robin"])
@pytest.mark.parametrize("uploads", [1, 2, 3, 4])
def test_restarted_from_its_last_save_it_does_what_it_would_have_done(order, uploads):
    letters = [((A, B)[i % 2], _upload(1 + i // 2)) for i in range(uploads)]
    plan = _plan(order)
    effects = _step(plan, letters)
    last = max(i for i, effect in enumerate(effects) if isinstance(effect, Save))
    again = _step(plan, [], effects[last].state)
    assert [str(e) for e in again[1:]] == [str(e) for e in effects[last + 1 :]]


def test_a_server_that_can_use_nothing_it_is_sent_gives_up():
    """Every party uploads infinities; without an end to it the run would go on for ever."""
    letters = [((A, B)[i % 2], _upload(1 + i // 2, np.inf)) for i in range(2 * MAX_ATTEMPTS)]
    with pytest.raises(RoundFailedError, match="not finite"):
        _step(_plan(), letters)
