"""Local updates: the plain loop, the vectorised version, and what both must do."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_cases import MODELS, make_bench, make_model

from troth.errors import CharterError, DataError, RoundFailedError
from troth.ids import NodeId
from troth.learning import spec
from troth.learning.batches import Batches
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.results import finite, quiet
from troth.learning.training import Training
from troth.learning.workbench import Workbench, build_workbench
from troth.streams import Stream, learning
from troth.wire import Codec, Float32s, Message


def agree(found: LocalResult, expected: LocalResult, tolerance: float = 1e-5) -> None:
    scale = max(1.0, float(np.abs(expected.update_D).max()))
    np.testing.assert_allclose(found.update_D, expected.update_D, rtol=0, atol=tolerance * scale)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4, abs=1e-5)
    assert found.examples == expected.examples
    assert (found.velocity_D is None) == (expected.velocity_D is None)
    if found.velocity_D is not None and expected.velocity_D is not None:
        scale = max(1.0, float(np.abs(expected.velocity_D).max()))
        np.testing.assert_allclose(
            found.velocity_D, expected.velocity_D, rtol=0, atol=tolerance * scale
        )


@st.composite
def trainings(draw: st.DrawFn) -> Training:
    update: Literal["gradient", "step", "delta"] = draw(
        st.sampled_from(["gradient", "step", "delta"])
    )
    batch_size: int | Literal["all"] = draw(st.sampled_from([1, 3, 8, 30, "all"]))
    steps, epochs = None, None
    if update == "delta":
        steps, epochs = draw(st.sampled_from([(None, None), (1, None), (7, None), (None, 2)]))
    return Training(
        rounds=9,
        update=update,
        batch_size=batch_size,
        local_steps=steps,
        local_epochs=epochs,
        learning_rate=draw(st.sampled_from([0.01, 0.1])),
        decay=draw(st.sampled_from([0.0, 0.5])),
        momentum=draw(st.sampled_from([0.0, 0.9])),
    )


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25, deadline=None)
@given(
    training=trainings(),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6),
    shared=st.booleans(),
    moving=st.booleans(),
    seed=st.integers(0, 3),
)
def test_many_at_once_equal_the_plain_loop(
    name: str, training: Training, sizes: list[int], shared: bool, moving: bool, seed: int
) -> None:
    model = MODELS[name]
    bench = make_bench(model, sizes, seed=seed)
    generator = Stream(seed, ("start",)).generator()

    def vector(scale: float) -> Float32s:
        return (scale * generator.standard_normal(model.dimension)).astype(np.float32)

    start_D = model.init(learning(seed)) + vector(0.1)
    requests = [
        LocalUpdate(
            node=NodeId(f"p{i}"),
            round=1 + i % 3,
            params_D=start_D if shared else start_D + vector(0.1),
            training=training,
            velocity_D=vector(0.1) if moving and training.update == "step" else None,
        )
        for i in range(len(sizes))
    ]
    for found, request in zip(LocalUpdate.run_many(requests, bench), requests, strict=True):
        agree(found, request.run(bench), 3e-5)


def linear_bench(sizes: list[int]) -> Workbench:
    return make_bench(make_model(spec.Linear(l2=0.3), 1), sizes)


def run_both(bench: Workbench, training: Training, **more: object) -> list[LocalResult]:
    """One party's result by the plain loop and as one of several."""
    start_D = np.linspace(-1, 1, bench.model.dimension, dtype=np.float32)
    one, other = (
        LocalUpdate(NodeId(f"p{i}"), 4, start_D, training, **more)  # type: ignore[arg-type]  # velocity_D only
        for i in range(2)
    )
    return [one.run(bench), LocalUpdate.run_many([one, other], bench)[0]]


def test_a_step_is_the_formula_of_the_table() -> None:
    bench = linear_bench([6, 5])
    training = Training(
        rounds=9, update="step", batch_size="all", learning_rate=0.2, decay=0.5, momentum=0.9
    )
    start_D = torch.linspace(-1, 1, bench.model.dimension)
    rows = torch.tensor(bench.rows(NodeId("p0")))
    x, y = bench.x_NF[rows], bench.y_N[rows]
    residual = x @ start_D[:-1] + start_D[-1] - y
    g_D = torch.cat([2 * x.T @ residual, 2 * residual.sum(0, keepdim=True)]) / 6 + 0.3 * start_D
    v0_D = torch.full_like(start_D, 0.25)
    v_D = 0.9 * v0_D + g_D
    eta = 0.2 / (1 + 0.5 * 3)
    for result in run_both(bench, training, velocity_D=v0_D.numpy()):
        np.testing.assert_allclose(result.update_D, (-eta * v_D).numpy(), rtol=1e-4, atol=1e-6)
        assert result.velocity_D is not None
        np.testing.assert_allclose(result.velocity_D, v_D.numpy(), rtol=1e-4, atol=1e-6)
        assert result.loss == pytest.approx(float(residual.square().mean()), rel=1e-4)


