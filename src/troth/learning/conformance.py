"""The checks that every model must pass; run them on your own.

In a test of your own module:

    from troth.learning.conformance import check_module

    def test_my_module() -> None:
        check_module(make_model, features=(28, 28), outputs=10)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from troth.errors import UsageError
from troth.learning.losses import choose_loss
from troth.learning.models import Model, Purpose
from troth.learning.module import ModuleModel
from troth.learning.spec import TaskKind
from troth.streams import Stream

_PARTIES = 3
_EXAMPLES = 5


def check_module(
    factory: Callable[[tuple[int, ...], int], nn.Module],
    *,
    features: tuple[int, ...],
    outputs: int,
    task: TaskKind = "classification",
    seed: int = 0,
) -> None:
    """Check a callable that returns a torch module, as `name = "module"` would call it.

    Args:
      factory: `factory(features, outputs)`, further arguments already bound.
      features: shape of one example.
      outputs: number of classes, or 1 for regression.

    Raises:
      CharterError: the module cannot be used at all (see `ModuleModel`).
      UsageError: names the promise that does not hold, and by how much.
    """
    loss = choose_loss(task, None, columns=outputs)
    model = ModuleModel(
        lambda: factory(features, outputs),
        Purpose(features, outputs, task, loss, l2=0.0),
        key="task.model.callable",
        value=getattr(factory, "__name__", repr(factory)),
    )
    check_model(model, seed=seed)


def check_model(model: Model, *, seed: int = 0) -> None:
    """Check the promises of `Model`, on random examples and near the initial parameters.

    Raises:
      UsageError: names the promise that does not hold, and by how much.
    """
    stream = Stream(seed, ("conformance",))
    _check_init(model, stream)
    generator = stream.child("examples").generator()
    shape = (_PARTIES, _EXAMPLES)
    x_PBF = torch.tensor(generator.random((*shape, model.inputs), dtype=np.float32))
    if model.task == "regression":
        y_PB = torch.tensor(generator.standard_normal(shape, dtype=np.float32))
    else:
        y_PB = torch.tensor(generator.integers(0, model.outputs, shape))
    moved = generator.standard_normal((_PARTIES, model.dimension), dtype=np.float32)
    params_PD = torch.tensor(model.init(stream) + 0.01 * moved)

    _check_predict(model, params_PD, x_PBF)
    _check_losses(model, params_PD[0], x_PBF[0], y_PB[0])
    weight_PB = torch.full(shape, 1.0 / _EXAMPLES, dtype=torch.float32)
    _check_slope(model, params_PD[0], x_PBF[0], y_PB[0], weight_PB[0])
    _check_gradients(model, params_PD, x_PBF, y_PB, weight_PB)


def _check_init(model: Model, stream: Stream) -> None:
    before = torch.default_generator.get_state()
    first_D, again_D = model.init(stream), model.init(stream)
    if first_D.shape != (model.dimension,) or first_D.dtype != np.float32:
        raise UsageError(
            f"init gives {first_D.dtype} of shape {first_D.shape}, "
            f"not float32 of shape {(model.dimension,)}"
        )
    if not np.isfinite(first_D).all():
        raise UsageError("init gives parameters that are not finite")
    if not np.array_equal(first_D, again_D):
        raise UsageError("init gives other parameters for an equal stream")
    if not torch.equal(before, torch.default_generator.get_state()):
        raise UsageError("init moves torch's global random generator")


def _check_predict(model: Model, params_PD: Tensor, x_PBF: Tensor) -> None:
    scores_BK = model.predict(params_PD[0], x_PBF[0])
    columns = scores_BK.shape[-1]
    binary = model.task == "classification" and model.outputs == 2
    if scores_BK.shape[:-1] != (_EXAMPLES,) or (
        columns != model.outputs and not (binary and columns == 1)
    ):
        raise UsageError(
            f"predict gives shape {tuple(scores_BK.shape)}, not {(_EXAMPLES, model.outputs)}"
        )
    if not torch.equal(scores_BK, model.predict(params_PD[0], x_PBF[0])):
        raise UsageError("predict gives other scores for equal arguments")
    alone_BK = torch.cat([model.predict(params_PD[0], x) for x in torch.split(x_PBF[0], 1)])
    _agree("scores of a batch", scores_BK, "scores of its examples alone", alone_BK)
    each_PBK = torch.stack(
        [model.predict(params_D, x_BF) for params_D, x_BF in zip(params_PD, x_PBF, strict=True)]
    )
    _agree("predictions", model.predictions(params_PD, x_PBF), "predict", each_PBK)
    same_PBK = torch.stack([model.predict(params_D, x_PBF[0]) for params_D in params_PD])
    _agree("predictions", model.predictions(params_PD, x_PBF[0]), "predict", same_PBK)


def _check_losses(model: Model, params_D: Tensor, x_BF: Tensor, y_B: Tensor) -> None:
    loss_B = model.losses(params_D, x_BF, y_B)
    if loss_B.shape != (_EXAMPLES,):
        raise UsageError(f"losses gives shape {tuple(loss_B.shape)}, not {(_EXAMPLES,)}")
    if not bool(loss_B.isfinite().all()):
        raise UsageError("losses gives values that are not finite near the initial parameters")


def _check_slope(
    model: Model, params_D: Tensor, x_BF: Tensor, y_B: Tensor, weight_B: Tensor
) -> None:
    """The objective rises along its gradient as steeply as the gradient is long.

    Central difference; the step is large because float32 losses carry 7 digits.
    """
    grad_D, _ = model.gradient(params_D, x_BF, y_B, weight_B)
    length = float(grad_D.norm())
    step_D = 1e-2 * grad_D / max(length, 1e-12)

    def objective(at_D: Tensor) -> float:
        data = (model.losses(at_D, x_BF, y_B) * weight_B).sum()
        return float(data.double() + 0.5 * model.l2 * at_D.double().square().sum())

    slope = (objective(params_D + step_D) - objective(params_D - step_D)) / 2e-2
    if abs(slope - length) > 0.03 * length + 1e-3:
        raise UsageError(
            f"the gradient has length {length:.6g}, but the loss rises along it by {slope:.6g}"
        )


def _check_gradients(
    model: Model, params_PD: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor
) -> None:
    # The last examples of the second party are filling.
    weight_PB = weight_PB.clone()
    weight_PB[1] = torch.tensor([0.5, 0.5] + [0.0] * (_EXAMPLES - 2), dtype=torch.float32)
    for params in (params_PD, params_PD[0]):
        grad_PD, loss_P = model.gradients(params, x_PBF, y_PB, weight_PB)
        own_PD = params.expand(_PARTIES, -1)
        for p in range(_PARTIES):
            count = 2 if p == 1 else _EXAMPLES
            plain_D, plain = model.gradient(
                own_PD[p], x_PBF[p, :count], y_PB[p, :count], weight_PB[p, :count]
            )
            _agree("gradients", grad_PD[p], "gradient", plain_D)
            _agree("losses of gradients", loss_P[p], "loss of gradient", plain)


def _agree(name: str, found: Tensor, other: str, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise UsageError(
            f"{name} have shape {tuple(found.shape)}, but {other} {tuple(expected.shape)}"
        )
    difference = float((found - expected).abs().max())
    bound = 1e-5 * max(1.0, float(expected.abs().max()))
    if not difference <= bound:
        raise UsageError(f"{name} and {other} differ by {difference:.3g}, more than {bound:.3g}")
