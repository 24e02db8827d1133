"""The generators that a module of the user's own may draw from.

Troth draws from its streams only. Code of others draws from the global generators of torch, numpy
and Python, and from generators that it keeps: here they are seeded for it, and watched.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

TORCH = "torch's generator"
"""What the global generator of torch is called in messages."""


def torch_state() -> bytes:
    """Where the global generator of torch stands. Looking takes a few microseconds."""
    return torch.default_generator.get_state().numpy().tobytes()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it the global generators of torch, numpy and Python are seeded; then put back."""
    python, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def other_states() -> tuple[object, ...]:
    """Where the global generators of Python and numpy stand. Other threads may draw there."""
    place = np.random.get_state(legacy=True)
    assert isinstance(place, tuple)
    return random.getstate(), place[1].tobytes(), place[2:]


def states(module: nn.Module) -> dict[str, object]:
    """Where every generator stands that `module` may draw from: the global ones, and its own."""
    found: dict[str, object] = {
        TORCH: torch_state(),
        "Python's random": random.getstate(),
        "numpy.random": str(np.random.get_state(legacy=False)["state"]),
    }
    for name, part in module.named_modules():
        for attribute, value in vars(part).items():
            place = f"its own {f'{name}.' if name else ''}{attribute}"
            if isinstance(value, torch.Generator):
                found[place] = value.get_state().cpu().numpy().tobytes()
            elif isinstance(value, np.random.Generator):
                found[place] = str(value.bit_generator.state)
            elif isinstance(value, np.random.RandomState):
                found[place] = str(value.get_state(legacy=False))
            elif isinstance(value, random.Random):
                found[place] = value.getstate()
    return found
