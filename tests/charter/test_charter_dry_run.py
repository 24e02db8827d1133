"""`troth check` and `troth new`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from troth import streams
from troth.charter.digest import charter_digest
from troth.charter.dry_run import dry_run
from troth.charter.loading import LoadedScenario, load_scenario
from troth.charter.scaffold import scaffold
from troth.charter.validate import validate
from troth.data.loading import load as load_data
from troth.errors import CharterError, UsageError
from troth.ids import Round
from troth.learning.local import LocalUpdate
from troth.protocols.federated.messages import MESSAGES, TrainRequest, Update
from troth.protocols.lookup import protocol_of
from troth.robustness.requests import AggregateUpdates
from troth.wire import Codec
from troth.worlds.simulated.stage import prepare

Load = Callable[..., LoadedScenario]

ATTACK = '[[attacks]]\nkind = "label_flip"\nfraction = 0.3\n'


def test_says_who_and_how_much(load: Load, base: str) -> None:
    loaded = load(base.replace('"federated"', '"federated"\nparticipation = 0.5') + ATTACK)
    found = dry_run(loaded)
    assert found.parties == [f"party-{index}" for index in range(10)]
    assert found.coordinator == "server"
    assert found.asked == 5
    assert [(attack.kind, len(attack.parties)) for attack in found.attacks] == [("label_flip", 3)]
    assert set(found.attacks[0].parties) < set(found.parties)
    assert found.dimension == (64 + 1) * 10
    codec, vector_D = Codec(MESSAGES), np.zeros(650, np.float32)
    request = len(codec.encode(TrainRequest(Round(1), vector_D)))
    update = len(codec.encode(Update(Round(1), vector_D, 1)))
    assert found.traffic["TrainRequest"].messages == 5
    assert found.traffic["TrainRequest"].bytes == 5 * request
    assert found.bytes_per_round == 5 * (request + update)
    assert found.bytes_in_all == 5 * found.bytes_per_round
    assert found.charter_digest == charter_digest(loaded.scenario.charter)
    assert found.privacy.epsilon is None
    assert "no (epsilon, delta) holds" in found.privacy.note


def test_attackers_depend_on_the_seed_alone(load: Load, base: str) -> None:
    first = dry_run(load(base + ATTACK))
    assert dry_run(load(base + ATTACK, "training.rounds=9")).attacks == first.attacks
    others = [dry_run(load(base + ATTACK, f"seed={seed}")).attacks for seed in range(5)]
    assert any(other != first.attacks for other in others)


def test_attackers_are_those_of_the_run(load: Load, base: str) -> None:
    loaded = load(base + ATTACK)
    stage = prepare(loaded.scenario, base=loaded.base, root=None)
    (found,) = dry_run(loaded).attacks
    assert list(stage.attackers) == found.parties
    assert len(stage.initial_D) == dry_run(loaded).dimension


def test_a_ledger_says_how_likely_its_committees_fail(load: Load, base: str) -> None:
    ledger = base.replace("count = 10", "count = 12").replace('"federated"', '"biscotti"')
    found = dry_run(load(ledger, "training.batch_size=10"))
    assert found.coordinator is None
    assert found.asked == 12
    # 3 of 12 peers are adversarial; 2 of 3 seats of a committee: (3 * 9 + 1) / 220.
    assert "privacy fails" in found.notes[1]
    assert any("not covered by them: a leader knows" in note for note in found.notes)
    assert "0.13 a round, 0.49 in 5 rounds" in found.notes[1]
    assert "carries no differential privacy" in "".join(found.notes)
    assert found.privacy.epsilon is None
    assert found.bytes_in_all > 0


def test_a_ledger_with_noise_says_what_a_peer_spends(load: Load, base: str) -> None:
    found = dry_run(
        load(
            base.replace('"federated"', '"biscotti"\nfraction_bits = 10'),
            "protocol.least_updates=2",
            "privacy.ledger_noise.epsilon=4",
            "privacy.ledger_noise.delta=1e-5",
            'privacy.mask={kind = "calibrated", epsilon = 8.0, delta = 1e-5}',
        )
    )
    assert "epsilon = 4, delta = 1e-05 over all rounds" in "".join(found.notes)
    # More than the sums alone, for masked updates are released, too.
    assert found.privacy.epsilon is not None
    assert found.privacy.epsilon > 4


def test_a_ledger_that_misses_its_own_bound_is_refused(load: Load, base: str) -> None:
    ledger = base.replace('"federated"', '"biscotti"') + '\n[privacy]\nmask = "none"\n'
    bound = "protocol.most_failures.privacy=0.1"
    with pytest.raises(CharterError, match="how likely privacy fails in 5 rounds") as caught:
        dry_run(load(ledger, bound))
    assert (caught.value.key, caught.value.value) == ("protocol.most_failures.privacy", 0.1)
    accepted = dry_run(load(ledger, bound, 'protocol.accept_failures=["privacy"]'))
    assert "accepted by the charter" in accepted.notes[1]
    dry_run(load(ledger, "protocol.most_failures.privacy=0.9"))


def test_a_ledger_whose_noise_does_not_fit_its_grid_is_refused(load: Load, base: str) -> None:
    ledger = base.replace('"federated"', '"biscotti"\nfraction_bits = 0')
    with pytest.raises(CharterError) as caught:
        dry_run(load(ledger))
    assert caught.value.key == "privacy.mask.epsilon"


def test_slots_that_will_not_do_are_said(load: Load, base: str) -> None:
    ledger = base.replace("count = 10", "count = 40").replace('"federated"', '"biscotti"')
    assert not any("find none" in note for note in dry_run(load(ledger)).notes)
    few = dry_run(load(ledger, "privacy.slots=2"))
    assert any("has 2 slots a round" in note for note in few.notes)


def test_parties_off_the_list_are_left_out(load: Load, base: str) -> None:
    more = '[admission]\npolicy = "allow_list"\nallow = ["party-7", "party-2"]\n'
    found = dry_run(load(base + more, "admission.minimum_examples=5"))
    assert found.parties == ["party-2", "party-7"]
    assert found.asked == 2
    assert "fewer than 5 examples" in found.notes[0]


@pytest.mark.parametrize(
    ("protocol", "coordinator", "asked", "sends"),
    [
        ("dssgd", "server", 10, True),
        ("centralised", "trainer", 0, False),
        ("standalone", None, 10, False),
    ],
)
def test_other_protocols(
    load: Load, base: str, protocol: str, coordinator: str | None, asked: int, sends: bool
) -> None:
    found = dry_run(load(base, f"protocol={protocol}"))
    assert (found.coordinator, found.asked) == (coordinator, asked)
    assert (found.bytes_in_all > 0) == sends
    assert found.cost_labels == ["local_update"]


def test_cost_labels_are_those_of_the_requests(load: Load, base: str) -> None:
    labels = protocol_of(load(base).scenario.charter.protocol).labels
    assert labels == (LocalUpdate.label, AggregateUpdates.label)


def test_validation_of_a_scenario_made_in_python(load: Load, base: str) -> None:
    scenario = load(base).scenario
    validate(scenario)
    attack = load(base + ATTACK).scenario.attacks[0]
    with pytest.raises(CharterError, match="brings the attackers to 12"):
        validate(msgspec.structs.replace(scenario, attacks=[attack] * 4))


def test_scaffold_can_be_checked_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "task"
    written = scaffold(folder, "wine-growers")
    assert [path.name for path in written] == ["charter.toml", "scenario.toml", "task.py"]
    loaded = load_scenario(folder / "scenario.toml")
    assert loaded.scenario.charter.name == "wine-growers"
    found = dry_run(loaded)
    assert found.dimension == (13 + 1) * 16 + (16 + 1) * 3
    stream = streams.world(1).child("data")
    data = load_data(loaded.scenario.charter.task.data, root=None, base=folder, stream=stream)
    assert len(data.train) == 142
    assert data.train.x_NF.min() >= 0
    assert data.train.x_NF.max() <= 1


def test_commented_attack_of_the_scaffold_is_valid(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    scaffold(folder, "x")
    path = folder / "scenario.toml"
    before, after = path.read_text().split("# [[attacks]]")
    path.write_text(before + ("# [[attacks]]" + after).replace("\n# ", "\n").removeprefix("# "))
    assert len(load_scenario(path).scenario.attacks) == 1


@pytest.mark.parametrize("existing", ["charter.toml", "scenario.toml", "task.py"])
def test_scaffold_overwrites_nothing(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        scaffold(tmp_path, "x")
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_scaffold_wants_a_name_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lower-case"):
        scaffold(tmp_path / "new", "My Charter")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        scaffold(tmp_path / "file" / "below", "x")
