"""What a scenario would do, without doing it: for `troth check`."""

from __future__ import annotations

import msgspec

from troth import streams
from troth.charter.charter import Charter, Extension
from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.charter.model import model_of
from troth.charter.rules.common import admitted, party_names
from troth.charter.scenario import Scenario
from troth.ids import Bytes, PartyId
from troth.privacy.spec import NoPrivacy
from troth.protocols.lookup import protocol_of
from troth.records import PrivacyRecord, Traffic
from troth.specification import tag


class Attackers(msgspec.Struct, frozen=True, kw_only=True):
    """The parties that carry out one attack."""

    kind: str
    parties: list[PartyId]


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What `troth check` prints. Traffic is that of a run without faults."""

    name: str
    protocol: str
    extension: Extension | None
    """The code of the protocol, where it does not come with Troth."""
    charter_digest: str
    seed: int
    rounds: int
    parties: list[PartyId]
    """Admitted, as far as can be told without dealing the data."""
    coordinator: str | None
    """The node that is no party, where there is one."""
    asked: int
    """Parties at work in a round."""
    attacks: list[Attackers]
    dimension: int
    """D, the parameters of the model."""
    traffic: dict[str, Traffic]
    """By message type, in one round; empty where nothing is sent."""
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
    model = model_of(scenario, base=loaded.base)
    dimension = model.dimension
    notes += model.notes
    parties = admitted(scenario)
    traffic = _traffic(charter, len(parties), dimension)
    per_round = sum(entry.bytes for entry in traffic.values())
    if charter.admission.minimum_examples > 1:
        notes.append(
            f"parties with fewer than {charter.admission.minimum_examples} examples are turned "
            "away when the data are dealt"
        )
    protocol = protocol_of(charter.protocol)
    notes += protocol.notes_of_check(
        charter.charter_tables, parties, dimension, charter_digest(charter)
    )
    return DryRun(
        name=charter.name,
        protocol=tag(charter.protocol),
        extension=charter.extension,
        charter_digest=charter_digest(charter),
        seed=scenario.seed,
        rounds=charter.training.rounds,
        parties=parties,
        coordinator=next(iter(protocol.coordinators), None),
        asked=protocol.asked(charter.protocol, len(parties)),
        attacks=_attacks(scenario),
        dimension=dimension,
        traffic=traffic,
        bytes_per_round=Bytes(per_round),
        bytes_in_all=Bytes(per_round * charter.training.rounds),
        cost_labels=list(protocol.labels),
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
    sent = protocol_of(charter.protocol).messages_per_round(
        charter.charter_tables, parties, dimension
    )
    return {
        name: Traffic(messages=messages, bytes=Bytes(size))
        for name, (messages, size) in sent.items()
    }


def _privacy(scenario: Scenario, dimension: int) -> PrivacyRecord:
    charter, own = scenario.charter, scenario.parties.privacy
    protocol = protocol_of(charter.protocol)
    expected = protocol.privacy_expected(charter.charter_tables, admitted(scenario)[0], dimension)
    if expected is not None:
        return expected
    if not isinstance(own, NoPrivacy):
        return PrivacyRecord(
            mechanism=tag(own),
            epsilon=max(own.epsilon_of(party) for party in admitted(scenario)),
            delta=own.delta,
            note=f"what parties are willing to spend in {charter.training.rounds} updates each, "
            "whoever looks; a party that has spent it stops",
        )
    return PrivacyRecord(
        mechanism=tag(charter.privacy),
        epsilon=None,
        delta=None,
        note=f"no noise is added, so no (epsilon, delta) holds; {protocol.reveals}",
    )
