"""The cost model: how much simulated time a computation takes."""

from __future__ import annotations

from typing import Any

from troth.compute import Compute
from troth.worlds.simulated.spec import CostSpec, FixedCost, MeasuredCost


def known_cost_s(spec: CostSpec, request: Compute[Any, Any]) -> float | None:
    """Simulated seconds that `request` takes; None if it must be measured."""
    if isinstance(spec, MeasuredCost):
        return None
    if isinstance(spec, FixedCost):
        if request.label in spec.seconds:
            return spec.seconds[request.label] * request.units()
        return spec.otherwise_s
    return 0.0
