"""A module that answers by anything but its parameters and examples is refused, or has no way to
remember; what it does to torch for everybody is refused."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from own_modules import module_model
from torch import Tensor, nn

from troth.errors import CharterError
from troth.learning.module import ModuleModel
from troth.streams import Stream

ROWS = 20
"""More than a new module is tried with."""

GENERATORS = (np.random.default_rng(1), torch.Generator().manual_seed(1), random.Random(1))
CALLS = itertools.count(1)


class Changed(nn.Module):
    """Gives its scores to a function, which gives others; only for many rows if need be."""

    def __init__(self, change: Callable[[nn.Module, Tensor], Tensor], *, above: int = 3) -> None:
        super().__init__()
        self.layer, self.change, self.above = nn.Linear(6, 3), change, above

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(x)
        return self.change(self, scores) if len(x) > self.above else scores


class RandomSlope(torch.autograd.Function):
    """Draws in `backward` only."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None:
        pass

    @staticmethod
    def backward(ctx: object, slope: Tensor) -> Tensor:
        return slope + torch.randn_like(slope)


def counted(_: nn.Module, scores: Tensor) -> Tensor:
    return scores * 2 if next(CALLS) % 10 == 0 else scores


def random_slope(_: nn.Module, scores: Tensor) -> Tensor:
    drawn: Tensor = RandomSlope.apply(scores)  # type: ignore[no-untyped-call]  # torch's
    return drawn


def hooked(_: nn.Module, scores: Tensor) -> Tensor:
    if scores.requires_grad:
        scores.register_hook(  # type: ignore[no-untyped-call]  # torch's
            lambda slope: slope * (1 + float(np.random.rand()))
        )
    return scores


FOR_MANY_ROWS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "numpy": lambda _, scores: scores * np.random.rand(),
    "random": lambda _, scores: scores * random.random(),
    "a numpy generator of its file": lambda _, scores: scores * GENERATORS[0].random(),
    "a torch generator of its file": lambda _, scores: (
        scores * torch.rand((), generator=GENERATORS[1])
    ),
    "a Random of its file": lambda _, scores: scores * GENERATORS[2].random(),
    "the clock": lambda _, scores: scores * float(time.perf_counter_ns() % 2**20),
    "a counter of its file": lambda _, scores: scores * next(CALLS),
    "numpy in a hook of the gradient": hooked,
}


def gradient(model: ModuleModel) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    x_BF = torch.rand(ROWS, 6, generator=generator)
    params_D = torch.from_numpy(model.init(Stream(1, ("test",))))
    y_B, weight_B = torch.zeros(ROWS, dtype=torch.int64), torch.ones(ROWS) / ROWS
    grad_D, _ = model.gradient(params_D, x_BF, y_B, weight_B)
    return grad_D


@pytest.mark.parametrize("case", FOR_MANY_ROWS)
def test_what_changes_for_many_rows_only_is_refused_in_the_run(case: str) -> None:
    model = module_model(lambda: Changed(FOR_MANY_ROWS[case]))
    with pytest.raises(CharterError, match="gives another answer each time") as caught:
        gradient(model)
    assert caught.value.key == "task.model.callable"
    assert caught.value.hint


