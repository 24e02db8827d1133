"""Fast forms: affine models, dense stacks and convolutional stacks equal the plain loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from learning_cases import make_bench
from torch import nn

from troth.errors import RoundFailedError
from troth.ids import NodeId
from troth.learning import dense, parallel, spec
from troth.learning.build import build_model
from troth.learning.device import repeatable
from troth.learning.forms import Convolution, ConvolutionalStack, DenseStack
from troth.learning.losses import choose_loss
from troth.learning.models import Model, Purpose
from troth.learning.module import ModuleModel
from troth.learning.recognition import recognise
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.streams import Stream, learning
from troth.wire import Float32s


def built(
    table: spec.ModelSpec,
    outputs: int,
    features: tuple[int, ...] = (6,),
    loss: spec.LossName | None = None,
) -> Model:
    task: spec.TaskKind = "regression" if outputs == 1 else "classification"
    return build_model(table, features=features, outputs=outputs, task=task, loss=loss)


def module(features: tuple[int, ...], *layers: nn.Module, l2: float = 0.0) -> Model:
    purpose = Purpose(
        features, 3, "classification", choose_loss("classification", None, columns=3), l2
    )
    state = [layer.state_dict() for layer in layers]

    def factory() -> nn.Module:
        for layer, values in zip(layers, state, strict=True):
            layer.load_state_dict(values)
        return nn.Sequential(*layers)

    return ModuleModel(factory, purpose, key="task.model.callable", value="task:make")


torch.manual_seed(0)
DENSE = {
    "logistic": built(spec.Logistic(l2=0.1), 2),
    "logistic squared": built(spec.Logistic(), 2, loss="squared"),
    "softmax": built(spec.Softmax(), 3),
    "softmax l2": built(spec.Softmax(l2=0.1), 3),
    "softmax squared": built(spec.Softmax(), 3, loss="squared"),
    "linear": built(spec.Linear(l2=0.2), 1),
    "mlp relu": built(spec.MLP(hidden=[5]), 3),
    "mlp tanh l2": built(spec.MLP(hidden=[5, 4], activation="tanh", l2=0.1), 3),
    "mlp sigmoid regression": built(spec.MLP(hidden=[4], activation="sigmoid"), 1),
    "mlp squared": built(spec.MLP(hidden=[4]), 2, loss="squared"),
    "framed": built(spec.ShokriMLP(l2=0.01), 3, (28, 28)),
    "module": module(
        (2, 3),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.Linear(5, 4),
        nn.Tanh(),
        nn.Linear(4, 3),
    ),
}
CONVOLUTIONAL = {
    "plain": module(
        (1, 7, 6), nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(60, 3), l2=0.1
    ),
    "two": module(
        (2, 11, 12),
        nn.Conv2d(2, 3, 3),
        nn.MaxPool2d(2),
        nn.Sigmoid(),
        nn.Conv2d(3, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(4, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    ),
}
FORMS = DENSE | CONVOLUTIONAL


@st.composite
def trainings(draw: st.DrawFn) -> Training:
    update: Literal["gradient", "step", "delta"] = draw(
        st.sampled_from(["gradient", "step", "delta"])
    )
    steps, epochs = None, None
    if update == "delta":
        steps, epochs = draw(st.sampled_from([(None, None), (1, None), (5, None), (None, 2)]))
    return Training(
        rounds=9,
        update=update,
        batch_size=draw(st.sampled_from([1, 3, 8, "all"])),
        local_steps=steps,
        local_epochs=epochs,
        learning_rate=draw(st.sampled_from([0.02, 0.1])),
        decay=draw(st.sampled_from([0.0, 0.5])),
        momentum=draw(st.sampled_from([0.0, 0.9])),
    )


def requests_for(
    model: Model, training: Training, parties: int, *, shared: bool, moving: bool, seed: int
) -> list[LocalUpdate]:
    generator = Stream(seed, ("start",)).generator()

    def vector(scale: float) -> Float32s:
        return (scale * generator.standard_normal(model.dimension)).astype(np.float32)

    start_D = model.init(learning(seed)) + vector(0.05)
    return [
        LocalUpdate(
            node=NodeId(f"p{i}"),
            round=1 + i % 3,
            params_D=start_D if shared else start_D + vector(0.05),
            training=training,
            velocity_D=vector(0.1) if moving and training.update == "step" else None,
        )
        for i in range(parties)
    ]


def close(found_D: Float32s, expected_D: Float32s, start_D: Float32s) -> None:
    """Within 1e-5 of the largest change, and what the plain loop rounds where it subtracts."""
    rounding = 2.0**-22 * float(np.abs(start_D).max())
    bound = 1e-5 * float(np.abs(expected_D).max()) + rounding
    np.testing.assert_allclose(found_D, expected_D, rtol=0, atol=bound)


def equal_the_plain_loop(
    found: Sequence[LocalResult], requests: Sequence[LocalUpdate], bench: Workbench
) -> None:
    for result, request in zip(found, requests, strict=True):
        expected = request.run(bench)
        close(result.update_D, expected.update_D, request.params_D)
        assert result.loss == pytest.approx(expected.loss, rel=1e-4, abs=1e-5)
        assert result.examples == expected.examples
        assert (result.velocity_D is None) == (expected.velocity_D is None)
        if result.velocity_D is not None and expected.velocity_D is not None:
            close(result.velocity_D, expected.velocity_D, request.params_D)


@pytest.mark.parametrize("first_layer", ["weights", "coefficients"])
@pytest.mark.parametrize("name", DENSE)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    training=trainings(),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    shared=st.booleans(),
    moving=st.booleans(),
    small=st.booleans(),
    seed=st.integers(0, 3),
)
def test_dense_stacks_equal_the_plain_loop(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    first_layer: str,
    training: Training,
    sizes: list[int],
    shared: bool,
    moving: bool,
    small: bool,
    seed: int,
) -> None:
    """Both kinds of first layer, whichever would be quicker; in large chunks and small ones, and
    with updates copied or written where they stay."""
    pays = first_layer == "coefficients"
    monkeypatch.setattr(dense, "coefficients_pay", lambda *counts: pays)
    monkeypatch.setattr(dense, "CHUNK_BYTES", 4_000 if small else 10_000_000)
    monkeypatch.setattr(dense, "LARGE_BYTES", 1 if small else 10_000_000)
    model = DENSE[name]
    assert isinstance(model.form, DenseStack)
    bench = make_bench(model, sizes, seed=seed)
    requests = requests_for(model, training, len(sizes), shared=shared, moving=moving, seed=seed)
    equal_the_plain_loop(LocalUpdate.run_many(requests, bench), requests, bench)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@settings(max_examples=15, deadline=None)
@given(
    training=trainings(),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    shared=st.booleans(),
    moving=st.booleans(),
    seed=st.integers(0, 3),
)
def test_convolutional_stacks_equal_the_plain_loop(
    name: str, training: Training, sizes: list[int], shared: bool, moving: bool, seed: int
) -> None:
    model = CONVOLUTIONAL[name]
    assert isinstance(model.form, ConvolutionalStack)
    bench = make_bench(model, sizes, seed=seed)
    requests = requests_for(model, training, len(sizes), shared=shared, moving=moving, seed=seed)
    equal_the_plain_loop(LocalUpdate.run_many(requests, bench), requests, bench)


@pytest.mark.parametrize("features", [(28, 28), (3, 32, 32)])
def test_the_papers_network_equals_the_plain_loop(features: tuple[int, ...]) -> None:
    model = built(spec.ShokriCNN(), 10, features)
    assert isinstance(model.form, ConvolutionalStack)
    bench = make_bench(model, [13, 9])
    training = Training(rounds=1, batch_size=5, learning_rate=0.05)
    requests = requests_for(model, training, 2, shared=True, moving=False, seed=1)
    equal_the_plain_loop(LocalUpdate.run_many(requests, bench), requests, bench)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("batch_size", [3, "all"])
def test_a_party_that_diverges_is_named(name: str, batch_size: int | Literal["all"]) -> None:
    model = FORMS[name]
    bench = make_bench(model, [8, 8, 8])
    training = Training(rounds=1, batch_size=batch_size, local_steps=3, learning_rate=0.1)
    requests = requests_for(model, training, 3, shared=False, moving=False, seed=0)
    wild_D = requests[1].params_D.copy()
    wild_D[-1] = np.inf
    requests[1] = LocalUpdate(NodeId("p1"), 2, wild_D, training)
    with pytest.raises(RoundFailedError, match="p1 in round 2 is not finite"):
        LocalUpdate.run_many(requests, bench)


@pytest.mark.parametrize("name", FORMS)
def test_results_do_not_depend_on_cores_or_on_what_was_computed_before(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FORMS[name]
    monkeypatch.setattr(dense, "CHUNK_BYTES", 20_000)
    bench = make_bench(model, [9, 14, 3, 20, 9, 9, 1, 12, 12, 7, 6])
    for training in (
        Training(rounds=1, batch_size=4, local_steps=5, learning_rate=0.1, momentum=0.5),
        Training(rounds=1, batch_size="all", local_steps=2, learning_rate=0.1),
    ):
        requests = requests_for(model, training, 11, shared=True, moving=False, seed=2)
        found = []
        for cores in (1, 2, 3, 1):
            monkeypatch.setattr(parallel, "_cores", cores)
            with repeatable(torch.device("cpu")):
                results = LocalUpdate.run_many(requests, bench)
            found.append([(result.update_D.tobytes(), result.loss) for result in results])
        assert found[0] == found[1] == found[2] == found[3]


class Quiet(nn.Linear):
    """A layer of a derived type, which may do anything."""


def hooked() -> nn.Module:
    layer = nn.Linear(6, 3)
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    return layer


def shared_layer() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer)


RECOGNISED: list[tuple[Callable[[], nn.Module], tuple[int, ...], object]] = [
    (lambda: nn.Linear(6, 3), (6,), DenseStack((6, 3), ())),
    (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Sequential(nn.Linear(6, 4), nn.ReLU()), nn.Linear(4, 3)
        ),
        (2, 3),
        DenseStack((6, 4, 3), ("relu",)),
    ),
    (
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
        ),
        (8, 8),
        ConvolutionalStack((1, 8, 8), (Convolution(2, 3, "relu"),), (3,), ()),
    ),
]
LEFT_ALONE: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (lambda: nn.Linear(6, 3, bias=False), (6,)),
    (lambda: nn.Linear(3, 3), (2, 3)),
    (lambda: Quiet(6, 3), (6,)),
    (hooked, (6,)),
    (shared_layer, (6,)),
    (
        lambda: nn.Sequential(nn.Linear(6, 4).requires_grad_(False), nn.Tanh(), nn.Linear(4, 3)),
        (6,),
    ),
    (lambda: nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3)), (6,)),
    (lambda: nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), (6,)),
    (lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh()), (6,)),
    (lambda: nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3)), (6,)),
    (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), (6,)),
    *(
        (
            lambda layer=layer: nn.Sequential(  # type: ignore[misc]  # bound to this one
                layer, nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
            ),
            (1, 8, 8),
        )
        for layer in (
            nn.Conv2d(1, 2, 3, padding=1),
            nn.Conv2d(1, 2, 3, stride=2),
            nn.Conv2d(1, 2, (3, 2)),
            nn.Conv2d(1, 2, 3, dilation=2),
            nn.Conv2d(1, 2, 3, bias=False),
        )
    ),
    *(
        (
            lambda pool=pool: nn.Sequential(  # type: ignore[misc]  # bound to this one
                nn.Conv2d(1, 2, 3), nn.Tanh(), pool, nn.Flatten(), nn.LazyLinear(3)
            ),
            (1, 8, 8),
        )
        for pool in (
            nn.MaxPool2d(3, stride=2),
            nn.MaxPool2d(2, padding=1),
            nn.MaxPool2d(4, ceil_mode=True),
            nn.AvgPool2d(2),
        )
    ),
]


@pytest.mark.parametrize(("factory", "features", "form"), RECOGNISED)
def test_chains_of_known_layers_are_recognised(
    factory: Callable[[], nn.Module], features: tuple[int, ...], form: object
) -> None:
    assert recognise(factory(), features) == form


@pytest.mark.parametrize(("factory", "features"), LEFT_ALONE)
def test_whatever_may_be_something_else_is_left_alone(
    factory: Callable[[], nn.Module], features: tuple[int, ...]
) -> None:
    made = factory()
    made(torch.zeros(2, *features))
    assert recognise(made, features) is None
