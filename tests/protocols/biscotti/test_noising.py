"""How much noise a Biscotti charter asks for, and what it is worth."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from biscotti_tables import agreed

from troth.crypto.fixed_point import MAX_BOUND, FixedPoint
from troth.crypto.seeded_bits import SeededBits
from troth.errors import CharterError
from troth.ids import NodeId, PartyId, Round
from troth.learning.training import Training
from troth.privacy.accounting import spent
from troth.privacy.discrete import MAX_SIGMA
from troth.privacy.discrete_table import gaussian_table
from troth.privacy.distributed import MIN_PART_SIGMA, least_sigma, sum_event
from troth.privacy.events import ConcentratedEvent, NonPrivateEvent
from troth.protocols.biscotti.hiding.noising import (
    MAX_MASKED,
    ledger_sigma,
    sensitivity,
    slot_sigma,
)
from troth.protocols.biscotti.hiding.released import released_privacy, round_costs
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.protocols.biscotti.members import account_of
from troth.protocols.biscotti.parameters import (
    CalibratedMask,
    GaussianMask,
    LedgerNoise,
    MaskedPrivacy,
    MaskSpec,
    NoMask,
    PaperMask,
)
from troth.protocols.biscotti.state import PeerState
from troth.records import PartyPrivacy

GRID = FixedPoint(1.0, 14)
TRAINING = Training(rounds=100, update="gradient", batch_size=10, learning_rate=0.1)
DELTA = 1e-5
PARTY = PartyId(NodeId("party-3"))
CREDIT, MNIST = 25, 7850


def slot(
    mask: MaskSpec,
    *,
    fixed: FixedPoint = GRID,
    training: Training = TRAINING,
    dimension: int = CREDIT,
    part: int | None = None,
    noisers: int = 2,
    needed: int | None = None,
) -> int:
    noise = MaskedPrivacy(mask=mask, noisers=noisers, needed=needed)
    found = slot_sigma(noise, fixed, training, dimension=dimension, part=part)
    assert found is not None
    return found


def part_of(
    ledger: LedgerNoise,
    *,
    fixed: FixedPoint = GRID,
    training: Training = TRAINING,
    least_updates: int = 2,
) -> int:
    return ledger_sigma(ledger, fixed, training, dimension=CREDIT, least_updates=least_updates)


def test_without_a_mask_there_is_no_noise() -> None:
    noise = MaskedPrivacy(mask=NoMask())
    assert slot_sigma(noise, GRID, TRAINING, dimension=CREDIT) is None


@pytest.mark.parametrize("needed", [1, 2, 3, 5])
def test_needed_slots_come_to_the_sigma_that_is_asked_for(needed: int) -> None:
    found = slot(GaussianMask(sigma=0.5), noisers=5, needed=needed)
    assert math.sqrt(needed) * found / 2**14 == pytest.approx(0.5, rel=1e-3)


def test_the_papers_noise_is_that_of_its_prototype() -> None:
    """0.54 on a coordinate for two averaged noisers and batches of 10: CRYPTO's figures by hand."""
    one = math.sqrt(2 * math.log(1.25 / DELTA)) / 2.0 / math.sqrt(10)
    for noisers in (1, 2, 5):
        found = slot(PaperMask(), noisers=noisers)
        assert found / 2**14 == pytest.approx(one / noisers, rel=1e-3)
    assert math.sqrt(2) * slot(PaperMask()) / 2**14 == pytest.approx(0.5417, abs=1e-3)


def test_the_paper_does_not_say_what_a_batch_of_all_is() -> None:
    everything = Training(rounds=1, batch_size="all", learning_rate=0.1)
    with pytest.raises(CharterError, match=r'training\.batch_size = "all" does not go with'):
        slot(PaperMask(), training=everything)
    assert slot(GaussianMask(sigma=0.5), training=everything) > 0


