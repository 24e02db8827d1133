"""Network, churn, faults, cost and engine: each does something, to somebody."""

from __future__ import annotations

import msgspec

from troth.charter.keys import dotted
from troth.charter.scenario import Scenario
from troth.charter.words import listing
from troth.charter.world import Churn, FixedCost, Network, floor_s
from troth.errors import CharterError
from troth.protocols.lookup import protocol_of
from troth.specification import tag


def _network_carries_something(scenario: Scenario) -> None:
    if protocol_of(scenario.charter.protocol).sends_messages:
        return
    untouched = Network()
    for field in msgspec.structs.fields(Network):
        value = getattr(scenario.network, field.name)
        if value != getattr(untouched, field.name):
            name = tag(scenario.charter.protocol)
            raise CharterError(
                f'has no effect: protocol = "{name}" sends no messages',
                key=f"network.{field.name}",
                hint="remove it, or choose a protocol in which parties talk to each other",
            )


def _parties_can_be_away(scenario: Scenario) -> None:
    protocol = protocol_of(scenario.charter.protocol)
    if protocol.parties_are_nodes or scenario.churn == Churn():
        return
    raise CharterError(
        f'has no effect: with protocol = "{protocol.name}" parties only hand over their data',
        key="churn",
        hint="remove it, or choose another protocol",
    )


def _reordering_has_delays(scenario: Scenario) -> None:
    network = scenario.network
    delays = [network.latency, *network.latency_of.values()]
    if network.reordering > 0 and not any(floor_s(delay) > 0 for delay in delays):
        raise CharterError(
            "has no effect, because messages take no time",
            key="network.reordering",
            value=network.reordering,
            hint="set network.latency, for example latency = 0.05",
        )


def _absences_end_after_they_begin(scenario: Scenario) -> None:
    for index, absence in enumerate(scenario.churn.absences):
        if absence.until_s is not None and absence.until_s <= absence.from_s:
            raise CharterError(
                f"is not after from_s = {absence.from_s:g}",
                key=f"churn.absences[{index}].until_s",
                value=absence.until_s,
                hint="raise it, or remove it: the party is then away for good",
            )


def _costs_are_of_something(scenario: Scenario) -> None:
    if not isinstance(scenario.cost, FixedCost):
        return
    known = protocol_of(scenario.charter.protocol).labels
    for label in scenario.cost.seconds:
        if label not in known:
            raise CharterError(
                f'is no computation of protocol = "{tag(scenario.charter.protocol)}"',
                key=dotted(("cost", "seconds", label)),
                hint=listing(label, known, what="computations"),
            )


def _workers_have_processes(scenario: Scenario) -> None:
    engine = scenario.engine
    if engine.workers is not None and engine.name != "processes":
        raise CharterError(
            f'has no effect with engine.name = "{engine.name}"',
            key="engine.workers",
            value=engine.workers,
            hint='set engine.name = "processes", or remove workers',
        )


RULES = (
    _network_carries_something,
    _parties_can_be_away,
    _reordering_has_delays,
    _absences_end_after_they_begin,
    _costs_are_of_something,
    _workers_have_processes,
)
