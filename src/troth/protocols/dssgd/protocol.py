"""The record by which `dssgd` declares itself to the rest of the house."""

from __future__ import annotations

from troth.ids import NodeId
from troth.privacy.spec import NoPrivacy
from troth.protocols.dssgd import rules
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.protocol import NOISELESS, Operation, Protocol, Waiting, everybody


def _waits(protocol: DSSGD, _: int) -> Waiting:
    return Waiting(key="deadline_s", seconds=protocol.deadline_s)


PROTOCOL = Protocol(
    package=__package__,
    parameters=DSSGD,
    short_forms={},
    topology="star",
    coordinators=(NodeId("server"),),
    parties_are_nodes=True,
    pools_rows=None,
    real_nodes=True,
    brings=None,
    keeps=None,
    privacy=(NoPrivacy,),
    own_privacy=NOISELESS,
    reveals="parties send updates in the clear: whoever receives them learns what updates reveal",
    scenario_tables=(),
    labels=("local_update",),
    charter_rules=(
        rules.somebody_applies_the_gradient,
        rules.threshold_belongs_to_random_selection,
    ),
    rules=(),
    asked=everybody,
    waits=_waits,
    cast="roles:make_cast",
    messages="messages:MESSAGES",
    traffic="cost:messages_per_round",
    extra_message_bytes=None,
    account=None,
    expected_privacy=None,
    check_notes=None,
    simulation_notes=None,
    operation=Operation(launch=None, readings=(), leaves=None),
)