def test_gradient_is_sent_without_learning_rate_or_momentum() -> None:
    bench = linear_bench([6, 5])
    results = [
        run_both(
            bench,
            Training(
                rounds=1,
                update="gradient",
                batch_size="all",
                learning_rate=rate,
                momentum=momentum,
            ),
        )
        for rate, momentum in ((0.1, 0.0), (0.7, 0.9))
    ]
    for pair in zip(*results, strict=True):
        np.testing.assert_array_equal(pair[0].update_D, pair[1].update_D)
        assert pair[0].velocity_D is None


def test_delta_is_the_sum_of_its_steps() -> None:
    """Two full-batch steps with momentum from 0, worked out from `gradient` updates."""
    bench = linear_bench([7, 4])
    node, start_D = NodeId("p0"), np.linspace(-1, 1, bench.model.dimension, dtype=np.float32)

    def gradient(at_D: Float32s) -> Float32s:
        training = Training(rounds=1, update="gradient", batch_size="all", learning_rate=1.0)
        return LocalUpdate(node, 4, at_D, training).run(bench).update_D

    v_D = gradient(start_D)
    params_D = start_D - np.float32(0.05) * v_D
    v_D = np.float32(0.5) * v_D + gradient(params_D)
    params_D = params_D - np.float32(0.05) * v_D
    training = Training(rounds=9, batch_size="all", local_steps=2, learning_rate=0.05, momentum=0.5)
    for result in run_both(bench, training):
        np.testing.assert_allclose(result.update_D, params_D - start_D, rtol=1e-4, atol=1e-6)
        assert result.velocity_D is None


def test_momentum_of_steps_goes_on_over_rounds() -> None:
    bench = linear_bench([7, 7])
    full = Training(rounds=1, batch_size="all", local_steps=3, learning_rate=0.05, momentum=0.9)
    single = Training(rounds=1, update="step", batch_size="all", learning_rate=0.05, momentum=0.9)
    node, start_D = NodeId("p0"), np.zeros(bench.model.dimension, dtype=np.float32)
    params_D, velocity_D = start_D, None
    for round in range(1, 4):
        result = LocalUpdate(node, round, params_D, single, velocity_D).run(bench)
        params_D, velocity_D = params_D + result.update_D, result.velocity_D
    at_once = LocalUpdate(node, 1, start_D, full).run(bench)
    np.testing.assert_allclose(at_once.update_D, params_D, rtol=1e-4, atol=1e-6)


