"""DP-SGD: gradients against a loop, lots, clipping, noise, and both versions of the request."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from privacy_cases import MODELS, examples_of, make_bench
from scipy import stats

from troth.errors import LocalError, RoundFailedError
from troth.ids import NodeId
from troth.learning.local import LocalUpdate
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.privacy.dp_sgd import PrivateUpdate, clipping_weights, per_example_gradients
from troth.privacy.events import SampledEvent
from troth.privacy.noise import SimulatedSecret, SystemSecret
from troth.streams import Stream, learning
from troth.wire import Float32s

P0 = NodeId("p0")
SECRET = SimulatedSecret(Stream(0, ("test-secret",)))
QUIET = 1e-9
"""A noise multiplier that leaves nothing to see of the noise."""


def private(
    model: str = "softmax",
    *,
    node: NodeId = P0,
    round: int = 1,
    update: Literal["gradient", "step", "delta"] = "gradient",
    batch_size: int | Literal["all"] = "all",
    local_steps: int | None = None,
    momentum: float = 0.0,
    clip: float = 1.0,
    z: float = QUIET,
    examples: int = 20,
    params_D: Float32s | None = None,
    velocity_D: Float32s | None = None,
) -> PrivateUpdate:
    return PrivateUpdate(
        node=node,
        round=round,
        params_D=MODELS[model].init(learning(3)) if params_D is None else params_D,
        training=Training(
            rounds=99,
            update=update,
            batch_size=batch_size,
            local_steps=local_steps,
            learning_rate=0.1,
            momentum=momentum,
        ),
        clip=clip,
        noise_multiplier=z,
        examples=examples,
        secret=SECRET,
        velocity_D=velocity_D,
    )


def somewhere(model: str) -> Float32s:
    generator = Stream(1, ("somewhere",)).generator()
    return generator.standard_normal(MODELS[model].dimension, dtype=np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_per_example_gradients_are_those_of_a_loop(name: str) -> None:
    model, bench = MODELS[name], make_bench(MODELS[name], [8])
    params_ED = torch.from_numpy(np.stack([(1 + 0.1 * e) * somewhere(name) for e in range(8)]))
    found_ED = per_example_gradients(model, params_ED, bench.x_NF, bench.y_N)
    for e in range(8):
        one = slice(e, e + 1)
        with_l2_D, _ = model.gradient(params_ED[e], bench.x_NF[one], bench.y_N[one], torch.ones(1))
        torch.testing.assert_close(
            found_ED[e], with_l2_D - model.l2 * params_ED[e], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    update=st.sampled_from(["gradient", "step", "delta"]),
    batch_size=st.sampled_from([1, 5, "all"]),
    local_steps=st.sampled_from([None, 3]),
    momentum=st.sampled_from([0.0, 0.9]),
    z=st.sampled_from([QUIET, 1.0]),
    moving=st.booleans(),
)
def test_many_at_once_equal_the_plain_loop(
    name: str,
    sizes: list[int],
    update: Literal["gradient", "step", "delta"],
    batch_size: int | Literal["all"],
    local_steps: int | None,
    momentum: float,
    z: float,
    moving: bool,
) -> None:
    bench = make_bench(MODELS[name], sizes)
    requests = [
        private(
            name,
            node=NodeId(f"p{p}"),
            round=p + 1,
            update=update,
            batch_size=batch_size,
            local_steps=local_steps if update == "delta" else None,
            momentum=momentum,
            clip=0.5 + p,
            z=z,
            # One pass over more rows is more steps, so parties end at different steps.
            examples=size + p,
            params_D=(p + 1) * somewhere(name),
            velocity_D=somewhere(name) if moving else None,
        )
        for p, size in enumerate(sizes)
    ]
    for request, found in zip(requests, PrivateUpdate.run_many(requests, bench), strict=True):
        expected = request.run(bench)
        scale = max(1.0, float(np.abs(expected.update_D).max()))
        np.testing.assert_allclose(found.update_D, expected.update_D, rtol=0, atol=1e-4 * scale)
        assert (found.event, found.times) == (expected.event, expected.times)
        assert (found.velocity_D is None) == (expected.velocity_D is None)
        if found.velocity_D is not None and expected.velocity_D is not None:
            np.testing.assert_allclose(found.velocity_D, expected.velocity_D, atol=1e-4 * scale)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("update", "steps"), [("gradient", None), ("step", None), ("delta", 4), ("delta", None)]
)
def test_without_noise_clipping_and_sampling_it_is_a_local_update(
    name: str, update: Literal["gradient", "step", "delta"], steps: int | None
) -> None:
    bench = make_bench(MODELS[name], [20])
    request = private(
        name, update=update, local_steps=steps, momentum=0.5, clip=1e6, z=1e-15, examples=20
    )
    plain = LocalUpdate(P0, 1, request.params_D, request.training).run(bench)
    for found in (request.run(bench), *PrivateUpdate.run_many([request], bench)):
        np.testing.assert_allclose(found.update_D, plain.update_D, rtol=1e-4, atol=1e-6)
        if plain.velocity_D is not None:
            assert found.velocity_D is not None
            np.testing.assert_allclose(found.velocity_D, plain.velocity_D, rtol=1e-4, atol=1e-6)


def both(request: PrivateUpdate, bench: Workbench) -> list[Float32s]:
    """The sums that the request's gradient stands for, by `run` and by `run_many`, without l2."""
    expected_lot = request.sampling_probability * request.examples
    l2_D = bench.model.l2 * request.params_D
    results = [request.run(bench), *PrivateUpdate.run_many([request], bench)]
    return [(result.update_D - l2_D) * np.float32(expected_lot) for result in results]


