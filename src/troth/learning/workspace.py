"""Arrays that a thread uses again and again, so that no step waits for fresh pages of memory."""

from __future__ import annotations

import threading
from math import prod

import torch
from torch import Tensor

KEPT_BYTES = 8 * 2**20
"""An array above this is made anew, and given back, each time."""


class Workspace(threading.local):
    """Float32 arrays on the CPU by name; each thread has its own.

    What an array holds when it is taken is whatever it was last used for.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """The array `name` in this shape, until it is taken again; torch has aligned it."""
        size = prod(shape)
        if 4 * size > KEPT_BYTES:
            return torch.empty(shape)
        array = self._arrays.get(name)
        if array is None or len(array) < size:
            array = self._arrays[name] = torch.empty(size)
        return array[:size].view(shape)


WORKSPACE = Workspace()
