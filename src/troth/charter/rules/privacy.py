"""Parties' own privacy and the protocol fit each other."""

from __future__ import annotations

from troth.charter.rules.common import admitted, tag
from troth.charter.scenario import Scenario
from troth.errors import CharterError
from troth.privacy.spec import NoPrivacy
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.tormentor.parameters import Tormentor


def _the_protocol_lets_parties_add_noise(scenario: Scenario) -> None:
    privacy, protocol = scenario.parties.privacy, scenario.charter.protocol
    if isinstance(privacy, NoPrivacy) or isinstance(protocol, Tormentor):
        return
    if isinstance(protocol, Biscotti):
        raise CharterError(
            'does not go with protocol = "biscotti", in which all parties add the same noise',
            key="parties.privacy.mechanism",
            value=tag(privacy),
            hint="set [protocol.noise] mask and [protocol.ledger_noise], or remove "
            "[parties.privacy]",
        )
    raise CharterError(
        f'does not go with protocol = "{tag(protocol)}", whose parties add no noise',
        key="parties.privacy.mechanism",
        value=tag(privacy),
        hint='set protocol = "tormentor", or remove [parties.privacy]',
    )


def _the_run_ends_when_budgets_are_spent(scenario: Scenario) -> None:
    """Providers leave when they have spent theirs, and somebody else may still join."""
    privacy, protocol = scenario.parties.privacy, scenario.charter.protocol
    if isinstance(privacy, NoPrivacy) or not isinstance(protocol, Tormentor):
        return
    if protocol.deadline_s is None and protocol.time_s is None:
        raise CharterError(
            "lets parties leave when their budget is spent, and the broker would wait for others "
            "for ever",
            key="parties.privacy.mechanism",
            value=tag(privacy),
            hint="set protocol.deadline_s to the seconds after which to go on",
        )


def _somebody_may_join(scenario: Scenario) -> None:
    privacy, protocol = scenario.parties.privacy, scenario.charter.protocol
    if isinstance(privacy, NoPrivacy) or not isinstance(protocol, Tormentor):
        return
    minimum = protocol.minimum_epsilon
    largest = max(privacy.epsilon_of(party) for party in admitted(scenario))
    if minimum is not None and largest < minimum:
        raise CharterError(
            f"is more than any party is willing to spend: the largest epsilon is {largest:g}",
            key="protocol.minimum_epsilon",
            value=minimum,
            hint="lower it, or raise [parties.privacy] epsilon",
        )


RULES = (
    _the_protocol_lets_parties_add_noise,
    _the_run_ends_when_budgets_are_spent,
    _somebody_may_join,
)
