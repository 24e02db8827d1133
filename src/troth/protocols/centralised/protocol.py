"""The record by which `centralised` declares itself to the rest of the house."""

from __future__ import annotations

from troth.ids import NodeId
from troth.privacy.spec import NoPrivacy
from troth.protocols.centralised.parameters import Centralised
from troth.protocols.protocol import NOISELESS, Operation, Protocol, nobody_waits

TRAINER = NodeId("trainer")


def _nobody(_: Centralised, __: int) -> int:
    return 0


PROTOCOL = Protocol(
    package=__package__,
    parameters=Centralised,
    short_forms={},
    topology="alone",
    coordinators=(TRAINER,),
    parties_are_nodes=False,
    pools_rows=TRAINER,
    real_nodes=False,
    brings=None,
    keeps=None,
    privacy=(NoPrivacy,),
    own_privacy=NOISELESS,
    reveals="the trainer is given everybody's data",
    scenario_tables=(),
    labels=("local_update",),
    charter_rules=(),
    rules=(),
    asked=_nobody,
    waits=nobody_waits,
    cast="roles:make_cast",
    messages=None,
    traffic=None,
    extra_message_bytes=None,
    account=None,
    expected_privacy=None,
    check_notes=None,
    simulation_notes=None,
    operation=Operation(launch=None, readings=(), leaves=None),
)