def test_noise_has_the_stated_standard_deviation_in_every_step() -> None:
    """z C on every coordinate of the sum, whatever the size of the lot."""
    bench = make_bench(MODELS["softmax"], [20])
    noise = []
    for round in range(1, 201):
        request = private(round=round, clip=0.25, z=4000.0, batch_size=5)
        looped_D, vectorised_D = both(request, bench)
        np.testing.assert_allclose(looped_D, vectorised_D, rtol=1e-3, atol=1.0)
        noise.append(vectorised_D)
    values = np.concatenate(noise)
    assert stats.kstest(values / (0.25 * 4000.0), "norm").pvalue > 1e-4


def test_steps_of_one_update_do_not_share_noise() -> None:
    bench = make_bench(MODELS["softmax"], [20])
    one = private(update="delta", local_steps=1, z=1e5).run(bench).update_D
    two = private(update="delta", local_steps=2, z=1e5).run(bench).update_D
    correlation = np.corrcoef(one, two - one)[0, 1]
    assert abs(correlation) < 0.9


def test_lots_are_poisson_samples() -> None:
    """Equal rows with long gradients: the length of a sum says how many were in the lot."""
    rows, wanted = 40, 10
    x_NF = np.repeat(100 * examples_of(1), rows, 0)
    bench = make_bench(MODELS["softmax"], [rows], x_NF=x_NF)
    bench.y_N.fill_(1)
    sizes = []
    for round in range(1, 601):
        request = private(round=round, batch_size=wanted, examples=rows)
        looped_D, vectorised_D = both(request, bench)
        size = float(np.linalg.norm(vectorised_D))
        whole = int(size + 0.5)
        assert size == pytest.approx(whole, abs=1e-3)
        assert float(np.linalg.norm(looped_D)) == pytest.approx(size, abs=1e-3)
        sizes.append(whole)
    binomial = stats.binom(rows, wanted / rows)
    edges = [0, 7, 8, 9, 10, 11, 12, 13, rows + 1]
    observed, _ = np.histogram(sizes, edges)
    expected = 600 * np.diff([binomial.cdf(edge - 1) for edge in edges])
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    round=st.integers(1, 50),
    clip=st.floats(0.01, 10),
    batch_size=st.sampled_from([3, 8, "all"]),
)
def test_one_record_moves_the_sum_by_no_more_than_the_clipping_bound(
    seed: int, round: int, clip: float, batch_size: int | Literal["all"]
) -> None:
    """Data sets with and without the last row; draws for the other rows are the same."""
    x_NF = 10 * examples_of(12, seed)
    bench = make_bench(MODELS["softmax"], [12, 11], x_NF=x_NF, seed=seed)
    # Both stand for one party, so both draw from its stream.
    without = {P0: bench.rows(NodeId("p1"))}
    less = Workbench(**{**vars(bench), "rows_of": without})
    request = private(round=round, clip=clip, batch_size=batch_size, examples=12)
    for with_D, without_D in zip(both(request, bench), both(request, less), strict=True):
        assert np.linalg.norm(with_D - without_D) <= clip * (1 + 1e-4)


