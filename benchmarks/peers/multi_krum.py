"""Another library's Multi-Krum: says its version, then runs once for each line it is sent.

    python multi_krum.py ByzFL|Flower PARTIES DIMENSION BYZANTINE SEED

Needs only numpy and the library. Answers each line with the seconds of one run.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import types
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

Work = Callable[[], object]


def byzfl(updates_PD: npt.NDArray[np.float32], byzantine: int) -> tuple[str, Work]:
    # Its __init__ also imports torchvision and plotting, which the rules do without.
    found = importlib.util.find_spec("byzfl")
    if found is None or found.submodule_search_locations is None:
        sys.exit("byzfl is not installed")
    package = types.ModuleType("byzfl")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["byzfl"] = package
    import torch
    from byzfl.aggregators.aggregators import MultiKrum

    rule, tensor_PD = MultiKrum(f=byzantine), torch.from_numpy(updates_PD)
    return version("byzfl"), lambda: rule(tensor_PD)


def flower(updates_PD: npt.NDArray[np.float32], byzantine: int) -> tuple[str, Work]:
    from flwr.server.strategy.aggregate import aggregate_krum

    results = [([update_D], 1) for update_D in updates_PD]
    keep = len(updates_PD) - byzantine
    return version("flwr"), lambda: aggregate_krum(results, byzantine, keep)


def main() -> None:
    name, *numbers = sys.argv[1:]
    parties, dimension, byzantine, seed = map(int, numbers)
    generator = np.random.default_rng(seed)
    updates_PD = generator.standard_normal((parties, dimension), dtype=np.float32)
    said, work = {"ByzFL": byzfl, "Flower": flower}[name](updates_PD, byzantine)
    print(said, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
