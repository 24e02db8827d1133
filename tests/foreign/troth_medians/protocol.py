"""`medians`: a server takes the median of all parties' updates, parameter by parameter."""

from __future__ import annotations

from troth.ids import NodeId
from troth.privacy.spec import NoPrivacy
from troth.protocols.protocol import NOISELESS, Operation, Protocol, Waiting, everybody
from troth.specification import Positive, Probability, ShortForm, Table

SERVER = NodeId("server")


class Step(Table, frozen=True, kw_only=True):
    """How far the model moves in a round."""

    size: Positive = 1.0
    """What the median is multiplied with."""
    decay: Probability = 1.0
    """What `size` is multiplied with after each round."""


class Medians(Table, frozen=True, kw_only=True, tag="medians", tag_field="name"):
    """The `[protocol]` table."""

    step: Step = Step()
    deadline_s: Positive | None = None
    """How long the server waits for answers; absent: until all are there."""


PROTOCOL = Protocol(
    package=__package__,
    parameters=Medians,
    short_forms={"protocol.step": ShortForm("size", "step = 0.5", number=True)},
    topology="star",
    coordinators=(SERVER,),
    parties_are_nodes=True,
    pools_rows=None,
    real_nodes=True,
    brings=None,
    keeps=None,
    privacy=(NoPrivacy,),
    own_privacy=NOISELESS,
    reveals="the server receives every update in the clear",
    scenario_tables=(),
    labels=("local_update",),
    charter_rules=(),
    rules=(),
    asked=everybody,
    waits=lambda table, _: Waiting(key="deadline_s", seconds=table.deadline_s),
    cast="roles:make_cast",
    messages="roles:MESSAGES",
    traffic="roles:traffic",
    extra_message_bytes=None,
    account=None,
    expected_privacy=None,
    check_notes=None,
    simulation_notes=None,
    operation=Operation(launch=None, readings=(), leaves=None),
)
