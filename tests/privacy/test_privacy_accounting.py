"""Accountants: published figures, laws of composition, and refusals."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import dp_accounting
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.errors import LocalError
from troth.privacy.accounting import (
    bears,
    most_times,
    smallest_noise_multiplier,
    spent,
)
from troth.privacy.events import (
    ConcentratedEvent,
    Event,
    GaussianEvent,
    LaplaceEvent,
    NonPrivateEvent,
    SampledEvent,
)
from troth.privacy.spec import Adjacency

VECTORS = json.loads((Path(__file__).parent / "vectors" / "accounting.json").read_text())
ADJACENCIES: tuple[Adjacency, ...] = ("add_remove", "replace_one")
DELTA = 1e-5
MULTIPLIERS = st.floats(0.7, 20)
EVENTS = st.one_of(
    st.builds(GaussianEvent, MULTIPLIERS),
    st.builds(LaplaceEvent, MULTIPLIERS),
    st.builds(ConcentratedEvent, st.floats(1e-4, 1)),
    st.builds(SampledEvent, st.floats(0.01, 1), MULTIPLIERS),
)
ACCOUNTANT = settings(max_examples=10, deadline=None)


@pytest.mark.parametrize("vector", VECTORS["spent"], ids=lambda v: v["note"])
def test_published_figures(vector: dict[str, Any]) -> None:
    events = {SampledEvent(q, z): times for q, z, times in vector["sampled"]}
    found = spent(events, vector["delta"], vector["adjacency"])
    if "pld" in vector:
        assert found.epsilon == found.pld == pytest.approx(vector["pld"], rel=0.01, abs=5e-4)
    if "rdp" in vector:
        assert found.rdp == pytest.approx(vector["rdp"], rel=0.01)


@ACCOUNTANT
@given(z=MULTIPLIERS, times=st.integers(1, 50), adjacency=st.sampled_from(ADJACENCIES))
def test_gaussian_events_are_as_tight_as_the_analytic_formula(
    z: float, times: int, adjacency: Adjacency
) -> None:
    """Whatever the adjacency: the multiplier is over the distance between neighbours."""
    exact = dp_accounting.get_epsilon_gaussian(z / math.sqrt(times), DELTA)
    found = spent({GaussianEvent(z): times}, DELTA, adjacency)
    assert exact <= found.epsilon * (1 + 1e-6) + 1e-6
    assert found.epsilon <= exact * 1.01 + 1e-3


@ACCOUNTANT
@given(event=EVENTS, times=st.integers(1, 40), adjacency=st.sampled_from(ADJACENCIES))
def test_more_releases_cost_more_and_smaller_delta_too(
    event: Event, times: int, adjacency: Adjacency
) -> None:
    once = spent({event: times}, DELTA, adjacency).epsilon
    assert 0 <= once <= spent({event: times + 5}, DELTA, adjacency).epsilon * (1 + 1e-6) + 1e-6
    assert once <= spent({event: times}, DELTA / 10, adjacency).epsilon * (1 + 1e-6) + 1e-6


@ACCOUNTANT
@given(
    q=st.floats(0.01, 1),
    z=MULTIPLIERS,
    factor=st.floats(1.05, 3),
    adjacency=st.sampled_from(ADJACENCIES),
)
def test_more_noise_and_rarer_sampling_cost_less(
    q: float, z: float, factor: float, adjacency: Adjacency
) -> None:
    def epsilon(q: float, z: float) -> float:
        return spent({SampledEvent(q, z): 10}, DELTA, adjacency).epsilon

    assert epsilon(q, z * factor) <= epsilon(q, z) + 1e-6
    assert epsilon(q / factor, z) <= epsilon(q, z) + 1e-6


@ACCOUNTANT
@given(
    counted=st.lists(st.tuples(EVENTS, st.integers(1, 5)), min_size=1, max_size=4),
    adjacency=st.sampled_from(ADJACENCIES),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_of_composition_does_not_matter(
    counted: list[tuple[Event, int]], adjacency: Adjacency, shuffle: random.Random
) -> None:
    one_by_one = [(event, 1) for event, times in counted for _ in range(times)]
    shuffle.shuffle(one_by_one)
    assert spent(tuple(one_by_one), DELTA, adjacency) == spent(tuple(counted), DELTA, adjacency)


@ACCOUNTANT
@given(
    first=EVENTS, second=EVENTS, times=st.integers(1, 10), adjacency=st.sampled_from(ADJACENCIES)
)
def test_two_kinds_cost_more_than_one_and_less_than_their_sum(
    first: Event, second: Event, times: int, adjacency: Adjacency
) -> None:
    together = spent(((first, times), (second, times)), DELTA, adjacency).epsilon
    parts = [spent({event: times}, DELTA / 2, adjacency).epsilon for event in (first, second)]
    alone = spent({first: times}, DELTA, adjacency)
    # PLD may count one kind and not both; RDP always counts both.
    assert together * (1 + 1e-6) + 1e-6 >= (alone.pld or 0.0)
    assert spent(((first, times), (second, times)), DELTA, adjacency).rdp >= alone.rdp
    if all(isinstance(event, GaussianEvent | LaplaceEvent) for event in (first, second)):
        assert together <= sum(parts) * (1 + 1e-3) + 1e-3


@ACCOUNTANT
@given(event=EVENTS, times=st.integers(1, 30), adjacency=st.sampled_from(ADJACENCIES))
def test_the_two_accountants_agree_that_pld_is_tighter(
    event: Event, times: int, adjacency: Adjacency
) -> None:
    found = spent({event: times}, DELTA, adjacency)
    assert found.epsilon == min(found.rdp, math.inf if found.pld is None else found.pld)
    if found.pld is not None:
        assert found.pld <= found.rdp * (1 + 1e-3) + 1e-3
    else:
        assert isinstance(event, ConcentratedEvent)


def test_exchanging_a_record_costs_more_than_removing_it_and_less_than_without_sampling() -> None:
    event = SampledEvent(0.04, 1.67)
    removed = spent({event: 100}, DELTA, "add_remove").epsilon
    exchanged = spent({event: 100}, DELTA, "replace_one").epsilon
    assert 1.5 * removed < exchanged
    # From all records, neighbours are 2 C apart.
    everything = spent({GaussianEvent(1.67 / 2): 100}, DELTA, "replace_one").epsilon
    assert exchanged < everything / 5
    full = spent({SampledEvent(1.0, 1.67): 100}, DELTA, "replace_one").epsilon
    assert full == pytest.approx(everything, rel=1e-3)


def test_gaussian_and_sampled_events_compose_under_replace_one() -> None:
    """dp_accounting halves a Gaussian's multiplier there; ours is over the true distance."""
    both = ((GaussianEvent(2.0), 3), (SampledEvent(1.0, 4.0), 3))
    same = {GaussianEvent(2.0): 6}
    found = spent(both, DELTA, "replace_one")
    assert found.pld == pytest.approx(spent(same, DELTA, "replace_one").epsilon, rel=1e-3)


