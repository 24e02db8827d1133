"""Metrics of one model and of many."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import MODELS, make_bench, make_model

from troth.ids import NodeId
from troth.learning import spec
from troth.learning.requests import Evaluate, EvaluateParties
from troth.learning.workbench import Workbench, build_workbench
from troth.records import Metrics
from troth.streams import Stream, learning
from troth.wire import Float32s


def agree(found: Metrics, expected: Metrics) -> None:
    assert found.loss == pytest.approx(expected.loss, rel=1e-5, abs=1e-6)
    assert found.error == pytest.approx(expected.error, rel=1e-5, abs=1e-6)
    assert found.examples == expected.examples
    assert (found.attack_rate is None) == (expected.attack_rate is None)
    if expected.attack_rate is not None:
        assert found.attack_rate == pytest.approx(expected.attack_rate)


def params(bench: Workbench, count: int) -> list[Float32s]:
    generator = Stream(1, ("evaluation",)).generator()
    vectors_PD = generator.standard_normal((count, bench.model.dimension), dtype=np.float32)
    return list(np.float32(0.2) * vectors_PD)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    attacked=st.booleans(),
    workspace=st.sampled_from([1, 2000, 2**24]),
)
def test_many_at_once_equal_one_by_one(
    name: str, sizes: list[int], attacked: bool, workspace: int
) -> None:
    bench = make_bench(MODELS[name], sizes)
    source, target = (1, 0) if attacked else (None, None)
    own = params(bench, len(sizes))
    nodes = tuple(bench.rows_of)
    with pytest.MonkeyPatch.context() as patch:
        for places in (nodes, [None] * len(sizes)):
            for vectors in (own, [own[0]] * len(sizes)):
                requests = [
                    Evaluate(vector, node, source, target)
                    for vector, node in zip(vectors, places, strict=True)
                ]
                plain = [request.run(bench) for request in requests]
                patch.setattr("troth.learning.models.WORKSPACE_BYTES", workspace)
                for found, expected in zip(Evaluate.run_many(requests, bench), plain, strict=True):
                    agree(found, expected)
                patch.undo()
        together = EvaluateParties(own[0], nodes, source, target).run(bench)
    for found, node in zip(together.metrics, nodes, strict=True):
        agree(found, Evaluate(own[0], node, source, target).run(bench))


def test_classification_metrics_by_hand() -> None:
    """Scores are x itself, so that predictions can be read off the table."""
    model = make_model(spec.Softmax(l2=5.0), 3, (3,))
    x_TF = np.array(
        [[3, 0, 0], [0, 3, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0], [0, 0, 0]], dtype=np.float32
    )
    y_T = np.array([0, 1, 2, 2, 2, 0])
    bench = build_workbench(
        model,
        x_NF=x_TF,
        y_N=y_T,
        rows_of={NodeId("p0"): np.array([2, 3, 4])},
        test_x_TF=x_TF,
        test_y_T=y_T,
        stream=learning(0),
    )
    identity_D = np.concatenate([np.eye(3).ravel(), np.zeros(3)]).astype(np.float32)
    found = Evaluate(identity_D, source=2, target=1).run(bench)
    assert found.examples == 6
    assert found.error == pytest.approx(2 / 6)
    assert found.attack_rate == pytest.approx(1 / 3)
    right, wrong = math.log(1 + 2 * math.exp(-3)), math.log(2 + math.exp(3))
    # The fourth of class 2 and both of the others are right; l2 does not count.
    assert found.loss == pytest.approx((3 * right + 2 * wrong + math.log(3)) / 6, rel=1e-5)
    own = Evaluate(identity_D, on=NodeId("p0")).run(bench)
    assert own.error == pytest.approx(2 / 3)
    assert own.attack_rate is None
    nobody = Evaluate(identity_D, source=1, target=2).run(bench)
    assert nobody.attack_rate == 0.0
    assert Evaluate(identity_D, on=NodeId("p0"), source=1, target=2).run(bench).attack_rate is None


def test_relative_error_has_a_floor() -> None:
    model = make_model(spec.Linear(), 1, (1,))
    x_TF = np.array([[12.0], [90.0], [1.0]], dtype=np.float32)
    y_T = np.array([10.0, -100.0, 0.0], dtype=np.float32)
    bench = build_workbench(
        model,
        x_NF=x_TF,
        y_N=y_T,
        rows_of={},
        test_x_TF=x_TF,
        test_y_T=y_T,
        stream=learning(0),
        target_floor=4.0,
    )
    found = Evaluate(np.array([1.0, 0.0], dtype=np.float32)).run(bench)
    assert found.error == pytest.approx((2 / 10 + 190 / 100 + 1 / 4) / 3)
    assert found.loss == pytest.approx((2**2 + 190**2 + 1) / 3)


def test_large_targets_keep_their_scale() -> None:
    model = make_model(spec.Linear(), 1, (1,))
    x_TF = np.full((5, 1), 2.0, dtype=np.float32)
    y_T = np.full(5, 50_000.0, dtype=np.float32)
    bench = build_workbench(
        model,
        x_NF=x_TF,
        y_N=y_T,
        rows_of={},
        test_x_TF=x_TF,
        test_y_T=y_T,
        stream=learning(0),
    )
    found = Evaluate(np.array([20_000.0, 0.0], dtype=np.float32)).run(bench)
    assert found.error == pytest.approx(0.2)
    assert found.loss == pytest.approx(1e8)


def test_a_model_that_is_not_finite_is_measured_all_the_same() -> None:
    bench = make_bench(MODELS["softmax"], [3, 5])
    broken_D = np.full(bench.model.dimension, np.nan, dtype=np.float32)
    found = Evaluate(broken_D).run(bench)
    assert math.isnan(found.loss)
    assert 0 <= found.error <= 1


def test_ties_go_to_the_lowest_class_whatever_the_model() -> None:
    for name, columns in (("softmax", 3), ("logistic", 1)):
        assert MODELS[name].classes(torch.zeros(4, columns)).tolist() == [0, 0, 0, 0]
    assert MODELS["logistic"].classes(torch.tensor([[0.1], [-0.1]])).tolist() == [1, 0]
