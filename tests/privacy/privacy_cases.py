"""A small bench that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from troth.ids import NodeId
from troth.learning import spec
from troth.learning.build import build_model
from troth.learning.models import Model
from troth.learning.workbench import Workbench, build_workbench
from troth.streams import Stream, learning
from troth.wire import Float32s

FEATURES, CLASSES = 6, 3


def small_convolution(features: tuple[int, ...], outputs: int) -> nn.Module:
    """Named `privacy_cases:small_convolution` by tests."""
    _, height, width = features
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(2 * height * width, outputs),
    )


def make_model(table: spec.ModelSpec, features: tuple[int, ...] = (FEATURES,)) -> Model:
    return build_model(table, features=features, outputs=CLASSES, task="classification")


MODELS = {
    "softmax": make_model(spec.Softmax(l2=0.05)),
    "mlp": make_model(spec.MLP(hidden=[5], activation="tanh", l2=0.1)),
    "module": make_model(spec.Module(callable="privacy_cases:small_convolution"), (1, 2, 3)),
}


def examples_of(rows: int, seed: int = 0) -> Float32s:
    return Stream(seed, ("rows",)).generator().standard_normal((rows, FEATURES), dtype=np.float32)


def make_bench(
    model: Model, sizes: Sequence[int], *, x_NF: Float32s | None = None, seed: int = 0
) -> Workbench:
    """Parties p0, p1, ... with the first so many rows each."""
    x_NF = examples_of(max(sizes), seed) if x_NF is None else x_NF
    labels = Stream(seed, ("labels",)).generator().integers(0, CLASSES, len(x_NF))
    return build_workbench(
        model,
        x_NF=x_NF,
        y_N=labels,
        rows_of={NodeId(f"p{i}"): np.arange(size) for i, size in enumerate(sizes)},
        test_x_TF=x_NF[:1],
        test_y_T=labels[:1],
        stream=learning(seed),
    )
