"""Models and benches that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from troth.errors import CharterError
from troth.ids import NodeId
from troth.learning import spec
from troth.learning.build import build_model
from troth.learning.models import Model
from troth.learning.workbench import Workbench, build_workbench
from troth.streams import Stream, learning

FEATURES = (6,)
CLASSES = 3


def small_convolution(features: tuple[int, ...], outputs: int, channels: int = 2) -> nn.Module:
    """Named `learning_cases:small_convolution` by tests; for images (1, H, W)."""
    _, height, width = features
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.GroupNorm(1, channels),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(channels * height * width, outputs),
    )


def make_model(
    table: spec.ModelSpec, outputs: int = CLASSES, features: tuple[int, ...] = FEATURES
) -> Model:
    task = "regression" if outputs == 1 else "classification"
    return build_model(table, features=features, outputs=outputs, task=task)


def named_models() -> dict[str, Model]:
    """One model of every kind and loss, small."""

    def squared(table: spec.ModelSpec, outputs: int, loss: spec.LossName = "squared") -> Model:
        return build_model(
            table, features=FEATURES, outputs=outputs, task="classification", loss=loss
        )

    module = spec.Module(callable="learning_cases:small_convolution", l2=0.01)
    return {
        "logistic": make_model(spec.Logistic(l2=0.1), 2),
        "logistic squared": squared(spec.Logistic(), 2),
        "softmax": make_model(spec.Softmax(l2=0.05)),
        "softmax squared": squared(spec.Softmax(), CLASSES),
        "linear": make_model(spec.Linear(l2=0.2), 1),
        "mlp relu": make_model(spec.MLP(hidden=[5], l2=0.1)),
        "mlp tanh": make_model(spec.MLP(hidden=[5, 4], activation="tanh")),
        "mlp sigmoid regression": make_model(spec.MLP(hidden=[4], activation="sigmoid"), 1),
        "mlp squared": squared(spec.MLP(hidden=[4]), 2),
        "shokri mlp table": make_model(spec.ShokriMLP()),
        "module": make_model(module, features=(1, 2, 3)),
    }


MODELS = named_models()


def make_bench(model: Model, sizes: Sequence[int], *, seed: int = 0) -> Workbench:
    """A bench of parties `p0`, `p1`, ... with so many rows each, dealt with overlap."""
    generator = Stream(seed, ("test-bench",)).generator()
    total = max(40, *sizes)
    x_NF = generator.random((total, model.inputs), dtype=np.float32)
    test_x_TF = generator.random((17, model.inputs), dtype=np.float32)
    if model.task == "regression":
        targets = [generator.standard_normal(n).astype(np.float32) for n in (total, 17)]
    else:
        targets = [generator.integers(0, model.outputs, n) for n in (total, 17)]
    rows_of = {
        NodeId(f"p{i}"): generator.choice(total, size, replace=False)
        for i, size in enumerate(sizes)
    }
    return build_workbench(
        model,
        x_NF=x_NF,
        y_N=targets[0],
        rows_of=rows_of,
        test_x_TF=test_x_TF,
        test_y_T=targets[1],
        stream=learning(seed),
    )


class Dropping(nn.Module):
    """Has dropout."""

    def __init__(self, features: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features[0], outputs)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layer(self.drop(x))
        return scores


class Normalising(Dropping):
    """Has batch normalisation, with running statistics or without."""

    def __init__(self, features: tuple[int, ...], outputs: int, tracked: bool = True) -> None:
        super().__init__(features, outputs)
        self.drop = nn.BatchNorm1d(features[0], track_running_stats=tracked)  # type: ignore[assignment]  # stands in its place


def wrong_shape(features: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Linear(features[0], outputs + 1)


def failing_forward(features: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Linear(features[0] + 1, outputs)


def failing_factory(features: tuple[int, ...], outputs: int) -> nn.Module:
    raise RuntimeError(f"no network for {features} and {outputs}")


def own_error(features: tuple[int, ...], outputs: int) -> nn.Module:
    raise CharterError(f"has no use for {outputs} classes of {features}", key="task.model.callable")


def not_a_module(features: tuple[int, ...], outputs: int) -> object:
    return [features, outputs]


def no_parameters(features: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Flatten(*features[:0], outputs - outputs + 1)


def double_precision(features: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Linear(features[0], outputs).double()


def partly_frozen(features: tuple[int, ...], outputs: int) -> nn.Module:
    first = nn.Linear(features[0], 4).requires_grad_(False)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(4, outputs))
