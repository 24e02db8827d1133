"""What a scenario would do, without doing it: for `troth check`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from troth import streams
from troth.charter.charter import Charter
from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.charter.model import model_of
from troth.charter.rules.common import (
    admitted,
    coordinator,
    cost_labels,
    parties_are_nodes,
    party_names,
    sends_messages,
    tag,
)
from troth.charter.scenario import Scenario
from troth.ids import Bytes, PartyId
from troth.privacy.spec import NoPrivacy
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.federated.parameters import Federated, asked
from troth.records import PrivacyRecord, Traffic


class Attackers(msgspec.Struct, frozen=True, kw_only=True):
    """Which parties carry out one of the scenario's attacks."""

    kind: str
    parties: list[PartyId]


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What `troth check` prints. Traffic is that of a run without faults."""

    name: str
    protocol: str
    charter_digest: str
    seed: int
    rounds: int
    parties: list[PartyId]
    """The parties that are admitted, as far as can be told without dealing the data."""
    coordinator: str | None
    """The node that is no party, where there is one."""
    asked: int
    """How many parties train in a round."""
    attacks: list[Attackers]
    dimension: int
    """D, the parameters of the model."""
    traffic: dict[str, Traffic]
    """Messages and bytes that a round sends, by the type of the message; empty where nothing is
    sent."""
    bytes_per_round: Bytes
    bytes_in_all: Bytes
    cost_labels: list[str]
    """The computations that `[cost] seconds` may name."""
    privacy: PrivacyRecord
    notes: list[str]


def dry_run(loaded: LoadedScenario) -> DryRun:
    """Says who would do what, and how much would be sent.

    Data are opened only if they are not among the named sets, so that a scenario can be checked
    on a machine without them.

    Raises:
      CharterError: a model or data of one's own cannot be made; or a ledger's noise does not fit
        the model, or its committees fail likelier than its charter allows.
      DataError: own files are missing, or do not hold what the schema says.
    """
    scenario, charter = loaded.scenario, loaded.scenario.charter
    notes: list[str] = []
    dimension = model_of(scenario, base=loaded.base).dimension
    parties = admitted(scenario)
    traffic = _traffic(charter, len(parties), dimension)
    per_round = sum(entry.bytes for entry in traffic.values())
    if charter.admission.minimum_examples > 1:
        notes.append(
            f"parties with fewer than {charter.admission.minimum_examples} examples are turned "
            "away when the data are dealt"
        )
    notes += _ledger_notes(scenario, parties, dimension)
    at_work = len(parties)
    if isinstance(charter.protocol, Federated):
        at_work = asked(charter.protocol, len(parties))
    elif not parties_are_nodes(charter):
        at_work = 0
    return DryRun(
        name=charter.name,
        protocol=tag(charter.protocol),
        charter_digest=charter_digest(charter),
        seed=scenario.seed,
        rounds=charter.training.rounds,
        parties=parties,
        coordinator=coordinator(charter),
        asked=at_work,
        attacks=_attacks(scenario),
        dimension=dimension,
        traffic=traffic,
        bytes_per_round=Bytes(per_round),
        bytes_in_all=Bytes(per_round * charter.training.rounds),
        cost_labels=cost_labels(charter),
        privacy=_privacy(scenario, dimension),
        notes=notes,
    )


def _attacks(scenario: Scenario) -> list[Attackers]:
    from troth.attacks.choice import choose_attackers

    # The simulated world draws them from the same stream.
    stream = streams.world(scenario.seed).child("attackers")
    chosen = choose_attackers(scenario.attacks, party_names(scenario), stream)
    return [
        Attackers(kind=tag(attack), parties=[name for name in chosen if chosen[name] is attack])
        for attack in scenario.attacks
    ]


def _traffic(charter: Charter, parties: int, dimension: int) -> dict[str, Traffic]:
    from troth.protocols.registry import messages_per_round

    sent = messages_per_round(charter.protocol, parties, dimension)
    return {
        name: Traffic(messages=messages, bytes=Bytes(size))
        for name, (messages, size) in sent.items()
    }


def _ledger_notes(scenario: Scenario, parties: Sequence[PartyId], dimension: int) -> Iterable[str]:
    charter = scenario.charter
    if not isinstance(charter.protocol, Biscotti):
        return ()
    from troth.protocols.biscotti.failures import run_notes
    from troth.protocols.biscotti.setting import setting_of

    setting = setting_of(
        charter.protocol,
        charter.training,
        charter=bytes.fromhex(charter_digest(charter).removeprefix("sha256:")),
        dimension=dimension,
    )
    return run_notes(charter.protocol, charter.training, parties, setting)


def _privacy(scenario: Scenario, dimension: int) -> PrivacyRecord:
    charter, own = scenario.charter, scenario.parties.privacy
    if isinstance(charter.protocol, Biscotti):
        return _ledger_privacy(charter.protocol, charter, admitted(scenario)[0], dimension)
    if not isinstance(own, NoPrivacy):
        return PrivacyRecord(
            mechanism=tag(own),
            epsilon=max(own.epsilon_of(party) for party in admitted(scenario)),
            delta=own.delta,
            note=f"what parties are willing to spend in {charter.training.rounds} updates each, "
            "whoever looks; a party that has spent it stops",
        )
    reveals = (
        "parties send updates in the clear: whoever receives them learns what updates reveal"
        if sends_messages(charter)
        else "the trainer is given everybody's data"
        if not parties_are_nodes(charter)
        else "nothing leaves a party"
    )
    return PrivacyRecord(
        mechanism=charter.privacy.mechanism,
        epsilon=None,
        delta=None,
        note=f"no noise is added, so no (epsilon, delta) holds; {reveals}",
    )


def _ledger_privacy(
    protocol: Biscotti, charter: Charter, party: PartyId, dimension: int
) -> PrivacyRecord:
    """The privacy that a peer spends if it contributes in every round, which is the most that any
    can."""
    from troth.protocols.biscotti.hiding.released import released_privacy

    rounds = charter.training.rounds
    spent = released_privacy(
        protocol, charter.training, party, dimension=dimension, masked=rounds, contributed=rounds
    )
    if spent.epsilon is None:
        note = (
            "verifiers see updates with the mask's noise, everybody sees sums; together no "
            "(epsilon, delta) holds"
        )
    else:
        note = (
            f"a peer in all {rounds} sums: epsilon = {spent.epsilon:.4g}, delta = {spent.delta:g} "
            "for all data of a party, whoever looks"
        )
    return PrivacyRecord(
        mechanism=spent.mechanism, epsilon=spent.epsilon, delta=spent.delta, note=note
    )
