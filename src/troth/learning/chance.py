"""The generators that a module of the user's own may draw from.

Troth draws from its streams only. Code of others draws from the global generators of torch, numpy
and Python, and from generators that it keeps: here they are seeded for it, and watched.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

TORCH = "torch's generator"
"""What the global generator of torch is called in messages."""


Generator: TypeAlias = torch.Generator | np.random.Generator | np.random.RandomState | random.Random
"""One that code of others may keep."""


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
    place = np.random.get_state(legacy=False)
    key, position = place["state"]["key"], place["state"]["pos"]
    return random.getstate(), key.tobytes(), position, place["has_gauss"]


def states(module: nn.Module) -> dict[str, object]:
    """Where every generator stands that `module` may draw from: the global ones, and its own."""
    found: dict[str, object] = {
        TORCH: torch_state(),
        "Python's random": random.getstate(),
        "numpy.random": str(np.random.get_state(legacy=False)["state"]),
    }
    return found | states_of(kept_generators(module))


def kept_generators(module: nn.Module) -> dict[str, Generator]:
    """The generators that `module` keeps in its attributes, or in the file that its class is from,
    also in a list, tuple or dictionary there."""
    found: dict[str, Generator] = {}
    files = set()
    for name, part in module.named_modules():
        file = type(part).__module__
        if file.partition(".")[0] != "torch":
            files.add(file)
        _add_generators(found, f"its own {f'{name}.' if name else ''}", vars(part))
    for file in sorted(files):
        _add_generators(found, f"{file}.", vars(sys.modules.get(file, object)))
    return found


def states_of(generators: Mapping[str, Generator]) -> dict[str, object]:
    """Where these generators stand."""
    return {place: _state(generator) for place, generator in generators.items()}


def _add_generators(found: dict[str, Generator], owner: str, values: Mapping[str, object]) -> None:
    for name, value in tuple(values.items()):
        if isinstance(value, Generator):
            found[owner + name] = value
        elif isinstance(value, dict | list | tuple):
            for place, inner in enumerate(value.values() if isinstance(value, dict) else value):
                if isinstance(inner, Generator):
                    found[f"{owner}{name}[{place}]"] = inner


def _state(generator: Generator) -> object:
    if isinstance(generator, torch.Generator):
        return generator.get_state().cpu().numpy().tobytes()
    if isinstance(generator, np.random.Generator):
        return str(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return str(generator.get_state(legacy=False))
    # Where the operating system draws, nothing stands anywhere.
    return None if isinstance(generator, random.SystemRandom) else generator.getstate()
