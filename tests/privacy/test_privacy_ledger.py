"""The ledger: what views have seen, budgets that hold, and restarts that neither pay twice nor
forget."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.errors import ExitCode, LocalError
from troth.privacy.accounting import spent
from troth.privacy.events import GaussianEvent, LaplaceEvent, NonPrivateEvent, SampledEvent
from troth.privacy.ledger import Budget, BudgetExhaustedError, PrivacyLedger

STEP = SampledEvent(10 / 600, 5.42)
DELTA = 1e-5


def ledger(epsilon: float | None = None) -> PrivacyLedger:
    budget = None if epsilon is None else Budget(epsilon, DELTA)
    return PrivacyLedger("record", "add_remove", budget)


def stored(state: PrivacyLedger) -> PrivacyLedger:
    """Through a disk and back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=PrivacyLedger)


def test_spending_is_composed_over_all_releases() -> None:
    state = ledger()
    for number in range(1, 101):
        state = state.charged(number, STEP, views=["broker"])
    assert state.spent(DELTA).epsilon == pytest.approx(0.098, abs=5e-4)
    assert state.spent(DELTA) == spent({STEP: 100}, DELTA, "add_remove")
    assert state.last_release == 100
    assert len(state.entries) == 1


def test_views_are_counted_alone_and_together() -> None:
    state = (
        ledger()
        .charged(1, GaussianEvent(4.0), views=["public", "p1"])
        .charged(2, GaussianEvent(4.0), views=["p1"])
        .charged(3, LaplaceEvent(9.0), views=["p2"])
    )
    assert state.views() == ("p1", "p2", "public")
    one = spent({GaussianEvent(4.0): 1}, DELTA, "add_remove")
    assert state.spent(DELTA, view="public") == one
    assert state.spent(DELTA, view="p1") == spent({GaussianEvent(4.0): 2}, DELTA, "add_remove")
    assert state.spent(DELTA, view="p2") == spent({LaplaceEvent(9.0): 1}, DELTA, "add_remove")
    assert state.spent(DELTA, view="stranger").epsilon == 0
    # One release seen by two counts once where they collude.
    everything = {GaussianEvent(4.0): 2, LaplaceEvent(9.0): 1}
    assert state.spent(DELTA) == spent(everything, DELTA, "add_remove")


def test_the_budget_refuses_before_the_release_and_to_the_last_one() -> None:
    state, made = ledger(0.05), 0
    left = state.releases_left(STEP)
    while state.releases_left(STEP) > 0:
        assert state.releases_left(STEP) == left - made
        made += 1
        state = state.charged(made, STEP, views=["broker"])
    assert made == left > 10
    with pytest.raises(BudgetExhaustedError) as caught:
        state.charged(made + 1, STEP, views=["broker"])
    assert state.spent().epsilon <= 0.05 < state.would_spend(STEP).epsilon
    assert caught.value.exit_code == ExitCode.BUDGET_EXHAUSTED == 6
    assert f"release {made + 1} would bring epsilon from" in caught.value.message
    assert "above epsilon=0.05 at delta=1e-05; it was not made" in caught.value.message
    # Refusing costs nothing, and something cheaper still fits.
    assert state.last_release == made
    cheap = GaussianEvent(10_000.0)
    assert state.charged(made + 1, cheap, views=["broker"]).last_release == made + 1


def test_different_events_share_one_budget() -> None:
    state = ledger(0.5)
    left = state.releases_left(GaussianEvent(60.0))
    for number in range(1, left + 1):
        state = state.charged(number, GaussianEvent(60.0), views=["broker"])
    assert ledger(0.5).releases_left(LaplaceEvent(10.0)) >= 1
    assert state.releases_left(LaplaceEvent(10.0)) == 0
    with pytest.raises(BudgetExhaustedError):
        state.charged(left + 1, LaplaceEvent(10.0), views=["p1"])