@pytest.mark.parametrize("needed", [1, 2, 4])
@pytest.mark.parametrize("dimension", [CREDIT, MNIST])
def test_calibrated_slots_keep_the_budget_and_hardly_more(needed: int, dimension: int) -> None:
    mask = CalibratedMask(epsilon=2.0, delta=DELTA)
    found = slot(mask, noisers=4, needed=needed, dimension=dimension)
    # 2 C' = 2 (C + sqrt(D) / 2 steps), in steps.
    distance = 2 * (2**14 + math.sqrt(dimension) / 2)
    for factor, keeps in ((1.0, True), (0.99, False)):
        event = sum_event(needed * (factor * found) ** 2, distance, "")
        assert (spent({event: 100}, DELTA, "replace_one").epsilon <= 2.0) is keeps


def test_calibrated_noise_grows_with_rounds_and_clip_and_falls_with_epsilon() -> None:
    mask = CalibratedMask(epsilon=2.0, delta=DELTA)
    found = slot(mask)
    longer = Training(rounds=400, update="gradient", batch_size=10, learning_rate=0.1)
    assert slot(mask, training=longer) == pytest.approx(2 * found, rel=0.02)
    assert slot(CalibratedMask(epsilon=4.0, delta=DELTA)) < 0.6 * found
    assert slot(mask, fixed=FixedPoint(2.0, 14)) == pytest.approx(2 * found, rel=0.01)


def refusal(mask: MaskSpec, **kwargs: object) -> str:
    with pytest.raises(CharterError) as caught:
        slot(mask, **kwargs)  # type: ignore[arg-type]  # any of its own
    return str(caught.value)


WIDE = FixedPoint(1.0, 19)
LARGE = GaussianMask(sigma=20.0)


def test_noise_that_masked_coordinates_have_no_room_for_is_refused() -> None:
    fits = slot(LARGE, fixed=WIDE, noisers=17, needed=1)
    assert WIDE.bound + 17 * 12 * fits <= MAX_MASKED < WIDE.bound + 18 * 12 * fits
    said = refusal(LARGE, fixed=WIDE, noisers=18, needed=1)
    assert "privacy.mask.sigma = 20.0" in said
    assert "lower [protocol] fraction_bits to about 18" in said
    assert slot(LARGE, fixed=FixedPoint(1.0, 18), noisers=18, needed=1) > 0


def test_the_ledgers_part_takes_room_from_the_mask() -> None:
    fits = slot(LARGE, fixed=WIDE, noisers=17, needed=1)
    room = (MAX_MASKED - WIDE.bound - 17 * 12 * fits) // 12
    assert slot(LARGE, fixed=WIDE, noisers=17, needed=1, part=room) == fits
    said = refusal(LARGE, fixed=WIDE, noisers=17, needed=1, part=room + 1)
    assert "privacy.mask.sigma" in said


def test_noise_beyond_what_can_be_drawn_is_refused() -> None:
    most = MAX_SIGMA / 2**19
    assert slot(GaussianMask(sigma=most), fixed=WIDE, noisers=1) == MAX_SIGMA
    assert "room for" in refusal(GaussianMask(sigma=1.001 * most), fixed=WIDE, noisers=1)


def test_noise_of_hardly_a_step_is_refused() -> None:
    coarse = FixedPoint(1.0, 4)
    said = refusal(PaperMask(epsilon=2.0), fixed=coarse)
    assert "privacy.mask.epsilon = 2.0" in said
    assert "raise [protocol] fraction_bits to 5" in said
    assert slot(PaperMask(epsilon=2.0), fixed=FixedPoint(1.0, 5)) >= MIN_PART_SIGMA


def test_a_budget_that_cannot_be_kept_is_refused() -> None:
    said = refusal(CalibratedMask(epsilon=1e-9, delta=1e-15))
    assert said.startswith("privacy.mask.epsilon = 1e-09 cannot be kept over 100 rounds")


@pytest.mark.parametrize(("least_updates", "corrupt"), [(2, 0), (2, 1), (35, 0), (35, 10)])
def test_parts_that_are_left_keep_the_ledgers_budget(least_updates: int, corrupt: int) -> None:
    ledger = LedgerNoise(epsilon=2.0, delta=DELTA, corrupt=corrupt)
    part = part_of(ledger, least_updates=least_updates)
    for factor, keeps in ((1.0, True), (0.99, False)):
        variance = (least_updates - corrupt) * (factor * part) ** 2
        event = sum_event(variance, sensitivity(GRID, CREDIT), "")
        assert (spent({event: 100}, DELTA, "replace_one").epsilon <= 2.0) is keeps


