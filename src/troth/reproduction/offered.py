"""All kinds of readings and curves that an experiment may name: the general ones, and those that a
protocol offers of its own runs."""

from __future__ import annotations

from typing import Any

from troth.protocols.registry import PROTOCOLS
from troth.reproduction import curves, readings
from troth.reproduction.curves import RunCurve
from troth.reproduction.readings import Reading

_offers: tuple[Any, ...] = tuple(
    protocol.find(reference) for protocol in PROTOCOLS for reference in protocol.operation.readings
)

READINGS: tuple[type[Reading], ...] = (
    *readings.READINGS,
    *(offer for offer in _offers if not isinstance(offer, RunCurve)),
)
CURVES: dict[str, RunCurve] = {
    curve.name: curve
    for curve in (*curves.CURVES, *(offer for offer in _offers if isinstance(offer, RunCurve)))
}
assert len(CURVES) == len(curves.CURVES) + sum(isinstance(offer, RunCurve) for offer in _offers)