@settings(max_examples=10, deadline=None)
@given(
    charges=st.lists(
        st.tuples(
            st.sampled_from([STEP, GaussianEvent(6.0), LaplaceEvent(20.0)]),
            st.integers(1, 4),
            st.sampled_from([["broker"], ["p1", "public"]]),
        ),
        max_size=8,
    ),
    epsilon=st.floats(0.1, 2),
)
def test_no_sequence_of_charges_passes_the_budget(
    charges: list[tuple[GaussianEvent, int, list[str]]], epsilon: float
) -> None:
    state = ledger(epsilon)
    for number, (event, times, views) in enumerate(charges, 1):
        expected = state.would_spend(event, times)
        try:
            state = state.charged(number, event, views=views, times=times)
        except BudgetExhaustedError:
            assert expected.epsilon > epsilon
        else:
            assert state.spent() == expected
            assert expected.epsilon <= epsilon


def test_several_steps_of_one_release_are_charged_together() -> None:
    state = ledger(0.05)
    left = state.releases_left(STEP, times=7)
    assert left == state.releases_left(STEP) // 7
    for number in range(1, left + 1):
        state = state.charged(number, STEP, views=["broker"], times=7)
    with pytest.raises(BudgetExhaustedError):
        state.charged(left + 1, STEP, views=["broker"], times=7)


@settings(max_examples=30, deadline=None)
@given(crashes=st.lists(st.sampled_from(["before save", "after save", "none"]), max_size=12))
def test_a_restart_neither_spends_twice_nor_forgets(crashes: list[str]) -> None:
    """A party with a disk that crashes at the two places where it could matter."""
    disk = stored(ledger())
    sent: list[int] = []
    for crash in crashes:
        state = stored(disk)
        number = state.last_release + 1
        state = state.charged(number, STEP, views=["broker"])
        if crash == "before save":
            continue
        disk = stored(state)
        if crash == "after save":
            # It comes back, and knows from its state that this release is paid for.
            with pytest.raises(LocalError, match=f"release={number} is not above {number}"):
                stored(disk).charged(number, STEP, views=["broker"])
        sent.append(number)
    assert sent == list(range(1, len(sent) + 1))
    assert disk.spent(DELTA) == spent({STEP: len(sent)}, DELTA, "add_remove")


def test_a_ledger_from_the_disk_is_the_same_whatever_the_order() -> None:
    first = ledger(3.0).charged(1, STEP, views=["b", "a"]).charged(2, LaplaceEvent(9.0), views="c")
    other = ledger(3.0).charged(1, LaplaceEvent(9.0), views="c").charged(2, STEP, views=["a", "b"])
    assert stored(first) == first == other
    assert msgspec.msgpack.encode(first) == msgspec.msgpack.encode(other)


def test_charging_leaves_the_old_ledger_alone() -> None:
    before = ledger()
    before.charged(1, STEP, views=["broker"])
    assert before == ledger()


def test_an_unnoised_release_costs_everything() -> None:
    open_event = NonPrivateEvent("loss")
    assert ledger().charged(1, open_event, views=["b"]).spent(DELTA).epsilon == math.inf
    with pytest.raises(BudgetExhaustedError, match="to inf, above epsilon=100"):
        ledger(100.0).charged(1, open_event, views=["b"])


def test_an_event_of_unknown_kind_in_a_state_is_refused() -> None:
    state = msgspec.to_builtins(ledger().charged(1, STEP, views=["b"]))
    state["entries"][0]["event"]["type"] = "quantum"
    with pytest.raises(msgspec.ValidationError, match="quantum"):
        msgspec.convert(state, PrivacyLedger)


def test_calls_that_make_no_sense_are_refused() -> None:
    with pytest.raises(LocalError, match="release=0"):
        ledger().charged(0, STEP, views=["b"])
    with pytest.raises(LocalError, match="0 views"):
        ledger().charged(1, STEP, views=[])
    with pytest.raises(LocalError, match="0 times"):
        ledger().charged(1, STEP, views=["b"], times=0)
    with pytest.raises(LocalError, match="delta is missing"):
        ledger().spent()
    with pytest.raises(LocalError, match="no budget"):
        ledger().releases_left(STEP)
    for epsilon, delta in ((0.0, 0.1), (-1.0, 0.1), (math.nan, 0.1), (1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(LocalError, match="is no budget"):
            Budget(epsilon, delta)
