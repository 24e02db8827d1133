"""Nobody waits for ever, and nobody is given less time than an answer takes."""

from __future__ import annotations

from troth.charter.rules.common import admitted
from troth.charter.scenario import Scenario
from troth.charter.world import FixedCost, floor_s
from troth.errors import CharterError
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Waiting
from troth.specification import tag


def _waiting(scenario: Scenario) -> Waiting | None:
    protocol = scenario.charter.protocol
    return protocol_of(protocol).waits(protocol, len(admitted(scenario)))


def _messages_arrive(scenario: Scenario) -> None:
    if protocol_of(scenario.charter.protocol).sends_messages and scenario.network.loss >= 1:
        raise CharterError(
            "loses every message", key="network.loss", value=scenario.network.loss, hint="lower it"
        )


def _who_must_finish_comes_back(scenario: Scenario) -> None:
    """A run is over when its coordinator has a model, or every party has when there is none."""
    needed = protocol_of(scenario.charter.protocol).coordinators
    for index, crash in enumerate(scenario.faults.crashes):
        if crash.restart_after_s is None and (not needed or crash.node in needed):
            raise CharterError(
                "crashes for good, and the run cannot end without it",
                key=f"faults.crashes[{index}].node",
                value=crash.node,
                hint="give restart_after_s",
            )
    for index, absence in enumerate(scenario.churn.absences):
        if absence.until_s is None and not needed:
            raise CharterError(
                "leaves for good, and the run cannot end without it",
                key=f"churn.absences[{index}].party",
                value=absence.party,
                hint="give until_s",
            )


def _lost_answers_are_not_awaited(scenario: Scenario) -> None:
    """Whatever may keep an answer from coming asks for a deadline."""
    waiting = _waiting(scenario)
    if waiting is None or waiting.seconds is not None:
        return
    cause = _cause_of_loss(scenario, waiting.spare)
    if cause is not None:
        key, value = cause
        raise CharterError(
            "may keep a message from arriving, for which protocol = "
            f'"{tag(scenario.charter.protocol)}" would wait for ever',
            key=key,
            value=value,
            hint=f"set protocol.{waiting.key} to the seconds after which to go on",
        )


def _cause_of_loss(scenario: Scenario, spare: int) -> tuple[str, object] | None:
    """The key of what loses messages so that waiting may never end, and its value if short.

    Args:
      spare: answers that a round can do without.
    """
    network, churn = scenario.network, scenario.churn
    if network.loss > 0:
        return "network.loss", network.loss
    if network.partitions:
        return "network.partitions", ...
    if churn.mean_online_s is not None:
        return "churn.mean_online_s", churn.mean_online_s
    crashes, absences = scenario.faults.crashes, churn.absences
    needed = protocol_of(scenario.charter.protocol).coordinators
    if any(crash.node in needed for crash in crashes):
        return "faults.crashes", ...
    away = {crash.node for crash in crashes} | {absence.party for absence in absences}
    if away and len(away) > spare:
        return ("faults.crashes" if crashes else "churn.absences"), ...
    return None


def _deadline_leaves_time(scenario: Scenario) -> None:
    """The quickest answer takes two messages, and training in between if that is charged."""
    waiting, network, cost = _waiting(scenario), scenario.network, scenario.cost
    if waiting is None or waiting.seconds is None:
        return
    # A party's own latency counts instead of the common one, which then may concern nobody.
    latencies = list(network.latency_of.values())
    if len(latencies) < len(admitted(scenario)):
        latencies.append(network.latency)
    least_s = 2 * min(floor_s(latency) for latency in latencies)
    training_s = 0.0
    if isinstance(cost, FixedCost):
        training_s = sum(cost.seconds.get(each, cost.otherwise_s) for each in waiting.computations)
    if least_s + training_s > 0 and waiting.seconds <= least_s + training_s:
        charged = f" and {training_s:g} s of training" if training_s else ""
        raise CharterError(
            f"is too short for any answer: two messages take at least {least_s:g} s{charged}",
            key=f"protocol.{waiting.key}",
            value=waiting.seconds,
            hint=f"raise it well above {least_s + training_s:g}, or lower network.latency",
        )


RULES = (
    _messages_arrive,
    _who_must_finish_comes_back,
    _lost_answers_are_not_awaited,
    _deadline_leaves_time,
)
