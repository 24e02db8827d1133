"""What a run says of its committees before it starts."""

from __future__ import annotations

from math import comb

import pytest
from biscotti_tables import agreed

from troth.errors import CharterError
from troth.ids import NodeId
from troth.learning.training import Training
from troth.protocols.biscotti.failures import (
    PROPERTIES,
    adversarial_report,
    run_notes,
)
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.protocols.biscotti.parameters import (
    Biscotti,
    GaussianMask,
    LedgerNoise,
    MaskedPrivacy,
    NoMask,
    Property,
)
from troth.protocols.biscotti.setting import setting_of
from troth.protocols.protocol import CharterTables

GAUSSIAN = GaussianMask(sigma=0.1)


def peers(count: int, stake: int = 10) -> StakeTable:
    return StakeTable.of({NodeId(f"party-{index:03}"): stake for index in range(count)})


def hypergeometric(bad: int, count: int, drawn: int, least: int) -> float:
    ways = sum(comb(bad, k) * comb(count - bad, drawn - k) for k in range(least, drawn + 1))
    return ways / comb(count, drawn)


def notes(charter_tables: CharterTables[Biscotti], count: int = 20) -> str:
    setting = setting_of(charter_tables, charter=bytes(32), dimension=40)
    return "\n".join(run_notes(charter_tables, peers(count).peers, setting))


def rounds(number: int) -> Training:
    return Training(rounds=number, learning_rate=0.1)


def test_the_papers_committees() -> None:
    """200 peers, committees of 26, 30 % adversarial stake."""
    charter = agreed(MaskedPrivacy(noisers=5), rounds(100), verifiers=26, aggregators=26)
    found = adversarial_report(charter, peers(200))
    assert found.round.privacy == pytest.approx(hypergeometric(60, 200, 26, 13))
    assert found.round.integrity == pytest.approx(hypergeometric(60, 200, 26, 14))
    assert found.training.privacy == pytest.approx(1 - (1 - found.round.privacy) ** 100)
    # More than 6 of 26 aggregators or more than 12 of 26 verifiers: nearly all of it the former.
    assert found.round.liveness > hypergeometric(60, 200, 26, 7)
    # All 5 noisers of an honest contributor, and a verifier, which is nearly certain.
    assert found.round.unmasking == pytest.approx(hypergeometric(60, 199, 5, 5), rel=1e-3)


def test_without_a_mask_one_verifier_suffices() -> None:
    charter = agreed(MaskedPrivacy(mask=NoMask(), noisers=5))
    found = adversarial_report(charter, peers(20))
    assert found.round.unmasking == pytest.approx(hypergeometric(6, 20, 3, 1))
    assert "which has no mask" in notes(charter)


def test_a_block_needs_a_majority_even_of_those_that_may_crash() -> None:
    """Two of eight open a sum, and five certify it: four that do nothing stop the round."""
    charter = agreed(faults="crash", aggregators=8, tolerated=1, quorum=2, verifiers=1)
    found = adversarial_report(charter, peers(20))
    stopped = hypergeometric(6, 20, 8, 4)
    assert stopped < found.round.liveness < stopped + hypergeometric(6, 20, 1, 1)
    assert "fewer than 5 of 8 aggregators" in notes(charter)


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_bound_is_held_against_the_whole_training(name: Property) -> None:
    found = adversarial_report(agreed(), peers(20)).training
    likely = getattr(found, name)
    kept = agreed(most_failures={name: likely + 1e-9})
    assert adversarial_report(kept, peers(20)).training == found
    missed = agreed(most_failures={name: likely - 1e-9})
    with pytest.raises(CharterError, match=f"how likely {name} fails in 5 rounds") as caught:
        adversarial_report(missed, peers(20))
    assert caught.value.key == f"protocol.most_failures.{name}"
    assert f'accept_failures = ["{name}"]' in (caught.value.hint or "")
    accepted = agreed(most_failures={name: likely - 1e-9}, accept_failures=[name])
    assert adversarial_report(accepted, peers(20)).training == found
    assert f"{name} fails" in notes(accepted)
    assert notes(accepted).count("accepted by the charter") == 1


def test_too_few_peers_with_stake() -> None:
    table = StakeTable.of({NodeId(f"party-{index}"): 10 * (index < 5) for index in range(9)})
    with pytest.raises(CharterError, match="there are 5 peers with stake for 6 seats"):
        adversarial_report(agreed(), table)


def test_who_contributes() -> None:
    protocol = Biscotti(verifiers=26, aggregators=26)
    assert protocol.contributors_drawn(200) == 140
    assert protocol.contributors_drawn(100) == 48
    assert protocol.contributors_drawn(40) == 0


@pytest.mark.parametrize(
    ("changes", "training", "says"),
    [
        ({}, {}, "assume that peers with up to 30 % of the genesis' stake are adversarial"),
        ({"adversarial_stake": 0.125}, {}, "up to 12.5 %"),
        ({}, {}, "faults: byzantine; no two sums of a round are opened unless more than 1"),
        ({"faults": "crash"}, {}, "trusted not to lie to each other"),
        ({}, {}, "sharing: with all commitments"),
        ({"optimistic": True}, {}, "sharing: optimistic"),
        ({}, {}, "carries no differential privacy"),
        ({}, {"update": "gradient"}, "updates: a gradient over one batch"),
        ({}, {"update": "step"}, "the change of the model after one step"),
        ({"combine": "sum", "clip": 2.5}, {}, "moves by their sum; each is scaled down to an L2 "
         "norm of 2.5"),
    ],
)  # fmt: skip
def test_notes_say_what_the_run_rests_on(
    changes: dict[str, object], training: dict[str, object], says: str
) -> None:
    learning = Training(**{"rounds": 5, "learning_rate": 0.1, **training})  # type: ignore[arg-type]  # a dict of arguments
    assert says in notes(agreed(MaskedPrivacy(mask=GAUSSIAN), learning, **changes))


def test_ledger_noise_is_said_with_its_condition() -> None:
    noise = LedgerNoise(epsilon=20, delta=1e-5, corrupt=1)
    said = notes(agreed(MaskedPrivacy(ledger_noise=noise), least_updates=4, fraction_bits=12))
    assert "epsilon = 20, delta = 1e-05 over all rounds" in said
    assert "as long as of each sum 3 contributors" in said
    assert "no differential privacy" not in said


def test_slots_that_will_not_do() -> None:
    """Of 12 contributors, each asks 2 of 19 others: 1.26 requests for each peer."""
    enough = agreed(MaskedPrivacy(mask=GAUSSIAN, slots=8))
    assert "find none" not in notes(enough)
    few = agreed(MaskedPrivacy(mask=GAUSSIAN, slots=2))
    drawn, chance = few.parameters.contributors_drawn(20), 2 / 19
    asked = drawn * chance
    none = (1 - chance) ** drawn
    one = drawn * chance * (1 - chance) ** (drawn - 1)
    unserved = 1 - (2 * (1 - none) - one) / asked
    assert f"has 2 slots a round and is asked for {asked:.1f}" in notes(few)
    assert f"so {unserved:.0%} of requests find none" in notes(few)
    assert "find none" not in notes(agreed(MaskedPrivacy(mask=NoMask(), slots=2)))
