"""Independent pieces of learning work on several cores.

Each piece computes with one torch thread (`device.repeatable` sees to that) and pieces are cut the
same whatever the machine, so results do not depend on its cores. And a piece that waits for a busy
core holds up no other: torch's own threads meet after every operation, which on a shared machine
was measured to cost up to fifteen times the work itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Value = TypeVar("Value")


_cores = os.cpu_count() or 1


def use_cores(count: int) -> None:
    """Compute at most `count` pieces of this process side by side; at first, one per core."""
    global _cores
    _cores = count


@cache
def _pool(process: int, cores: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork has no threads
    return ThreadPoolExecutor(cores, thread_name_prefix="troth-learning")


def map_pieces(
    work: Callable[[Item], Value], items: Sequence[Item], device: torch.device
) -> list[Value]:
    """`work` on every item, results in order; side by side on a CPU, one after another on a GPU."""
    alone = _cores == 1 or len(items) < 2 or torch.get_num_threads() > 1
    if alone or device.type != "cpu":
        return [work(item) for item in items]
    return list(_pool(os.getpid(), _cores).map(work, items))
