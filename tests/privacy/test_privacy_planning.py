"""The `[privacy]` table, and the noise that follows from it."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from troth.errors import CharterError, LocalError
from troth.learning.training import Training
from troth.privacy.accounting import spent
from troth.privacy.events import ConcentratedEvent, GaussianEvent, LaplaceEvent, SampledEvent
from troth.privacy.ledger import BudgetExhaustedError
from troth.privacy.mechanisms import (
    DiscreteGaussian,
    Gaussian,
    Laplace,
    analytic_noise_multiplier,
)
from troth.privacy.planning import (
    mechanism,
    open_ledger,
    plan,
    sampling_probability,
    training_steps,
)
from troth.privacy.spec import (
    DPSGD,
    Budgeted,
    DiscreteGaussianNoise,
    GaussianNoise,
    LaplaceNoise,
    NoPrivacy,
    PrivacySpec,
)

TABLES: list[Budgeted] = [
    GaussianNoise(epsilon=2.0, delta=1e-5, clip=1.0),
    DiscreteGaussianNoise(epsilon=2.0, delta=1e-5, clip=1.0),
    LaplaceNoise(epsilon=2.0, delta=1e-5, clip=1.0),
    DPSGD(epsilon=2.0, delta=1e-5, clip=1.0),
    DPSGD(epsilon=2.0, delta=1e-5, clip=1.0, adjacency="replace_one"),
]


@pytest.mark.parametrize("spec", TABLES, ids=lambda s: f"{type(s).__name__} {s.adjacency}")
def test_planned_rounds_fit_the_budget_and_one_percent_more_do_not(spec: Budgeted) -> None:
    planned = plan(spec, rounds=100, examples=600, batch_size=60, steps=2)
    state = open_ledger(spec)
    event, times = planned.event, planned.times
    assert times == (2 if isinstance(spec, DPSGD) else 1)
    for number in range(1, planned.releases + 1):
        state = state.charged(number, event, views=["broker"], times=times)
    with pytest.raises(BudgetExhaustedError):
        state.charged(101, event, views=["broker"], times=times)
    assert state.spent().epsilon == pytest.approx(2.0, rel=0.01)


def test_events_are_those_of_the_mechanism() -> None:
    kinds = [GaussianEvent, ConcentratedEvent, LaplaceEvent, SampledEvent]
    for spec, kind in zip(TABLES, kinds, strict=False):
        planned = plan(spec, rounds=10, examples=600, batch_size=60)
        assert isinstance(planned.event, kind)
        if not isinstance(spec, DPSGD):
            assert mechanism(spec, planned.noise_multiplier).event == planned.event  # type: ignore[arg-type]  # DP-SGD is the only other one
    sampled = plan(TABLES[3], rounds=10, examples=600, batch_size=60)
    assert sampled.event == SampledEvent(0.1, sampled.noise_multiplier)


def test_one_gaussian_release_needs_the_analytic_noise() -> None:
    found = plan(TABLES[0], rounds=1, examples=600).noise_multiplier
    exact = analytic_noise_multiplier(2.0, 1e-5)
    assert exact * (1 - 1e-4) <= found <= exact * 1.003


def test_parties_have_budgets_of_their_own() -> None:
    spec = GaussianNoise(epsilon=2.0, delta=1e-5, clip=1.0, own_epsilon={"party-3": 0.5})
    careful = plan(spec, rounds=10, examples=600, party="party-3")
    others = plan(spec, rounds=10, examples=600, party="party-1")
    assert others == plan(spec, rounds=10, examples=600)
    assert careful.noise_multiplier > 3 * others.noise_multiplier
    budgets = [open_ledger(spec, party).budget for party in ("party-3", "party-1", None)]
    assert [budget.epsilon for budget in budgets if budget is not None] == [0.5, 2.0, 2.0]


def test_more_rounds_ask_for_more_noise_and_larger_data_for_less() -> None:
    spec = TABLES[3]

    def z(rounds: int, examples: int) -> float:
        planned = plan(spec, rounds=rounds, examples=examples, batch_size=50)
        return planned.noise_multiplier

    assert z(10, 500) < z(40, 500)
    assert z(40, 5000) < z(40, 500)


def test_mechanisms_get_the_whole_table() -> None:
    spec = GaussianNoise(epsilon=1.0, delta=1e-5, clip=0.5, unit="party", adjacency="replace_one")
    assert mechanism(spec, 3.0) == Gaussian(0.5, 3.0, "party", "replace_one")
    assert mechanism(TABLES[1], 3.0) == DiscreteGaussian(1.0, 3.0)  # type: ignore[arg-type]  # a list of all kinds
    assert mechanism(TABLES[2], 3.0) == Laplace(1.0, 3.0)  # type: ignore[arg-type]  # likewise
    assert open_ledger(spec).unit == "party"
    assert open_ledger(TABLES[3]).unit == "record"


def test_a_delta_that_publishes_a_record_is_refused() -> None:
    spec = GaussianNoise(epsilon=1.0, delta=0.01, clip=1.0)
    with pytest.raises(CharterError, match=r"privacy.delta = 0.01 is not below 1 / 100"):
        plan(spec, rounds=1, examples=100)
    assert plan(spec, rounds=1, examples=99).releases == 1


@pytest.mark.parametrize("counts", [(0, 10, 1), (1, 0, 1), (1, 10, 0)])
def test_counts_are_at_least_one(counts: tuple[int, int, int]) -> None:
    rounds, examples, steps = counts
    with pytest.raises(LocalError, match="one is below 1"):
        plan(TABLES[0], rounds=rounds, examples=examples, steps=steps)


def test_steps_and_sampling_of_a_round() -> None:
    delta = Training(rounds=1, update="delta", learning_rate=0.1)
    assert sampling_probability(10, 600) == 10 / 600
    assert sampling_probability(None, 600) == sampling_probability(700, 600) == 1.0
    assert training_steps(delta, 10 / 600) == 60
    assert training_steps(delta, 0.3) == 4
    assert training_steps(msgspec.structs.replace(delta, local_epochs=3), 0.3) == 12
    assert training_steps(msgspec.structs.replace(delta, local_steps=5), 0.3) == 5
    assert training_steps(msgspec.structs.replace(delta, update="step"), 0.3) == 1


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"mechanism": "gaussian", "epsilon": 0, "delta": 1e-5, "clip": 1}, "epsilon"),
        ({"mechanism": "gaussian", "epsilon": 101, "delta": 1e-5, "clip": 1}, "epsilon"),
        ({"mechanism": "gaussian", "epsilon": 1, "delta": 1, "clip": 1}, "delta"),
        ({"mechanism": "laplace", "epsilon": 1, "delta": 0, "clip": 1}, "delta"),
        ({"mechanism": "dp_sgd", "epsilon": 1, "delta": 1e-5, "clip": 0}, "clip"),
        ({"mechanism": "dp_sgd", "epsilon": 1, "delta": 1e-5}, "clip"),
        ({"mechanism": "dp_sgd", "epsilon": 1, "delta": 1e-5, "clip": 1, "unit": "party"}, "unit"),
        ({"mechanism": "quantum"}, "quantum"),
        ({"mechanism": "none", "epsilon": 1}, "epsilon"),
        (
            {
                "mechanism": "gaussian", "epsilon": 1, "delta": 1e-5, "clip": 1,
                "own_epsilon": {"p": -1},
            },
            "own_epsilon",
        ),
    ],
)  # fmt: skip
def test_bad_tables_are_refused(table: dict[str, object], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(table, PrivacySpec)


def test_tables_are_told_apart_by_mechanism() -> None:
    assert msgspec.convert({"mechanism": "none"}, PrivacySpec) == NoPrivacy()
    for spec in TABLES:
        assert msgspec.convert(msgspec.to_builtins(spec), PrivacySpec) == spec


def test_tables_and_ledgers_load_without_anything_heavy() -> None:
    """A charter names the table; dp_accounting takes more than a second to import."""
    program = (
        "import sys, troth.privacy.spec, troth.privacy.ledger, troth.privacy.planning\n"
        "heavy = {'torch', 'scipy', 'dp_accounting'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_accounting_covers_what_planning_promises() -> None:
    planned = plan(TABLES[3], rounds=50, examples=600, batch_size=10)
    assert spent({planned.event: 50}, 1e-5, "add_remove").epsilon <= 2.0
