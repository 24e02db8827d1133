"""All kinds of readings and curves that an experiment may name: the general ones, and those that a
protocol offers of its own runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from troth.reproduction import curves, readings
from troth.reproduction.curves import RunCurve
from troth.reproduction.readings import Reading

OFFERED = (
    "troth.protocols.biscotti.operation.stake_readings:StakeShare",
    "troth.protocols.biscotti.operation.stake_readings:HONEST_STAKE",
)
"""What protocols offer, as `module:attribute`: subclasses of `Reading`, and `RunCurve`s."""


def _found(references: Iterable[str]) -> Iterator[Any]:
    for reference in references:
        module, _, attribute = reference.partition(":")
        yield getattr(import_module(module), attribute)


_offers = tuple(_found(OFFERED))

READINGS: tuple[type[Reading], ...] = (
    *readings.READINGS,
    *(offer for offer in _offers if isinstance(offer, type) and issubclass(offer, Reading)),
)
CURVES: dict[str, RunCurve] = {
    curve.name: curve
    for curve in (*curves.CURVES, *(offer for offer in _offers if isinstance(offer, RunCurve)))
}
assert len(READINGS) + len(CURVES) == len(readings.READINGS + curves.CURVES) + len(OFFERED)
