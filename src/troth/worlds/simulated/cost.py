"""The cost model: how much simulated time a computation takes."""

from __future__ import annotations

from troth.worlds.simulated.spec import CostSpec, FixedCost, MeasuredCost


def known_cost_s(spec: CostSpec, label: str) -> float | None:
    """Simulated seconds of one computation called `label`; None if it must be measured."""
    if isinstance(spec, MeasuredCost):
        return None
    if isinstance(spec, FixedCost):
        return spec.seconds.get(label, spec.otherwise_s)
    return 0.0
