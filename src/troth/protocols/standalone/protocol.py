"""The record by which `standalone` declares itself to the rest of the house."""

from __future__ import annotations

from troth.privacy.spec import NoPrivacy
from troth.protocols.protocol import NOISELESS, Operation, Protocol, everybody, nobody_waits
from troth.protocols.standalone.parameters import Standalone

PROTOCOL = Protocol(
    package=__package__,
    parameters=Standalone,
    short_forms={},
    topology="alone",
    coordinators=(),
    parties_are_nodes=True,
    pools_rows=None,
    real_nodes=False,
    brings=None,
    keeps=None,
    privacy=(NoPrivacy,),
    own_privacy=NOISELESS,
    reveals="nothing leaves a party",
    scenario_tables=(),
    labels=("local_update",),
    charter_rules=(),
    rules=(),
    asked=everybody,
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
