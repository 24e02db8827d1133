"""Where learning is carried out, and what is done so that it repeats.

What repeats: on one kind of processor, with the same device and the same versions of torch and its
matrix library, two runs give the same bits, whatever the number of cores. Between devices or kinds
of processor, sums are taken in another order, and parameters agree within rounding only.

What is done for it: no operation of Troth's models adds in an order left to chance; `repeatable`
makes torch refuse such operations in models of the user's own, and gives every operation on a CPU
one thread (`parallel` uses the cores instead), also in numpy's matrix library, which else splits
long sums by its threads; operands of matrix products lie in memory that torch aligned.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import torch
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # comes without types

from troth.errors import CharterError

DeviceName = Literal["auto", "cpu", "cuda"]

_SWITCHED_OFF: tuple[tuple[Any, str], ...] = (
    # Filling new memory would cost a write per tensor and protect only from reading it unwritten.
    (torch.utils.deterministic, "fill_uninitialized_memory"),
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cudnn, "benchmark"),
)
"""What is off while results have to repeat."""


def choose_device(name: DeviceName) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one, else the CPU.

    Reports name what was taken: `str(device)`, or `describe_device`.

    Raises:
      CharterError: `cuda` where torch finds none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        built = "has no CUDA in it" if torch.version.cuda is None else "finds no CUDA device"
        raise CharterError(
            f"cannot be had: torch {torch.__version__} {built}",
            key="engine.device",
            value=name,
            hint='set device = "cpu" or "auto", or install a CUDA build of torch',
        )
    return torch.device(name)


def describe_device(asked: DeviceName, device: torch.device) -> str:
    """For reports and progress: `cpu`, `cpu (auto)`, `cuda NVIDIA H100 (auto)`."""
    name = "cpu" if device.type == "cpu" else f"cuda {torch.cuda.get_device_name(device)}"
    return f"{name} (auto)" if asked == "auto" else name


@cache
def _libraries() -> ThreadpoolController:
    """The matrix libraries of this process; kept, since looking for them takes a millisecond."""
    return ThreadpoolController()


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Within it torch takes deterministic algorithms only, and full float32 precision on a GPU.

    An operation that has none raises a RuntimeError that names it. What was set before is put back.
    """
    if device.type == "cuda":
        # Read by cuBLAS when it starts; without it torch refuses matrix products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    number = torch.get_default_dtype()
    mode, threads = torch.get_deterministic_debug_mode(), torch.get_num_threads()
    before = [(place, name, getattr(place, name)) for place, name in _SWITCHED_OFF]
    # The same switch as `use_deterministic_algorithms`, which would import torch's compiler (1 s).
    torch.set_deterministic_debug_mode("error")
    # Some packages set another when they are imported; models are float32 everywhere.
    torch.set_default_dtype(torch.float32)
    for place, name in _SWITCHED_OFF:
        setattr(place, name, False)
    if device.type == "cpu":
        # Cores are kept busy by `parallel.map_pieces` instead.
        torch.set_num_threads(1)
    try:
        # A digest must not depend on how many cores there are, so neither must numpy's sums.
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_default_dtype(number)
        for place, name, value in before:
            setattr(place, name, value)
        torch.set_num_threads(threads)