@pytest.mark.parametrize("change", [counted, random_slope, hooked])
def test_what_changes_seldom_or_in_the_gradient_is_refused(
    change: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    with pytest.raises(CharterError, match=r"another answer each time|draws random numbers"):
        gradient(module_model(lambda: Changed(change, above=0)))


class Remembers(nn.Module):
    """Adds what it saw of the first batch of many rows, or how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.first: dict[int, Tensor] = {}
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(x)
        if len(x) <= 3:
            return scores
        self.asked += 1
        first = self.first.setdefault(len(x), x.detach().mean())
        return scores + first + self.asked


def test_a_module_has_forgotten_what_it_kept() -> None:
    model = module_model(Remembers)
    params_D = torch.from_numpy(model.init(Stream(1, ("test",))))
    x_BF, others_BF = torch.zeros(ROWS, 6), torch.ones(ROWS, 6)
    before = model.scores(params_D, x_BF)
    model.scores(params_D, others_BF)
    assert torch.equal(model.scores(params_D, x_BF), before)


class Counts(nn.Module):
    """Changes what it keeps where it is trained, and answers by it where it is measured."""

    def __init__(self, kept: Any, *, above: int = 0) -> None:
        super().__init__()
        self.layer, self.kept, self.above = nn.Linear(6, 3), kept, above

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layer(x)
        kept = self.kept[0] if isinstance(self.kept, list) else self.kept
        if scores.requires_grad and len(x) > self.above:
            kept += 1
        return scores if scores.requires_grad else scores + float(kept.sum())


class CountsInBuffer(Counts):
    def __init__(self, *, above: int) -> None:
        super().__init__(None, above=above)
        del self.kept
        self.register_buffer("kept", torch.zeros(1))


KEPT: dict[str, Callable[[int], nn.Module]] = {
    "buffer": lambda above: CountsInBuffer(above=above),
    "tensor": lambda above: Counts(torch.zeros(1), above=above),
    "tensor in a list": lambda above: Counts([torch.zeros(1)], above=above),
    "array": lambda above: Counts(np.zeros(1), above=above),
}


@pytest.mark.parametrize("above", [0, 3])
@pytest.mark.parametrize("case", KEPT)
def test_what_changes_in_place_what_it_keeps_is_refused(case: str, above: int) -> None:
    with pytest.raises(CharterError, match=r"changes its kept(\[0\])? in place") as caught:
        gradient(module_model(lambda: KEPT[case](above)))
    assert caught.value.hint


WHERE = {"of its file": False, "in a list": True}


class Seldom(nn.Linear):
    """Draws from a generator that it does not keep in an attribute, and hardly ever goes by it."""

    def __init__(self, *, in_list: bool) -> None:
        super().__init__(6, 3)
        self.generators = [random.Random(1)] if in_list else []

    def forward(self, x: Tensor) -> Tensor:
        draw = self.generators[0].random() if self.generators else GENERATORS[0].random()
        return super().forward(x) * (2 if draw > 1 - 1e-9 else 1)


@pytest.mark.parametrize("case", WHERE)
def test_generators_in_its_file_and_in_lists_are_watched(case: str) -> None:
    with pytest.raises(CharterError, match="draws random numbers from"):
        module_model(lambda: Seldom(in_list=WHERE[case]))


SETTINGS: dict[str, tuple[Callable[[], object], str]] = {
    "gradients": (lambda: torch.set_grad_enabled(False), "grad mode"),
    "numbers": (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
    "threads": (lambda: torch.set_num_threads(2), "number of threads"),
    "determinism": (
        lambda: torch.use_deterministic_algorithms(False),
        "deterministic algorithms",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_of_torch_are_left_as_they_are(case: str) -> None:
    change, name = SETTINGS[case]

    def changed(_: nn.Module, scores: Tensor) -> Tensor:
        change()
        return scores

    with pytest.raises(CharterError, match=f"changes torch's {name} in forward"):
        module_model(lambda: Changed(changed, above=0))
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_gradients_that_the_constructor_switches_off_are_on_again() -> None:
    def make() -> nn.Module:
        torch.set_grad_enabled(False)
        return nn.Linear(6, 3)

    gradient(module_model(make))
    assert torch.is_grad_enabled()


class OwnSlope(nn.Module):
    """Takes a gradient for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.layer(x).tanh().sum(), x, create_graph=True)
        scores: Tensor = self.layer(x + slope)
        return scores


def test_scores_of_a_module_that_takes_gradients_are_plain_where_none_are_asked_for() -> None:
    model = module_model(OwnSlope)
    params_D = torch.from_numpy(model.init(Stream(1, ("test",))))
    assert not model.scores(params_D, torch.rand(4, 6)).requires_grad
    assert not model.predictions(params_D.unsqueeze(0), torch.rand(4, 6)).requires_grad


class Chosen(nn.Linear):
    """Keeps a number that it has drawn, which is no tensor."""

    def __init__(self) -> None:
        super().__init__(6, 3)
        self.factor = 1 + np.random.default_rng().random()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.factor


def test_a_module_that_begins_otherwise_each_time_is_refused() -> None:
    with pytest.raises(CharterError, match="begins with another answer each time"):
        module_model(Chosen)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_weights_that_are_computed_in_forward_are_copied() -> None:
    with pytest.warns(FutureWarning):  # torch has another now, which keeps no tensors
        grad_D = gradient(module_model(lambda: nn.utils.weight_norm(nn.Linear(6, 3))))
    assert bool(grad_D.any())


def leaves(*_: object) -> Any:
    raise SystemExit(0)


def on_meta() -> nn.Module:
    return nn.Linear(6, 3, device="meta")


def with_a_lock() -> Any:
    module: Any = nn.Linear(6, 3)
    module.lock = threading.Lock()
    return module


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (leaves, "raised SystemExit"),
        (lambda: Changed(leaves, above=0), "raised SystemExit"),
        (on_meta, "device meta"),
        (with_a_lock, "cannot be copied"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(CharterError, match=said):
        module_model(make)
