"""A module that draws at random, however seldom, is refused; one that is only begun at random is
begun alike each time."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from own_modules import module_model
from torch import Tensor, nn

from troth.errors import CharterError
from troth.streams import Stream

OWN_TORCH = torch.Generator().manual_seed(1)
OWN_NUMPY = np.random.default_rng(1)
OWN_RANDOM = random.Random(1)


class Seldom(nn.Module):
    """Changes its answer when `draw` says so, once in a million times."""

    def __init__(self, draw: Callable[[], float], **own: object) -> None:
        super().__init__()
        self.layer, self.draw = nn.Linear(6, 3), draw
        for name, value in own.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(x)
        return scores * 0 if self.draw() < 1e-6 else scores


class DrawsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, slope: Tensor) -> Tensor:
        return slope + 1e-9 * torch.rand_like(slope)


class _Backward(nn.Linear):
    def __init__(self) -> None:
        super().__init__(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = DrawsBackward.apply(super().forward(x))
        return scores


DRAWS: dict[str, Callable[[], nn.Module]] = {
    "weak dropout": lambda: nn.Sequential(nn.Linear(6, 3), nn.Dropout(1e-7)),
    "torch": lambda: Seldom(lambda: float(torch.rand(()))),
    "random": lambda: Seldom(random.random),
    "numpy": lambda: Seldom(np.random.random),
    "torch, backward": _Backward,
    "own torch generator": lambda: Seldom(
        lambda: float(torch.rand((), generator=OWN_TORCH)), chance=OWN_TORCH
    ),
    "own numpy generator": lambda: Seldom(OWN_NUMPY.random, chance=OWN_NUMPY),
    "own random": lambda: Seldom(OWN_RANDOM.random, chance=OWN_RANDOM),
}


@pytest.mark.parametrize("case", DRAWS)
def test_a_module_that_seldom_draws_is_refused(case: str) -> None:
    before = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    with pytest.raises(CharterError, match="draws random numbers") as caught:
        module_model(DRAWS[case])
    assert caught.value.key == "task.model.callable"
    after = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    assert before == after


class DrawsForSome(nn.Linear):
    """Draws where an example is negative, which none is when the module is looked at."""

    def __init__(self) -> None:
        super().__init__(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores if bool((x >= 0).all()) else scores + 1e-9 * torch.rand_like(scores)


@pytest.mark.parametrize("parties", [1, 3])
def test_a_module_that_draws_for_some_data_is_refused_when_it_does(parties: int) -> None:
    model = module_model(DrawsForSome)
    params_PD = torch.from_numpy(model.init(Stream(1))).expand(parties, -1).clone()
    y_PB = torch.zeros(parties, 4, dtype=torch.long)
    weight_PB = torch.full((parties, 4), 0.25)
    x_PBF = torch.ones(parties, 4, 6)
    model.gradients(params_PD, x_PBF, y_PB, weight_PB)
    with pytest.raises(CharterError, match="draws random numbers from torch's generator"):
        model.gradients(params_PD, -x_PBF, y_PB, weight_PB)


def test_dropout_of_nothing_draws_nothing() -> None:
    model = module_model(lambda: nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.0)))
    assert model.dimension == 21


def begun(fill: Callable[[], float]) -> nn.Module:
    layer = nn.Linear(6, 3)
    nn.init.constant_(layer.bias, fill())
    return layer


@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_a_module_begins_alike_whatever_it_draws_from(draw: Callable[[], float]) -> None:
    model = module_model(partial(begun, draw))
    first, second = model.init(Stream(1)), model.init(Stream(1))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, model.init(Stream(2)))


def test_a_module_that_begins_otherwise_each_time_is_refused() -> None:
    with pytest.raises(CharterError, match="begins with other") as caught:
        module_model(partial(begun, lambda: float(np.random.default_rng().random())))
    assert caught.value.key == "task.model.callable"