def test_a_sum_without_an_honest_part_is_refused() -> None:
    with pytest.raises(
        CharterError, match=r"privacy\.ledger_noise\.corrupt = 2 leaves no honest part"
    ):
        part_of(LedgerNoise(epsilon=2.0, delta=DELTA, corrupt=2))


def test_parts_that_commitments_have_no_room_for_are_refused() -> None:
    ledger = LedgerNoise(epsilon=2.0, delta=DELTA)
    fits = FixedPoint(1.0, 19)
    assert fits.bound + 12 * part_of(ledger, fixed=fits) <= MAX_BOUND
    with pytest.raises(CharterError, match=r"privacy\.ledger_noise\.epsilon = 2\.0 .* room for"):
        part_of(ledger, fixed=FixedPoint(1.0, 23))


def drawn(sigma: int, parts: int) -> float:
    """Standard deviation of a sum of so many drawn vectors, in the update's units."""
    vectors = [
        gaussian_table(sigma).draw(SeededBits(bytes([index]) * 32), 20_000)
        for index in range(parts)
    ]
    return float(np.sum(vectors, axis=0).std()) / 2**14


@pytest.mark.parametrize("needed", [1, 3, 5])
def test_drawn_slots_sum_to_what_is_asked_for(needed: int) -> None:
    found = slot(GaussianMask(sigma=0.5), noisers=5, needed=needed)
    assert drawn(found, needed) == pytest.approx(0.5, rel=0.02)


def test_drawn_parts_of_the_fewest_honest_contributors_sum_to_the_ledgers_noise() -> None:
    ledger = LedgerNoise(epsilon=2.0, delta=DELTA, corrupt=2)
    part = part_of(ledger, least_updates=9)
    whole = least_sigma(sensitivity(GRID, CREDIT), 100, 2.0, DELTA) / 2**14
    assert drawn(part, 7) == pytest.approx(whole, rel=0.02)


def released(
    mask: MaskSpec, ledger: LedgerNoise | None, masked: int, contributed: int, **kwargs: object
) -> PartyPrivacy:
    privacy = MaskedPrivacy(mask=mask, ledger_noise=ledger)
    charter = agreed(privacy, TRAINING, fraction_bits=14, least_updates=10, **kwargs)
    return released_privacy(
        charter, PARTY, dimension=CREDIT, masked=masked, contributed=contributed
    )


CALIBRATED = CalibratedMask(epsilon=2.0, delta=1e-6)
LEDGER = LedgerNoise(epsilon=1.0, delta=DELTA, corrupt=3)


def test_a_ledger_without_noise_carries_no_privacy_whatever_the_mask() -> None:
    record = released(CALIBRATED, None, 100, 40)
    masked, sums = record.by_release
    assert (record.epsilon, record.pld, record.rdp) == (None, None, None)
    assert (sums.epsilon, sums.budget, sums.releases, sums.views) == (None, None, 40, ["public"])
    assert masked.epsilon == pytest.approx(2.0, rel=0.01)
    assert masked.epsilon is not None
    assert masked.epsilon <= 2.0 == masked.budget
    assert (masked.delta, masked.releases, masked.views) == (1e-6, 100, ["verifiers"])
    assert [entry["times"] for entry in record.entries] == [60, 40]
    assert record.entries[1]["event"] == {"type": "non_private", "what": "sums as they are"}


def test_an_update_that_no_block_took_costs_what_its_masks_say() -> None:
    record = released(CALIBRATED, None, 100, 0)
    assert record.epsilon == record.by_release[0].epsilon
    assert record.by_release[1].epsilon == 0.0
    assert record.views == ["verifiers"]


def test_the_papers_count_stands_beside_what_holds() -> None:
    once, masked = released(PaperMask(), None, 1, 0), released(PaperMask(), None, 100, 0)
    for record in (once, masked):
        assert record.by_release[0].paper == 2.0
        assert record.by_release[1].paper is None
    # z = 0.5417 / 2: rho = 1 / (2 z^2) = 6.8 a round; epsilon about rho + 2 sqrt(rho ln(1/delta)).
    assert once.epsilon == pytest.approx(6.8 + 2 * math.sqrt(6.8 * math.log(1 / DELTA)), rel=0.1)
    assert masked.epsilon == pytest.approx(681 + 2 * math.sqrt(681 * math.log(1 / DELTA)), rel=0.02)