def test_laplace_together_with_sampled_events_is_counted_under_replace_one() -> None:
    found = spent({LaplaceEvent(5.0): 2, SampledEvent(0.1, 3.0): 2}, DELTA, "replace_one")
    assert found.pld is None
    assert found.epsilon == found.rdp < math.inf


def test_nothing_costs_nothing_and_no_noise_costs_everything() -> None:
    assert spent({}, DELTA, "add_remove").epsilon == 0
    open_event = NonPrivateEvent("weights")
    found = spent({open_event: 1, GaussianEvent(9.0): 1}, DELTA, "add_remove")
    assert found.epsilon == found.rdp == math.inf


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, math.nan])
def test_delta_must_be_inside_its_bounds(delta: float) -> None:
    with pytest.raises(LocalError, match="delta="):
        spent({GaussianEvent(1.0): 1}, delta, "add_remove")


@pytest.mark.parametrize("times", [-1, 10_000_001])
def test_counts_have_bounds(times: int) -> None:
    with pytest.raises(LocalError, match=f"times={times}"):
        spent({GaussianEvent(1.0): times}, DELTA, "add_remove")


@ACCOUNTANT
@given(event=EVENTS, epsilon=st.floats(0.3, 3), adjacency=st.sampled_from(ADJACENCIES))
def test_the_most_times_just_fit(event: Event, epsilon: float, adjacency: Adjacency) -> None:
    most = most_times(event, (), epsilon, DELTA, adjacency)
    assert most == 0 or spent({event: most}, DELTA, adjacency).epsilon <= epsilon
    assert spent({event: most + 1}, DELTA, adjacency).epsilon > epsilon
    for times in (most, most + 1, most // 2, most + 17):
        if times:
            assert bears(event, times, (), epsilon, DELTA, adjacency) == (times <= most)


@pytest.mark.parametrize("adjacency", ADJACENCIES)
@pytest.mark.parametrize(
    "kind",
    [GaussianEvent, LaplaceEvent, lambda z: SampledEvent(0.05, z)],
    ids=["gaussian", "laplace", "sampled"],
)
def test_the_smallest_noise_just_fits(kind: Any, adjacency: Adjacency) -> None:
    z = smallest_noise_multiplier(kind, 40, 2.0, DELTA, adjacency)
    assert spent({kind(z): 40}, DELTA, adjacency).epsilon <= 2.0
    assert spent({kind(z / 1.002): 40}, DELTA, adjacency).epsilon > 2.0


def test_a_budget_that_no_noise_keeps_is_refused() -> None:
    with pytest.raises(LocalError, match="epsilon=1e-12 cannot be kept"):
        smallest_noise_multiplier(GaussianEvent, 10_000_000, 1e-12, 1e-300, "add_remove")


@given(event=EVENTS)
def test_events_survive_a_state_file(event: Event) -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event)
    assert again == event


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_events_without_noise_cannot_be_made(value: float) -> None:
    for make in (GaussianEvent, LaplaceEvent, ConcentratedEvent, lambda z: SampledEvent(0.5, z)):
        with pytest.raises(LocalError, match="not a finite number above 0"):
            make(value)
    with pytest.raises(LocalError, match="sampling_probability="):
        SampledEvent(value, 1.0)
