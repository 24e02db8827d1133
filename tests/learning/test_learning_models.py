"""Models: parameter counts, closed forms, the promises of the interface."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learning_cases import MODELS, make_model
from torch.nn.functional import cross_entropy

from troth.errors import UsageError
from troth.learning import spec
from troth.learning.conformance import check_model
from troth.learning.losses import Loss, SquaredError, choose_loss
from troth.learning.models import Model, Purpose
from troth.streams import Stream, learning
from troth.wire import Float32s

MNIST = (1, 28, 28)
SVHN = (3, 32, 32)


@pytest.mark.parametrize(
    ("table", "features", "outputs", "dimension"),
    [
        (spec.Logistic(), (23,), 2, 24),
        (spec.Softmax(), MNIST, 10, 7_850),
        (spec.Linear(), (10,), 1, 11),
        (spec.MLP(hidden=[80]), (13,), 1, 13 * 80 + 80 + 80 + 1),
        (spec.MLP(hidden=[128, 64]), (784,), 10, 109_386),
        # The counts quoted from Shokri & Shmatikov.
        (spec.ShokriMLP(), MNIST, 10, 140_106),
        (spec.ShokriMLP(), (28, 28), 10, 140_106),
        (spec.ShokriMLP(), SVHN, 10, 402_250),
        (spec.ShokriCNN(), MNIST, 10, 105_506),
        (spec.ShokriCNN(), (28, 28), 10, 105_506),
        (spec.ShokriCNN(), (1, 32, 32), 10, 105_506),
        (spec.ShokriCNN(), SVHN, 10, 313_546),
    ],
)
def test_dimension(
    table: spec.ModelSpec, features: tuple[int, ...], outputs: int, dimension: int
) -> None:
    model = make_model(table, outputs, features)
    assert model.dimension == dimension
    assert model.init(learning(1)).shape == (dimension,)


@pytest.mark.parametrize("name", MODELS)
def test_keeps_the_promises_of_a_model(name: str) -> None:
    check_model(MODELS[name])


@pytest.mark.parametrize("table", [spec.ShokriMLP(), spec.ShokriCNN()])
def test_shokri_networks_keep_the_promises(table: spec.ModelSpec) -> None:
    check_model(make_model(table, 10, MNIST))


def test_the_padding_of_the_shokri_mlp_puts_the_image_in_the_middle() -> None:
    model = make_model(spec.ShokriMLP(), 10, MNIST)
    params_D = torch.zeros(model.dimension, requires_grad=True)
    with torch.no_grad():
        params_D += torch.tensor(model.init(learning(2)))
    model.losses(params_D, torch.ones(1, 784), torch.tensor([3])).sum().backward()
    assert params_D.grad is not None
    by_pixel = params_D.grad[: 128 * 1024].view(128, 32, 32).abs().sum(0)
    assert bool((by_pixel[2:30, 2:30] > 0).all())
    assert float(by_pixel.sum()) == pytest.approx(float(by_pixel[2:30, 2:30].sum()))


@pytest.mark.parametrize("name", [n for n in MODELS if "mlp" in n or n == "module"])
def test_init_depends_on_the_stream_alone(name: str) -> None:
    model = MODELS[name]
    torch.manual_seed(1)
    first_D = model.init(learning(7))
    torch.manual_seed(2)
    assert np.array_equal(first_D, model.init(learning(7)))
    assert not np.array_equal(first_D, model.init(learning(8)))


@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_the_numerical_derivative(name: str) -> None:
    model = MODELS[name]
    generator = Stream(3, ("numerical",)).generator()
    params_D = torch.tensor(model.init(learning(3)), dtype=torch.float64)
    params_D += 0.3 * torch.tensor(generator.standard_normal(model.dimension))
    x_BF = torch.tensor(generator.random((4, model.inputs)))
    if model.task == "regression":
        y_B = torch.tensor(generator.standard_normal(4))
    else:
        y_B = torch.tensor(generator.integers(0, model.outputs, 4))
    weight_B = torch.tensor([0.1, 0.4, 0.0, 0.5], dtype=torch.float64)

    def objective(at_D: torch.Tensor) -> float:
        data = (model.losses(at_D, x_BF, y_B) * weight_B).sum()
        return float(data + 0.5 * model.l2 * at_D.square().sum())

    single = [t.float() for t in (params_D, x_BF)]
    y_B = y_B.float() if model.task == "regression" else y_B
    grad_D, loss = model.gradient(single[0], single[1], y_B, weight_B.float())
    h = 1e-5
    for d in generator.choice(model.dimension, min(12, model.dimension), replace=False).tolist():
        step_D = torch.zeros_like(params_D)
        step_D[d] = h
        slope = (objective(params_D + step_D) - objective(params_D - step_D)) / (2 * h)
        assert float(grad_D[d]) == pytest.approx(slope, rel=1e-3, abs=2e-5)
    without_l2 = objective(params_D) - 0.5 * model.l2 * float(params_D.square().sum())
    assert float(loss) == pytest.approx(without_l2, rel=1e-4)


def test_softmax_in_closed_form_is_the_gradient_of_torchs_cross_entropy() -> None:
    model = make_model(spec.Softmax(), 4)
    x_PBF = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0))
    y_PB = torch.tensor([[0, 1, 2, 3, 0], [3, 3, 1, 0, 2]])
    params_PD = torch.randn(2, model.dimension, generator=torch.Generator().manual_seed(1))
    grad_PD, loss_P = model.gradients(params_PD, x_PBF, y_PB, torch.full((2, 5), 0.2))
    for p in range(2):
        layer = torch.nn.Linear(6, 4)
        with torch.no_grad():
            layer.weight.copy_(params_PD[p, :24].view(4, 6))
            layer.bias.copy_(params_PD[p, 24:])
        loss = cross_entropy(layer(x_PBF[p]), y_PB[p])
        loss.backward()
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        expected_D = torch.cat([layer.weight.grad.flatten(), layer.bias.grad])
        torch.testing.assert_close(grad_PD[p], expected_D)
        torch.testing.assert_close(loss_P[p], loss.detach())


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_cross_entropy_stays_finite_for_large_scores(scale: float) -> None:
    for columns in (1, 3):
        loss = choose_loss("classification", None, columns=columns)
        scores_BK = scale * torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 0.0]])[:, :columns]
        y_B = torch.tensor([0, 1])
        assert bool(loss.values(scores_BK, y_B).isfinite().all())
        assert bool(loss.residuals(scores_BK, y_B).isfinite().all())


LOSSES: list[tuple[Loss, int]] = [
    (choose_loss("classification", "cross_entropy", columns=3), 3),
    (choose_loss("classification", "cross_entropy", columns=1), 1),
    (choose_loss("classification", "squared", columns=3), 3),
    (choose_loss("classification", "squared", columns=1), 1),
    (choose_loss("regression", None, columns=1), 1),
]


@pytest.mark.parametrize(("loss", "columns"), LOSSES)
@given(seed=st.integers(0, 2**32))
def test_residuals_are_the_derivative_of_the_values(loss: Loss, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 4, columns, generator=generator, dtype=torch.float64)
    y = torch.randint(0, max(2, columns), (2, 4), generator=generator)
    leaf = scores.clone().requires_grad_()
    values = loss.values(leaf, y)
    assert values.shape == (2, 4)
    (expected,) = torch.autograd.grad(values.sum(), leaf)
    torch.testing.assert_close(loss.residuals(scores, y), expected)


def test_two_columns_and_log_odds_give_the_same_squared_loss() -> None:
    z_B = torch.tensor([-1.3, 0.2, 2.0])
    y_B = torch.tensor([1, 0, 1])
    one = choose_loss("classification", "squared", columns=1).values(z_B.unsqueeze(1), y_B)
    pair_B2 = torch.stack([torch.zeros(3), z_B], 1)
    two = choose_loss("classification", "squared", columns=2).values(pair_B2, y_B)
    torch.testing.assert_close(one, two)


def test_a_batch_above_the_workspace_is_worked_on_in_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("softmax", "mlp relu", "module"):
        model = MODELS[name]
        generator = torch.Generator().manual_seed(4)
        x_PBF = torch.rand(2, 50, model.inputs, generator=generator)
        y_PB = torch.randint(0, model.outputs, (2, 50), generator=generator)
        params_PD = 0.1 * torch.randn(2, model.dimension, generator=generator)
        weight_PB = torch.rand(2, 50, generator=generator) / 25
        whole = model.gradients(params_PD, x_PBF, y_PB, weight_PB)
        monkeypatch.setattr("troth.learning.models.WORKSPACE_BYTES", 2048)
        assert model.rows_at_once(2, torch.device("cpu")) < 25
        torch.testing.assert_close(
            model.gradients(params_PD, x_PBF, y_PB, weight_PB), whole, rtol=0, atol=1e-6
        )
        plain_D, _ = model.gradient(params_PD[0], x_PBF[0], y_PB[0], weight_PB[0])
        torch.testing.assert_close(plain_D, whole[0][0], rtol=0, atol=1e-6)
        monkeypatch.undo()


class Broken(Model):
    """Breaks one promise of a model, chosen by name."""

    def __init__(self, broken: str) -> None:
        purpose = Purpose((3,), 1, "regression", SquaredError(), l2=0.0)
        super().__init__(purpose, dimension=3, floats_per_example=9)
        self.broken = broken
        self.calls = 0

    def init(self, stream: Stream) -> Float32s:
        if self.broken == "init shape":
            return np.ones(4, dtype=np.float32)
        if self.broken == "init unrepeatable":
            self.calls += 1
            return np.full(3, self.calls, dtype=np.float32)
        if self.broken == "init global":
            torch.rand(1)
        if self.broken == "init not finite":
            return np.full(3, np.inf, dtype=np.float32)
        return stream.generator().random(3, dtype=np.float32)

    def predict(self, params_D: torch.Tensor, x_BF: torch.Tensor) -> torch.Tensor:
        if self.broken == "batch":
            x_BF = x_BF - x_BF.mean(0)
        if self.broken == "random":
            self.calls += 1
            x_BF = x_BF + self.calls
        if self.broken == "shape":
            return x_BF @ params_D
        if self.broken == "slope":
            params_D = 0.5 * params_D + 0.5 * params_D.detach()
        return (x_BF @ params_D).unsqueeze(-1)

    def gradients(
        self,
        params: torch.Tensor,
        x_PBF: torch.Tensor,
        y_PB: torch.Tensor,
        weight_PB: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        grad_PD, loss_P = super().gradients(params, x_PBF, y_PB, weight_PB)
        return (1.001 * grad_PD if self.broken == "gradients" else grad_PD), loss_P


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("init shape", "init gives float32 of shape"),
        ("init unrepeatable", "other parameters for an equal stream"),
        ("init global", "global random generator"),
        ("init not finite", "not finite"),
        ("batch", "scores of its examples alone"),
        ("random", "other scores for equal arguments"),
        ("shape", "predict gives shape"),
        ("slope", "but the loss rises along it"),
        ("gradients", "gradients and gradient differ"),
    ],
)
def test_conformance_names_the_broken_promise(broken: str, message: str) -> None:
    check_model(Broken("nothing"))
    with pytest.raises(UsageError, match=message):
        check_model(Broken(broken))
