"""The record by which `tormentor` declares itself to the rest of the house."""

from __future__ import annotations

from troth.ids import NodeId
from troth.privacy.spec import NoPrivacy
from troth.protocols.protocol import Keeps, Operation, Protocol, Waiting, everybody
from troth.protocols.tormentor import rules
from troth.protocols.tormentor.parameters import Tormentor
from troth.specification import ShortForm

BROKER = NodeId("broker")
CURATOR = NodeId("curator")
"""The curator's node, whose rows are the validation set: the broker measures on them."""


def _waits(protocol: Tormentor, _: int) -> Waiting:
    return Waiting(key="deadline_s", seconds=protocol.deadline_s)


PROTOCOL = Protocol(
    package=__package__,
    parameters=Tormentor,
    short_forms={"protocol.puzzle": ShortForm("kind", 'puzzle = "argon2"')},
    topology="brokered",
    coordinators=(BROKER, CURATOR),
    parties_are_nodes=True,
    pools_rows=None,
    real_nodes=True,
    brings=None,
    keeps=Keeps(node=CURATOR, key="validation_fraction"),
    privacy=(NoPrivacy,),
    own_privacy=None,
    reveals="parties send updates in the clear: whoever receives them learns what updates reveal",
    scenario_tables=("puzzles",),
    labels=("local_update", "private_update", "solve_puzzle", "verify_update", "evaluate"),
    charter_rules=(),
    rules=(rules.run_ends_when_budgets_are_spent, rules.somebody_may_join),
    asked=everybody,
    waits=_waits,
    cast="casting:make_cast",
    messages="messages:MESSAGES",
    traffic="cost:messages_per_round",
    extra_message_bytes=None,
    account="casting:account_of",
    expected_privacy=None,
    check_notes=None,
    simulation_notes="casting:simulation_notes",
    operation=Operation(
        launch="operation.launching:launching",
        readings=(),
        leaves=None,
    ),
)