def test_the_ledgers_noise_keeps_its_budget() -> None:
    masked, sums = released(NoMask(), LEDGER, 100, 100).by_release
    assert sums.epsilon == pytest.approx(1.0, rel=0.01)
    assert sums.epsilon is not None
    assert sums.epsilon <= 1.0 == sums.budget
    assert masked.budget is None


def test_unmasked_updates_have_their_own_part_only_and_so_has_who_sees_both() -> None:
    record = released(NoMask(), LEDGER, 100, 100)
    masked, sums = record.by_release
    assert masked.epsilon == record.epsilon
    assert record.epsilon is not None
    assert sums.epsilon is not None
    assert record.epsilon > 2 * sums.epsilon


def test_both_releases_cost_more_than_each_and_less_than_the_two_composed() -> None:
    privacy = MaskedPrivacy(mask=GaussianMask(sigma=20.0), ledger_noise=LEDGER)
    charter = agreed(privacy, TRAINING, fraction_bits=14, least_updates=10)
    costs = round_costs(charter, dimension=CREDIT)
    one, other, both = (
        spent({event: 100}, DELTA, "replace_one").epsilon
        for event in (costs.masked, costs.opened, costs.both)
    )
    assert max(one, other) < both
    record = released(GaussianMask(sigma=20.0), LEDGER, 100, 60)
    together = {costs.both: 60, costs.masked: 40}
    assert record.epsilon == spent(together, DELTA, "replace_one").epsilon
    assert record.views == ["public", "verifiers"]
    assert [entry["times"] for entry in record.entries] == [40, 60]


def test_no_noise_and_no_release() -> None:
    assert released(NoMask(), None, 100, 100) == PartyPrivacy(party=PARTY, mechanism="none")
    nothing = released(PaperMask(), None, 0, 0)
    assert (nothing.epsilon, nothing.entries, nothing.views) == (0.0, [], [])
    assert [release.epsilon for release in nothing.by_release] == [0.0, 0.0]


def test_a_bare_release_is_said_to_be_one() -> None:
    costs = round_costs(agreed(MaskedPrivacy(mask=NoMask()), TRAINING), dimension=CREDIT)
    assert isinstance(costs.masked, NonPrivateEvent)
    assert isinstance(costs.both, NonPrivateEvent)


def test_only_noisers_that_must_answer_are_counted() -> None:
    privacy = MaskedPrivacy(mask=GaussianMask(sigma=0.5), noisers=5, needed=2)
    event = round_costs(agreed(privacy, TRAINING, fraction_bits=14), dimension=CREDIT).masked
    assert isinstance(event, ConcentratedEvent)
    # rho = (2 C / sigma)^2 / 2, but for rounding.
    assert event.rho == pytest.approx((2.0 / 0.5) ** 2 / 2, rel=2e-3)


def test_the_account_of_a_party_is_of_the_rounds_that_its_role_has_saved() -> None:
    privacy = MaskedPrivacy(mask=CALIBRATED, ledger_noise=LEDGER)
    charter = agreed(privacy, TRAINING, fraction_bits=14, least_updates=10)
    stake = StakeTable.of({PARTY: 10})
    head: Any = SimpleNamespace(state=SimpleNamespace(stake=stake))  # all that an account looks at
    saved = PeerState(head=head, begun=Round(9), branch=(), masked=7, contributed=4)
    for state, masked, contributed in ((saved, 7, 4), (None, 0, 0)):
        account = account_of(
            charter,
            PARTY,
            None,
            lambda type_, state=state: state if type_ is PeerState else None,
            CREDIT,
        )
        assert account.measures == ({} if state is None else {"stake": 10})
        assert account.privacy == released(CALIBRATED, LEDGER, masked, contributed)
        assert [release.releases for release in account.privacy.by_release] == [
            masked,
            contributed,
        ]
