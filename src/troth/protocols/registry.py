"""From a charter's protocol to its roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from troth.errors import CharterError
from troth.ids import NodeId, PartyId
from troth.learning.training import Training
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.centralised.parameters import Centralised
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.federated.parameters import Federated
from troth.protocols.standalone.parameters import Standalone
from troth.protocols.tormentor.parameters import Tormentor
from troth.wire import Float32s

if TYPE_CHECKING:
    from troth.privacy.own import OwnPrivacy
    from troth.protocols.biscotti.roles import Members
    from troth.roles.node import Cast

ProtocolSpec = Federated | DSSGD | Centralised | Standalone | Tormentor | Biscotti


def make_cast(
    protocol: ProtocolSpec,
    *,
    parties: Sequence[PartyId],
    initial_D: Float32s,
    training: Training,
    base: Path | None,
    model_id: str,
    ground_up_to: int | None = None,
    privacy: Mapping[PartyId, OwnPrivacy] | None = None,
    members: Members | None = None,
) -> Cast:
    """A role for every node of `protocol`, all of them honest.

    Args:
      parties: in ascending order.
      initial_D: the model before round 1, shape (D,).
      base: folder in which `module:callable` rules are looked up.
      model_id: the charter's digest, by which its parties know the model.
      ground_up_to: simulations only: zero digits of a puzzle that are really looked for.
      privacy: of parties that have one of their own; only `tormentor` takes it. Each role is given
        its own, and a node of a real run knows no other.

    Raises:
      CharterError: the protocol needs more parties than these.
    """
    from troth.chain.ledger import MemoryLedgers
    from troth.protocols.biscotti import messages as biscotti_messages
    from troth.protocols.biscotti import roles as biscotti
    from troth.protocols.centralised.roles import TRAINER
    from troth.protocols.dssgd import messages as dssgd_messages
    from troth.protocols.dssgd import roles as dssgd
    from troth.protocols.federated import messages as federated_messages
    from troth.protocols.federated import roles as federated
    from troth.protocols.federated import steps as federated_steps
    from troth.protocols.tormentor import messages as tormentor_messages
    from troth.protocols.tormentor import roles as tormentor
    from troth.protocols.tormentor.state import BROKER, CURATOR
    from troth.protocols.tormentor.state import Plan as TormentorPlan
    from troth.roles.alone import Silence, train_alone
    from troth.roles.node import Cast, Role

    own = privacy or {}
    assert not own or isinstance(protocol, Tormentor)
    roles: dict[NodeId, Role]
    match protocol:
        case Federated():
            asked = federated_steps.asked_per_round(len(parties), protocol.participation)
            if protocol.at_least is not None and protocol.at_least > asked:
                raise CharterError(
                    f"is more than are asked in a round, of {len(parties)} parties admitted",
                    key="protocol.at_least",
                    value=protocol.at_least,
                    hint=f"lower it to {asked}, or admit more parties",
                )
            plan = federated.Plan(tuple(parties), initial_D, training, protocol, base)
            roles = {party: partial(federated.party, plan=plan) for party in parties}
            server = federated.SERVER
            roles[server] = partial(federated.server, plan=plan)
            return Cast(roles, (server,), federated_messages.MESSAGES)
        case DSSGD():
            dssgd_plan = dssgd.Plan(tuple(parties), initial_D, training, protocol)
            roles = {party: partial(dssgd.party, plan=dssgd_plan) for party in parties}
            roles[dssgd.SERVER] = partial(dssgd.server, plan=dssgd_plan)
            return Cast(roles, (dssgd.SERVER,), dssgd_messages.MESSAGES)
        case Centralised():
            role = partial(train_alone, initial_D=initial_D, training=training)
            return Cast({TRAINER: role}, (TRAINER,), (Silence,))
        case Standalone():
            role = partial(train_alone, initial_D=initial_D, training=training)
            return Cast(dict.fromkeys(parties, role), tuple(parties), (Silence,), own_models=True)
        case Tormentor():
            brokered = TormentorPlan(
                tuple(parties),
                initial_D,
                training,
                protocol,
                model_id,
                base,
                ground_up_to=ground_up_to,
            )
            roles = {
                party: partial(tormentor.provider, plan=brokered, privacy=own.get(party))
                for party in parties
            }
            roles[BROKER] = partial(tormentor.broker, plan=brokered)
            roles[CURATOR] = partial(tormentor.curator, plan=brokered)
            return Cast(roles, (CURATOR,), tormentor_messages.MESSAGES)
        case Biscotti():
            assert members is not None
            # In a simulation one speaks for all; a real node speaks for itself.
            reporter = min(members.keys)
            ledger_plan = biscotti.Plan(members.rules, initial_D, reporter, base)
            roles = {
                party: partial(
                    biscotti.peer, plan=ledger_plan, keys=keys, table=members.tables[party]
                )
                for party, keys in members.keys.items()
            }
            return Cast(roles, tuple(roles), biscotti_messages.MESSAGES, stores=MemoryLedgers)


def messages_per_round(
    protocol: ProtocolSpec, parties: int, dimension: int
) -> dict[str, tuple[int, int]]:
    """Messages and bytes by message type that one fault-free round takes."""
    match protocol:
        case Federated():
            from troth.protocols.federated import cost as federated_cost

            return federated_cost.messages_per_round(protocol, parties, dimension)
        case DSSGD():
            from troth.protocols.dssgd import cost as dssgd_cost

            return dssgd_cost.messages_per_round(protocol, parties, dimension)
        case Tormentor():
            from troth.protocols.tormentor import cost as tormentor_cost

            return tormentor_cost.messages_per_round(protocol, parties, dimension)
        case Biscotti():
            from troth.protocols.biscotti import cost as biscotti_cost

            return biscotti_cost.messages_per_round(protocol, parties, dimension)
        case Centralised() | Standalone():
            return {}