@given(n=st.integers(1, 40), size=st.integers(1, 50), epochs=st.integers(1, 3))
def test_every_pass_visits_every_row_once(n: int, size: int, epochs: int) -> None:
    training = Training(rounds=1, batch_size=size, local_epochs=epochs, learning_rate=1.0)
    rows_N = np.arange(100, 100 + n)
    batches = list(Batches(rows_N, training, Stream(1)))
    assert [len(batch) for batch in batches[: -(-n // size)]][:-1] == [min(n, size)] * (
        -(-n // min(n, size)) - 1
    )
    visited = np.concatenate(batches).reshape(epochs, n)
    for one_pass in visited:
        assert sorted(one_pass) == sorted(rows_N)


def test_passes_differ_and_rounds_differ() -> None:
    training = Training(rounds=1, batch_size=10, local_epochs=2, learning_rate=1.0)
    rows_N = np.arange(30)

    def order(stream: Stream) -> list[int]:
        return [int(row) for batch in Batches(rows_N, training, stream) for row in batch]

    first = order(Stream(1, ("p", 1)))
    assert first == order(Stream(1, ("p", 1)))
    assert first[:30] != first[30:]
    assert first != order(Stream(1, ("p", 2)))


@given(n=st.integers(1, 40), size=st.integers(1, 50))
def test_one_batch_is_drawn_without_replacement(n: int, size: int) -> None:
    training = Training(rounds=1, update="step", batch_size=size, learning_rate=1.0)
    (batch,) = Batches(np.arange(n), training, Stream(2))
    assert len(set(batch.tolist())) == min(n, size)


def test_one_batch_reaches_every_row() -> None:
    training = Training(rounds=1, update="step", batch_size=3, learning_rate=1.0)
    seen: set[int] = set()
    for round in range(60):
        (batch,) = Batches(np.arange(12), training, Stream(2, (round,)))
        seen |= set(batch.tolist())
    assert seen == set(range(12))


def test_local_steps_go_on_over_passes() -> None:
    training = Training(rounds=1, batch_size=4, local_steps=5, learning_rate=1.0)
    batches = list(Batches(np.arange(10), training, Stream(3)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4]
    assert sorted(np.concatenate(batches[:3])) == list(range(10))


@pytest.mark.parametrize("name", ["softmax", "mlp relu", "module"])
def test_chunks_do_not_change_results(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[name]
    bench = make_bench(model, [3, 25, 9, 1, 14, 14, 20, 8])
    training = Training(rounds=1, batch_size=4, local_epochs=2, learning_rate=0.1, momentum=0.5)
    start_D = model.init(learning(1))
    requests = [LocalUpdate(node, 1, start_D, training) for node in bench.rows_of]
    whole = LocalUpdate.run_many(requests, bench)
    for workspace in (1, 3000, 12000):
        monkeypatch.setattr("troth.learning.models.WORKSPACE_BYTES", workspace)
        for found, expected in zip(LocalUpdate.run_many(requests, bench), whole, strict=True):
            agree(found, expected, 1e-6)


def test_a_party_learns_the_same_in_any_company() -> None:
    bench = make_bench(MODELS["mlp tanh"], [9, 5, 17])
    training = Training(rounds=1, batch_size=4, learning_rate=0.1)
    start_D = bench.model.init(learning(1))
    first, *others = (LocalUpdate(node, 2, start_D, training) for node in bench.rows_of)
    alone = LocalUpdate.run_many([first], bench)[0]
    among = LocalUpdate.run_many([*others, first], bench)[-1]
    agree(among, alone, 1e-6)


def test_two_runs_give_the_same_bits() -> None:
    for name in ("softmax", "mlp relu", "module"):
        training = Training(rounds=1, batch_size=4, learning_rate=0.1, momentum=0.5)
        runs = []
        for _ in range(2):
            bench = make_bench(MODELS[name], [9, 5, 17])
            start_D = bench.model.init(learning(1))
            requests = [LocalUpdate(node, 2, start_D, training) for node in bench.rows_of]
            runs.append(LocalUpdate.run_many(requests, bench))
        for one, other in zip(*runs, strict=True):
            assert one.update_D.tobytes() == other.update_D.tobytes()
            assert one.loss == other.loss


def test_groups_hold_what_one_call_can_carry_out() -> None:
    training = Training(rounds=1, update="step", learning_rate=0.1, momentum=0.5)
    equal = Training(rounds=1, update="step", learning_rate=0.1, momentum=0.5)
    other = Training(rounds=1, update="step", learning_rate=0.2, momentum=0.5)
    zeros_D = np.zeros(3, dtype=np.float32)
    first = LocalUpdate(NodeId("a"), 1, zeros_D, training)
    assert first.group() == LocalUpdate(NodeId("b"), 2, zeros_D, equal).group()
    assert first.group() != LocalUpdate(NodeId("a"), 1, zeros_D, other).group()
    assert first.group() != LocalUpdate(NodeId("a"), 1, zeros_D, training, zeros_D).group()


class Carrier(Message, frozen=True):
    """A message such as protocols send."""

    params_D: Float32s
    update_D: Float32s


def test_takes_parameters_from_the_wire_and_gives_updates_to_it() -> None:
    bench = make_bench(MODELS["softmax"], [9, 5])
    codec = Codec([Carrier])
    start_D = bench.model.init(learning(1))
    sent = codec.decode(codec.encode(Carrier(start_D, start_D)), sender=NodeId("server"))
    assert isinstance(sent, Carrier)
    assert not sent.params_D.flags.writeable
    requests = [
        LocalUpdate(node, 1, sent.params_D, Training(rounds=1, learning_rate=0.1))
        for node in bench.rows_of
    ]
    for result in (requests[0].run(bench), *LocalUpdate.run_many(requests, bench)):
        again = codec.decode(codec.encode(Carrier(start_D, result.update_D)), sender=NodeId("p0"))
        assert isinstance(again, Carrier)
        np.testing.assert_array_equal(again.update_D, result.update_D)
    assert not sent.params_D.any()


@pytest.mark.parametrize("many", [False, True])
def test_training_that_diverges_names_the_party_and_what_to_try(many: bool) -> None:
    bench = linear_bench([6, 5])
    calm_D = np.zeros(bench.model.dimension, dtype=np.float32)
    wild_D = np.full(bench.model.dimension, 1e30, dtype=np.float32)
    training = Training(rounds=9, batch_size="all", local_steps=3, learning_rate=1e6)
    calm = Training(rounds=9, batch_size="all", local_steps=3, learning_rate=1e-6)
    requests = [
        LocalUpdate(NodeId("p0"), 3, calm_D, calm),
        LocalUpdate(NodeId("p1"), 3, wild_D, training),
    ]
    assert np.isfinite(requests[0].run(bench).update_D).all()
    message = "p1 in round 3 is not finite, at learning_rate = 1000000.0"
    with pytest.raises(RoundFailedError, match=message) as raised:
        LocalUpdate.run_many(requests[1:], bench) if many else requests[1].run(bench)
    assert raised.value.hint is not None
    assert "learning_rate" in raised.value.hint


def test_a_node_without_rows_cannot_learn() -> None:
    bench = linear_bench([3])
    training = Training(rounds=1, learning_rate=0.1)
    request = LocalUpdate(NodeId("stranger"), 1, np.zeros(7, dtype=np.float32), training)
    with pytest.raises(RoundFailedError, match="stranger was asked to learn, but has no rows"):
        request.run(bench)
    with pytest.raises(RoundFailedError, match="stranger"):
        LocalUpdate.run_many([request], bench)


X = np.zeros((4, 6), dtype=np.float32)
Y = np.array([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_NF": X[:, :5]}, "5 values of float32, but the model takes 6"),
        ({"x_NF": X.astype(np.float64)}, "values of float64"),
        ({"y_N": Y[:3]}, "4 training examples and 3 training targets"),
        ({"y_N": np.array([0, 1, 3, 1])}, "training labels go from 0 to 3"),
        ({"y_N": np.array([0, -1, 2, 1])}, "training labels go from -1 to 2"),
        ({"y_N": Y.astype(np.float32)}, "training labels are float32"),
        ({"test_x_TF": X[:0], "test_y_T": Y[:0]}, "0 test examples"),
        ({"rows_of": {NodeId("p0"): np.array([], dtype=np.int64)}}, "p0 has no rows"),
        ({"rows_of": {NodeId("p0"): np.array([0, 4])}}, "p0 has rows 0 to 4, but there are 4"),
        ({"rows_of": {NodeId("p0"): np.array([-1, 2])}}, "p0 has rows -1 to 2"),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(
    change: dict[str, object], message: str
) -> None:
    values: dict[str, object] = {
        "x_NF": X,
        "y_N": Y,
        "rows_of": {NodeId("p0"): np.array([0, 1])},
        "test_x_TF": X,
        "test_y_T": Y,
        "stream": learning(0),
    }
    build_workbench(MODELS["softmax"], **values)  # type: ignore[arg-type]  # a table of arguments
    with pytest.raises(DataError, match=message):
        build_workbench(MODELS["softmax"], **(values | change))  # type: ignore[arg-type]  # as above


def test_regression_targets_are_float32() -> None:
    with pytest.raises(DataError, match="training targets are int64, not float32"):
        build_workbench(
            MODELS["linear"],
            x_NF=X,
            y_N=Y,
            rows_of={},
            test_x_TF=X,
            test_y_T=Y,
            stream=learning(0),
        )


@pytest.mark.parametrize(
    ("training", "key"),
    [
        (Training(rounds=1, learning_rate=1.0, local_steps=1, local_epochs=1), "local_epochs"),
        (Training(rounds=1, learning_rate=1.0, update="step", local_steps=1), "local_steps"),
        (Training(rounds=1, learning_rate=1.0, update="gradient", local_epochs=1), "local_epochs"),
    ],
)
def test_a_training_table_that_contradicts_itself_is_refused(training: Training, key: str) -> None:
    with pytest.raises(CharterError) as raised:
        training.check()
    assert raised.value.key == key


@pytest.mark.parametrize("name", MODELS)
def test_results_are_arrays_of_their_own_that_nobody_changes(name: str) -> None:
    """A result that were a row of a larger array would keep the updates of others."""
    model = MODELS[name]
    bench = make_bench(model, [12, 7, 7])
    start_D = model.init(learning(1))
    for update in ("gradient", "step", "delta"):
        training = Training(rounds=1, update=update, batch_size=3, learning_rate=0.1, momentum=0.5)
        requests = [LocalUpdate(node, 1, start_D, training) for node in bench.rows_of]
        arrays = [
            array
            for result in (requests[0].run(bench), *LocalUpdate.run_many(requests, bench))
            for array in (result.update_D, result.velocity_D)
            if array is not None
        ]
        assert len(arrays) == (8 if update == "step" else 4)
        for array in arrays:
            assert not array.flags.writeable
            held = array if array.base is None else array.base
            assert held.nbytes == array.nbytes
        for one, other in itertools.combinations(arrays, 2):
            assert not np.shares_memory(one, other)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=300),
    st.sampled_from([None, np.nan, np.inf, -np.inf]),
    st.integers(0, 299),
)
def test_finite_finds_the_one_number_that_is_not(
    numbers: list[float], wrong: float | None, place: int
) -> None:
    vector_D = np.array(numbers, dtype=np.float32)
    if wrong is not None:
        vector_D[place % len(vector_D)] = wrong
    with quiet():
        found = finite(vector_D)
    assert found == np.isfinite(vector_D).all() == (wrong is None)
