"""RONI and the Shapley value: games and models whose answer is known."""

from __future__ import annotations

from itertools import permutations as orders
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.errors import CharterError
from troth.ids import NodeId
from troth.learning.build import build_model
from troth.learning.spec import Logistic
from troth.learning.workbench import build_workbench
from troth.robustness.roni import AskCallable, Influence, MeasureInfluence
from troth.robustness.shapley import Value, ValueUpdate, shapley_value
from troth.streams import Stream

CURATOR = NodeId("curator")


@pytest.fixture
def bench(tmp_path):
    """Four validation rows on a line: the model x -> x > 0 is right about all of them."""
    model = build_model(
        Logistic(), features=(1,), outputs=2, task="classification", loss=None, base=tmp_path
    )
    x_NF = np.array([[-2.0], [-1.0], [1.0], [2.0], [9.0]], np.float32)
    y_N = np.array([0, 0, 1, 1, 0])
    return build_workbench(
        model,
        x_NF=x_NF,
        y_N=y_N,
        rows_of={CURATOR: np.arange(4)},
        test_x_TF=x_NF,
        test_y_T=y_N,
        stream=Stream(0),
    )


RIGHT = np.array([1.0, 0.0], np.float32)


def test_influence_is_the_errors_rise_on_the_curators_rows(bench):
    wrong = -RIGHT
    assert MeasureInfluence(RIGHT, wrong, CURATOR).run(bench) == Influence(0.0, 1.0)
    biased = np.array([1.0, 1.5], np.float32)
    assert MeasureInfluence(RIGHT, biased, CURATOR).run(bench) == Influence(0.0, 0.25)


@pytest.mark.parametrize(
    ("before", "after", "threshold", "refused"),
    [
        (0.2, 0.22, 0.05, False),
        (0.2, 0.1, 0.0, False),
        (0.25, 0.5, 0.25, False),
        (0.25, 0.5, 0.24, True),
        (0.2, nan, 0.5, True),
    ],
)
def test_roni_refuses_above_its_threshold(before, after, threshold, refused):
    reason = Influence(before, after).refusal(threshold)
    assert (reason is not None) == refused
    if refused and after == after:
        assert reason == "RONI: the validation error rises by 0.2500, above 0.24"


def test_a_shapley_value_over_all_orders_is_the_definition():
    worths = {(): 0.0, (0,): 1.0, (1,): 2.0, (2,): 0.0, (0, 1): 4.0, (0, 2): 1.5, (1, 2): 2.0,
              (0, 1, 2): 5.0}  # fmt: skip

    def worth(members):
        return worths[tuple(sorted(members))]

    class Every:
        """Instead of drawing orders, goes through all of them."""

        def __init__(self):
            self.left = list(orders(range(3)))

        def permutation(self, n):
            return np.array(self.left.pop())

    exact = [shapley_value(i, 3, worth, permutations=6, generator=Every()) for i in range(3)]
    assert sum(exact) == pytest.approx(worths[0, 1, 2])
    # 2 has worth on its own in no order but beside 0, where it adds 0.5, and last of all, 1.
    assert exact[2] == pytest.approx((0 + 0 + 0.5 + 0 + 1 + 1) / 6)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.integers(0, 10**6))
def test_in_a_game_without_interaction_one_order_is_enough(values, seed):
    for player, value in enumerate(values):
        estimate = shapley_value(
            player,
            len(values),
            lambda members: sum(values[i] for i in sorted(members)),
            permutations=1,
            generator=Stream(seed).generator(),
        )
        assert estimate == pytest.approx(value, abs=1e-9)


def test_a_harmful_change_has_a_negative_value(bench):
    helpful = 2 * RIGHT
    request = ValueUpdate(np.zeros(2, np.float32), (helpful, -2 * helpful), 20, Stream(1), CURATOR)
    harmful = request.run(bench)
    assert harmful.phi < -0.3
    assert harmful.refusal(0.02) is not None
    assert "its value is -" in harmful.refusal(0.02)
    request = ValueUpdate(np.zeros(2, np.float32), (helpful, helpful), 20, Stream(1), CURATOR)
    assert request.run(bench).refusal(0.02) is None
    assert Value(-0.02).refusal(0.02) is None


def test_a_callable_must_say_none_or_why(bench, tmp_path):
    (tmp_path / "judges.py").write_text(
        "def by_error(params_D, update_D, error, limit):\n"
        "    return None if error(params_D + update_D) <= limit else 'y' * 1000\n"
        "def rubbish(params_D, update_D, error):\n"
        "    return True\n"
    )

    def ask(name, update_D, **arguments):
        return AskCallable(f"judges:{name}", RIGHT, update_D, arguments, CURATOR, tmp_path).run(
            bench
        )

    assert ask("by_error", RIGHT, limit=0.0).refusal is None
    assert ask("by_error", -2 * RIGHT, limit=0.5).refusal == "y" * 200
    with pytest.raises(CharterError, match="returned a bool instead of None or a reason"):
        ask("rubbish", RIGHT)


@pytest.mark.parametrize("what", ["raise ValueError('no rows')", "raise SystemExit(0)"])
def test_a_callable_that_raises_is_named_with_its_line(bench, tmp_path, what):
    """A verifier that calls `sys.exit` would end the broker as if all were well."""
    (tmp_path / "strict.py").write_text(f"def judge(params_D, update_D, error):\n    {what}\n")
    request = AskCallable("strict:judge", RIGHT, RIGHT, {}, CURATOR, tmp_path)
    with pytest.raises(CharterError, match=r"raised .*strict\.py, line 2") as caught:
        request.run(bench)
    assert caught.value.key == "protocol.verifiers"
