"""What a protocol asks of a charter and a scenario, and which tables mean nothing to it."""

from __future__ import annotations

from troth.charter.charter import Charter
from troth.charter.rules.common import admitted
from troth.charter.scenario import Scenario
from troth.charter.words import listing
from troth.charter.world import Cryptography, Puzzles
from troth.errors import CharterError
from troth.privacy.spec import NoPrivacy
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Circumstances
from troth.protocols.registry import PROTOCOLS
from troth.specification import tag


def _protocol_takes_the_training(charter: Charter) -> None:
    for rule in protocol_of(charter.protocol).charter_rules:
        rule(charter.charter_tables)


def _protocol_works_with_these_parties(scenario: Scenario) -> None:
    charter = scenario.charter
    circumstances = Circumstances(
        parties=tuple(admitted(scenario)),
        own_privacy=scenario.parties.privacy,
    )
    for rule in protocol_of(charter.protocol).rules:
        rule(charter.charter_tables, circumstances)


def _tables_mean_something(scenario: Scenario) -> None:
    protocol = protocol_of(scenario.charter.protocol)
    for key, untouched, problem in (
        ("puzzles", Puzzles(), f'protocol = "{protocol.name}" has no puzzles'),
        ("cryptography", Cryptography(), "the protocol makes no commitments"),
    ):
        if getattr(scenario, key) != untouched and key not in protocol.scenario_tables:
            others = [each.name for each in PROTOCOLS if key in each.scenario_tables]
            raise CharterError(
                f"has no effect: {problem}", key=key, hint=f"remove it, or set {_any_of(others)}"
            )


def _protocol_knows_the_noise(charter: Charter) -> None:
    protocol, privacy = protocol_of(charter.protocol), charter.privacy
    if type(privacy) in protocol.privacy:
        return
    raise CharterError(
        f'does not go with protocol = "{protocol.name}"',
        key="privacy.mechanism",
        value=tag(privacy),
        hint=listing(tag(privacy), [tag(each) for each in protocol.privacy], what="it takes"),
    )


def _protocol_lets_parties_add_noise(scenario: Scenario) -> None:
    privacy, protocol = scenario.parties.privacy, protocol_of(scenario.charter.protocol)
    if isinstance(privacy, NoPrivacy) or protocol.own_privacy is None:
        return
    why, hint = protocol.own_privacy
    others = [each.name for each in PROTOCOLS if each.own_privacy is None]
    raise CharterError(
        f'does not go with protocol = "{protocol.name}", {why}',
        key="parties.privacy.mechanism",
        value=tag(privacy),
        hint=hint or f"set {_any_of(others)}, or remove [parties.privacy]",
    )


def _any_of(names: list[str]) -> str:
    """`protocol = "NAME"`, of each name."""
    return "protocol = " + " or ".join(f'"{name}"' for name in names)


CHARTER_RULES = (_protocol_knows_the_noise, _protocol_takes_the_training)
RULES = (
    _protocol_works_with_these_parties,
    _tables_mean_something,
    _protocol_lets_parties_add_noise,
)