@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38])
def test_an_example_whose_gradient_is_not_finite_counts_as_zero(value: float) -> None:
    x_NF = examples_of(5)
    x_NF[4] = value
    bench = make_bench(MODELS["softmax"], [5], x_NF=x_NF)
    request = private(examples=5)
    without = Workbench(**{**vars(bench), "rows_of": {P0: np.arange(4)}})
    for found_D, expected_D in zip(both(request, bench), both(request, without), strict=True):
        assert np.isfinite(found_D).all()
        if not np.isfinite(value):
            np.testing.assert_allclose(found_D, expected_D, rtol=1e-5, atol=1e-6)


def test_weights_bring_every_gradient_to_its_bound_and_leave_short_ones() -> None:
    g_ED = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [np.nan, 5.0], [np.inf, 1.0]])
    clip_E = torch.tensor([4.0, 6.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    weight_E = clipping_weights(g_ED, clip_E)
    torch.testing.assert_close(
        weight_E, torch.tensor([0.8, 1, 1, 0, 0], dtype=torch.float64), rtol=1e-6, atol=0
    )
    assert 5 * weight_E[0] <= 4


def test_an_empty_lot_sends_noise_all_the_same() -> None:
    bench = make_bench(MODELS["softmax"], [1])
    request = private(batch_size=1, examples=10_000_000, z=1.0)
    for sum_D in both(request, bench):
        assert 0.1 < np.std(sum_D) < 3


def test_the_result_divides_by_what_is_public() -> None:
    """Twice the claim, half the update: the true number of rows shows nowhere."""
    bench = make_bench(MODELS["softmax"], [20])
    zeros_D = np.zeros(MODELS["softmax"].dimension, np.float32)
    claims = [private(examples=n, params_D=zeros_D).run(bench).update_D for n in (20, 40)]
    np.testing.assert_allclose(claims[0], 2 * claims[1], rtol=1e-5)


def test_events_count_every_step() -> None:
    request = private(update="delta", batch_size=5, examples=20, z=1.5)
    assert request.event == SampledEvent(0.25, 1.5)
    assert request.steps == 4
    result = request.run(make_bench(MODELS["softmax"], [7]))
    assert (result.event, result.times) == (request.event, 4)
    assert private(batch_size="all", z=1.5).event == SampledEvent(1.0, 1.5)
    assert private(batch_size=50, examples=20, z=1.5).event == SampledEvent(1.0, 1.5)
    assert private(update="gradient", batch_size=5).steps == 1
    # 1 / (2 / 98) is a little above 49.
    assert private(update="delta", batch_size=2, examples=98).steps == 49


def test_noise_of_the_operating_system_differs_each_time() -> None:
    bench = make_bench(MODELS["softmax"], [20])
    fields = {**vars(private(z=1.0)), "secret": SystemSecret()}
    request = PrivateUpdate(**fields)
    assert (request.run(bench).update_D != request.run(bench).update_D).any()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"clip": 0.0}, "clip=0"),
        ({"z": 0.0}, "noise_multiplier=0"),
        ({"z": float("nan")}, "noise_multiplier=nan"),
        ({"examples": 0}, "examples=0"),
    ],
)
def test_bad_parameters_are_refused(fields: dict[str, float], says: str) -> None:
    with pytest.raises(LocalError, match=says):
        private(**fields)  # type: ignore[arg-type]  # wrong on purpose


def test_an_update_that_diverged_is_an_error() -> None:
    bench = make_bench(MODELS["softmax"], [20])
    broken = private(params_D=np.full(MODELS["softmax"].dimension, np.inf, np.float32))
    for run in (broken.run, lambda bench: PrivateUpdate.run_many([broken], bench)):
        with pytest.raises(RoundFailedError, match="private update of p0 in round 1"):
            run(bench)
