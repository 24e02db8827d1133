"""The record by which `federated` declares itself to the rest of the house."""

from __future__ import annotations

from troth.ids import NodeId
from troth.privacy.spec import NoPrivacy
from troth.protocols.federated import rules
from troth.protocols.federated.parameters import Federated
from troth.protocols.protocol import NOISELESS, Operation, Protocol, Waiting
from troth.robustness.spec import AGGREGATION_SHORT_FORM


def _waits(protocol: Federated, parties: int) -> Waiting:
    return Waiting(
        key="deadline_s",
        seconds=protocol.deadline_s,
        spare=0 if protocol.at_least is None else protocol.asked(parties) - protocol.at_least,
        computations=("local_update",),
    )


PROTOCOL = Protocol(
    package=__package__,
    parameters=Federated,
    short_forms={"protocol.aggregation": AGGREGATION_SHORT_FORM},
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
    labels=("local_update", "aggregate"),
    charter_rules=(),
    rules=(rules.somebody_is_asked, rules.enough_can_answer, rules.rule_works_with_so_many),
    asked=Federated.asked,
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
