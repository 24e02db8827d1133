"""What the nodes of a brokered run say of privacy: a provider of itself, the others nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from troth.charter.loading import load_scenario
from troth.deployment.play import node_summary
from troth.ids import NodeId, PartyId
from troth.privacy.own import OwnPrivacy, own_privacy
from troth.protocols.tormentor.operation.staging import brokered_stage
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.roles import provider
from troth.protocols.tormentor.state import ProviderState
from troth.report.privacy import NO_PRIVACY, UNKNOWN_PRIVACY
from troth.worlds.real.host import Tally
from troth.worlds.real.rows import rows_of_scenario
from troth.worlds.real.stage import NodeStage
from troth.worlds.states import encode_state

PARTY = PartyId(NodeId("party-1"))
OWN = (
    '[parties.privacy]\nmechanism = "laplace"\nepsilon = 8\ndelta = 1e-3\nclip = 1\n'
    "own_epsilon = { party-1 = 3 }\n"
)


@pytest.fixture
def stage_of(scenario_file):
    """Makes the stage of one node, with the privacy that the scenario gives to it."""

    def make(id: NodeId) -> tuple[NodeStage, OwnPrivacy | None]:
        path: Path = scenario_file('name = "tormentor"\ndeadline_s = 5\nmin_providers = 1', OWN)
        loaded = load_scenario(path)
        charter = loaded.scenario.charter
        rows = rows_of_scenario(loaded, PartyId(id) if id == PARTY else CURATOR)
        privacy = None
        if id == PARTY:
            privacy = own_privacy(
                loaded.scenario.parties.privacy, PARTY, training=charter.training, examples=40
            )
        stage = brokered_stage(
            charter,
            id,
            rows,
            lambda plan: partial(provider, plan=plan, privacy=privacy),
            seed=1,
            base=path.parent,
            privacy=privacy,
        )
        return stage, privacy

    return make


def test_a_provider_says_what_it_has_spent_and_was_told(stage_of) -> None:
    stage, privacy = stage_of(PARTY)
    assert privacy is not None
    ledger = privacy.charged(privacy.charged(privacy.open(), 1, BROKER), 2, BROKER)
    state = ProviderState(ledger=ledger, updates=2, told="too noisy", stopped="spent")
    summary = node_summary(stage, Tally(), status="finished", saved=encode_state(state))
    (party,) = summary.parties
    assert (party.party, party.told, party.stopped) == (PARTY, "too noisy", "spent")
    assert summary.privacy is not None
    (own,) = summary.privacy.parties
    assert (own.party, own.budget, own.releases, own.views) == (PARTY, 3.0, 2, ["broker"])
    assert own.epsilon == summary.privacy.epsilon == ledger.spent().epsilon
    assert "seed" not in summary.privacy.note


def test_before_its_first_update_it_has_spent_nothing(stage_of) -> None:
    stage, _ = stage_of(PARTY)
    summary = node_summary(stage, Tally(), status="running")
    assert summary.privacy is not None
    assert (summary.privacy.mechanism, summary.privacy.epsilon) == ("laplace", 0.0)


@pytest.mark.parametrize("id", [BROKER, CURATOR])
def test_broker_and_curator_say_that_they_do_not_know(stage_of, id) -> None:
    stage, _ = stage_of(id)
    summary = node_summary(stage, Tally(), status="finished", saved=b"not a provider's")
    assert summary.privacy == UNKNOWN_PRIVACY
    assert b"laplace" not in msgspec.json.encode(summary)


def test_a_provider_without_noise_says_that_nothing_bounds_it(stage_of) -> None:
    stage, _ = stage_of(PARTY)
    object.__setattr__(stage, "privacy", None)
    summary = node_summary(stage, Tally(), status="finished", saved=encode_state(ProviderState()))
    assert summary.privacy == NO_PRIVACY
