"""The cost model: how much simulated time a computation takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from troth.charter.world import CostSpec, FixedCost, MeasuredCost, ZeroCost
from troth.compute import Compute
from troth.engines.engine import Engine


def known_cost_s(spec: CostSpec, request: Compute[Any, Any]) -> float | None:
    """Simulated seconds that `request` takes; None if it must be measured."""
    if isinstance(spec, MeasuredCost):
        return None
    if isinstance(spec, FixedCost):
        if request.label in spec.seconds:
            return spec.seconds[request.label] * request.units()
        return spec.otherwise_s
    return 0.0


def run_at_cost(
    engine: Engine, requests: Sequence[Compute[Any, Any]], spec: CostSpec
) -> tuple[list[Any], list[float]]:
    """Carry out computations: their values, and the simulated seconds that each takes. Those that
    are measured together share the time alike."""
    if not isinstance(spec, MeasuredCost):
        values = engine.run(requests)
        if isinstance(spec, ZeroCost):
            return values, [0.0] * len(requests)
        return values, [known_cost_s(spec, request) or 0.0 for request in requests]
    # As at a node, which computes in a thread: there is no table of multiples there
    # (`troth.crypto.multiples`), which pays for what all peers compute and not for what one does.
    with ThreadPoolExecutor(1) as thread:
        began_s = time.perf_counter()
        values = thread.submit(engine.run, requests).result()
        taken_s = time.perf_counter() - began_s
    return values, [taken_s * spec.factor / len(requests)] * len(requests)
