"""A module that cannot be trained is refused when it is built, by its key; one that has no
vectorised form is gone over party by party."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from learning_cases import make_bench
from own_modules import module_model
from torch import Tensor, nn

from troth.engines.local import BatchedEngine, InlineEngine
from troth.errors import CharterError
from troth.ids import NodeId
from troth.learning.conformance import check_model
from troth.learning.evaluation import Evaluate
from troth.learning.local import LocalUpdate
from troth.learning.training import Training
from troth.privacy.dp_sgd import PrivateUpdate
from troth.privacy.noise import SimulatedSecret
from troth.streams import Stream


class Calling(nn.Module):
    """A layer, and what `answer` makes of its scores."""

    def __init__(self, answer: Callable[[Tensor], Tensor], layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.answer = layer or nn.Linear(6, 3), answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.layer(x))


class NoGrad(nn.Linear):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(16, 4, sparse=True), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.words((x * 15).long()).flatten(1))
        return scores


class Undone(torch.autograd.Function):
    """Has no backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2


def filled(value: float) -> nn.Module:
    layer = nn.Linear(6, 3)
    nn.init.constant_(layer.weight, value)
    return layer


UNTRAINABLE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "lazy": (lambda: nn.LazyLinear(3), "weight has no shape yet"),
    "lazy buffer": (lambda: nn.Sequential(nn.Linear(6, 3), nn.LazyBatchNorm1d()), "no shape yet"),
    "no_grad": (lambda: NoGrad(6, 3), "no gradient"),
    "detached": (lambda: Calling(torch.detach), "no gradient"),
    "sparse": (Sparse, "cannot be trained"),
    "script": (lambda: torch.jit.script(nn.Linear(6, 3)), "TorchScript"),
    "script inside": (
        lambda: nn.Sequential(nn.Linear(6, 6), torch.jit.script(nn.Linear(6, 3))),
        "TorchScript",
    ),
    "nan": (lambda: filled(float("nan")), "weight is not finite"),
    "scores of nan": (lambda: Calling(lambda y: torch.log(-1 - y.abs())), "scores that are not"),
    "no backward": (lambda: Calling(Undone.apply), "cannot be trained"),
    "whole numbers": (lambda: Calling(Tensor.long), "no gradient"),
    "other shape in training": (lambda: Calling(lambda y: y.double()), "torch.float64"),
}


@pytest.mark.parametrize("case", UNTRAINABLE)
@pytest.mark.filterwarnings("ignore:.*Lazy", "ignore:.*torch.jit")
def test_a_module_that_cannot_be_trained_is_refused(case: str) -> None:
    factory, said = UNTRAINABLE[case]
    with pytest.raises(CharterError, match=said) as caught:
        module_model(factory)
    assert caught.value.key == "task.model.callable"
    assert caught.value.hint


class Recurrent(nn.Module):
    """vmap has no rule for it."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.rnn, self.out = kind(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.rnn(x.unsqueeze(-1))
        scores: Tensor = self.out(hidden[:, -1])
        return scores


NO_RULE: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "rnn": lambda: Recurrent(nn.RNN),
    "branch": lambda: Calling(lambda y: -y if bool((y > 1e9).any()) else y),
    "item": lambda: Calling(lambda y: y * float(y.detach().abs().max().item() >= 0)),
    "in numpy": lambda: Calling(lambda y: y + torch.from_numpy(np.zeros_like(y.detach().numpy()))),
}


@pytest.mark.parametrize("case", NO_RULE)
def test_what_vmap_has_no_rule_for_is_gone_over_party_by_party(case: str) -> None:
    model = module_model(NO_RULE[case])
    check_model(model)
    assert any("one party after the other" in note for note in model.notes)
    bench = make_bench(model, [5, 9, 12])
    start_D = model.init(Stream(1))
    training = Training(rounds=1, update="delta", local_epochs=1, learning_rate=0.1, batch_size=4)
    nodes = [NodeId(f"p{party}") for party in range(3)]
    requests: list[Any] = [LocalUpdate(node, 1, start_D, training) for node in nodes]
    requests += [Evaluate(start_D + place, on=node) for place, node in enumerate(nodes)]
    requests += [
        PrivateUpdate(node, 1, start_D, training, 1.0, 1.0, 12, SimulatedSecret(Stream(5)))
        for node in nodes
    ]
    inline, batched = InlineEngine(bench).run(requests), BatchedEngine(bench).run(requests)
    for alone, together in zip(inline, batched, strict=True):
        if hasattr(alone, "update_D"):
            np.testing.assert_allclose(alone.update_D, together.update_D, atol=1e-5)
        else:
            assert alone.loss == pytest.approx(together.loss, abs=1e-5)


def test_a_module_with_rules_is_vectorised() -> None:
    assert module_model(lambda: nn.Linear(6, 3)).notes == []


def test_another_default_type_of_torch_changes_nothing() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        model = module_model(lambda: nn.Linear(6, 3))
        check_model(model)
    finally:
        torch.set_default_dtype(torch.float32)
