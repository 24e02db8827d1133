"""What a review found about `federated`: who is waited for, and what cannot be waited for."""

from __future__ import annotations

import numpy as np
import pytest

from troth import streams
from troth.errors import CharterError
from troth.ids import NodeId
from troth.learning.training import Training
from troth.privacy.spec import NoPrivacy
from troth.protocols.federated.messages import TrainRequest, Update
from troth.protocols.federated.parameters import Federated
from troth.protocols.federated.roles import make_cast, server
from troth.protocols.protocol import Agreed, Casting
from troth.robustness.spec import Mean
from troth.robustness.updates import Aggregate
from troth.roles.effects import Collect, Collected, Perform, Report, Send
from troth.roles.node import Node

PARTIES = tuple(NodeId(f"party-{i}") for i in range(6))
BAD = PARTIES[:2]
"""The fastest ones, and what they send is never finite."""


@pytest.mark.parametrize("deadline_s", [None, 5.0])
def test_the_fastest_parties_cannot_stop_a_round_by_unusable_updates(deadline_s):
    """Without a deadline a round ends at `at_least` updates, of which unusable ones are none."""
    parameters = Federated(aggregation=Mean(), at_least=4, deadline_s=deadline_s)
    training = Training(rounds=1, learning_rate=0.1)
    coroutine = server(
        Node(NodeId("server"), streams.learning(1), streams.secret(1)),
        Agreed(
            parameters=parameters,
            privacy=NoPrivacy(),
            training=training,
            parties=PARTIES,
            initial_D=np.zeros(3, np.float32),
            charter=f"sha256:{64 * '0'}",
            base=None,
        ),
    )
    value, reports, asked = None, [], 0
    while not reports:
        effect = coroutine.send(value)
        value = None
        if isinstance(effect, Send) and isinstance(effect.message, TrainRequest):
            asked += 1
        elif isinstance(effect, Collect):
            first = PARTIES[: effect.enough]
            value = Collected({id: _update(np.nan if id in BAD else 1.0) for id in first})
        elif isinstance(effect, Perform):
            value = Aggregate(np.ones(3, np.float32))
        elif isinstance(effect, Report):
            reports.append(effect)
    coroutine.close()
    (report,) = reports
    assert report.accepted == PARTIES[2:]
    assert [r.node for r in report.rejected] == list(BAD)
    assert asked <= 3


def _update(value):
    return Update(1, np.full(3, value, np.float32), 10)


@pytest.mark.parametrize("deadline_s", [None, 5.0])
def test_more_updates_than_parties_admitted_are_refused_before_the_run(deadline_s):
    """Who is admitted may depend on the data, so no charter rule can tell."""
    with pytest.raises(
        CharterError, match=r"protocol.at_least = 5 .* 3 parties admitted"
    ) as caught:
        make_cast(
            Casting(
                agreed=Agreed(
                    parameters=Federated(at_least=5, deadline_s=deadline_s),
                    privacy=NoPrivacy(),
                    training=Training(rounds=1, learning_rate=0.1),
                    parties=PARTIES[:3],
                    initial_D=np.zeros(3, np.float32),
                    charter="sha256:test",
                    base=None,
                )
            )
        )
    assert caught.value.hint is not None
