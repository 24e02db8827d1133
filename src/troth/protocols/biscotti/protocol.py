"""The record by which `biscotti` declares itself to the rest of the house."""

from __future__ import annotations

from troth.protocols.biscotti import rules
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy
from troth.protocols.protocol import Brings, Operation, Protocol, Waiting, everybody
from troth.robustness.spec import AGGREGATION_SHORT_FORM
from troth.specification import ShortForm


def _waits(protocol: Biscotti, _: int) -> Waiting:
    return Waiting(key="phase_s", seconds=protocol.phase_s)


PROTOCOL = Protocol(
    package=__package__,
    parameters=Biscotti,
    short_forms={
        "protocol.aggregation": AGGREGATION_SHORT_FORM,
        "privacy.mask": ShortForm("kind", 'mask = "paper"'),
    },
    topology="mesh",
    coordinators=(),
    parties_are_nodes=True,
    pools_rows=None,
    real_nodes=True,
    brings=Brings(
        what="its secret and the genesis",
        hint="a peer of a ledger takes --secret FILE --genesis FILE, and no other node does",
        simulated="members:simulated_members",
        real="operation.starting:PeerBringing",
    ),
    keeps=None,
    privacy=(MaskedPrivacy,),
    own_privacy=(
        "in which all parties add the same noise",
        "set [privacy] mask and [privacy.ledger_noise], or remove [parties.privacy]",
    ),
    reveals="verifiers see masked updates, and everybody sees sums",
    scenario_tables=("cryptography",),
    labels=(
        "local_update",
        "mask_update",
        "check_masked",
        "select_updates",
        "deal_shares",
        "check_shares",
        "sum_shares",
        "open_sum",
        "check_opening",
        "verify_block",
    ),
    charter_rules=(rules.ledger_noise_is_shared_among_a_number,),
    rules=(rules.ledger_has_peers, rules.stake_draws_committees),
    asked=everybody,
    waits=_waits,
    cast="members:make_cast",
    messages="messages:MESSAGES",
    traffic="cost:messages_per_round",
    extra_message_bytes="catching_up.gossip:MAX_ANSWER_BYTES",
    account="members:account_of",
    expected_privacy="members:expected_privacy",
    check_notes="members:check_notes",
    simulation_notes="members:simulation_notes",
    operation=Operation(
        launch="operation.launching:launching",
        readings=("operation.stake_readings:StakeShare", "operation.stake_readings:HONEST_STAKE"),
        leaves="operation.chain_file:write_chain",
    ),
)
