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


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has no threads
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="troth-learning")


def map_pieces(
    work: Callable[[Item], Value], items: Sequence[Item], device: torch.device
) -> list[Value]:
    """`work` on every item, results in order; side by side on a CPU, one after another on a GPU."""
    if len(items) < 2 or device.type != "cpu" or torch.get_num_threads() > 1:
        return [work(item) for item in items]
    return list(_pool(os.getpid()).map(work, items))
