"""Devices, and what repeats on them."""

from __future__ import annotations

import pytest
import torch

from troth.errors import CharterError, ExitCode
from troth.learning.device import choose_device, describe_device, repeatable


def test_the_cpu_is_always_there() -> None:
    device = choose_device("cpu")
    assert device == torch.device("cpu")
    assert describe_device("cpu", device) == "cpu"


def test_auto_takes_what_there_is_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    assert describe_device("auto", torch.device("cpu")) == "cpu (auto)"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_cuda_without_cuda_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CharterError, match=r'engine\.device = "cuda" cannot be had') as raised:
        choose_device("cuda")
    assert raised.value.exit_code == ExitCode.CHARTER
    assert raised.value.hint is not None


def test_repeatable_refuses_chance_and_puts_back_what_was_set() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # mypy does not see it
    with repeatable(torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
        # No deterministic version of this exists, so torch refuses it.
        with pytest.raises(RuntimeError, match="deterministic"):
            torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]), accumulate=False)
    assert torch.are_deterministic_algorithms_enabled() == before
    assert torch.utils.deterministic.fill_uninitialized_memory == fills  # type: ignore[attr-defined]  # as above
