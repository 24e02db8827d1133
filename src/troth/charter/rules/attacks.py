"""Attacks that somebody carries out, and that reach something."""

from __future__ import annotations

from troth.attacks.registry import own_attacks
from troth.attacks.spec import RandomData, UpdateAttack
from troth.charter.rules.common import attackers, classes, party_names
from troth.charter.scenario import Scenario
from troth.errors import CharterError
from troth.protocols.lookup import protocol_of
from troth.specification import tag

_ANY_LABEL = 2**63


def _attackers_are_parties(scenario: Scenario) -> None:
    count, total = scenario.parties.count, 0
    taken: dict[str, int] = {}
    for index, attack in enumerate(scenario.attacks):
        for party in attack.parties or ():
            if party in taken:
                raise CharterError(
                    f"names {party}, which attacks[{taken[party]}] names already",
                    key=f"attacks[{index}].parties",
                    hint="a party carries out one attack",
                )
            taken[party] = index
        total += attackers(attack, count)
        if total > count:
            key = "fraction" if attack.parties is None else "parties"
            raise CharterError(
                f"brings the attackers to {total}, more than parties.count = {count}",
                key=f"attacks[{index}].{key}",
                value=getattr(attack, key),
                hint="lower fraction, or name fewer parties",
            )


def _attackers_are_admitted(scenario: Scenario) -> None:
    admission = scenario.charter.admission
    if admission.policy != "allow_list":
        return
    for index, attack in enumerate(scenario.attacks):
        for position, party in enumerate(attack.parties or ()):
            if party not in admission.allow:
                raise CharterError(
                    "has no effect: admission.allow keeps this party out",
                    key=f"attacks[{index}].parties[{position}]",
                    value=party,
                    hint="attack with a party that is admitted",
                )


def _attack_has_something_to_attack(scenario: Scenario) -> None:
    """Without messages there is no update to poison; data can be poisoned everywhere."""
    if protocol_of(scenario.charter.protocol).sends_messages:
        return
    for index, attack in enumerate(scenario.attacks):
        if isinstance(attack, UpdateAttack):
            name = tag(scenario.charter.protocol)
            raise CharterError(
                f'has no effect: with protocol = "{name}" no party sends an update',
                key=f"attacks[{index}].kind",
                value=tag(attack),
                hint='poison data instead (kind = "label_flip" or "random_data"), '
                "or take another protocol",
            )


def _attacks_can_be_carried_out(scenario: Scenario) -> None:
    # Imported here: it comes with numerical code, and `troth --help` reads this module.
    from troth.attacks.choice import check_attack

    parties = party_names(scenario)
    regression = scenario.charter.task.kind == "regression"
    known = None if regression else classes(scenario.charter)
    for index, attack in enumerate(scenario.attacks):
        # Where only loading tells how many classes there are, any label may be one.
        limit = known if regression or known is not None else _ANY_LABEL
        try:
            check_attack(attack, classes=limit, parties=parties)
        except CharterError as error:
            raise _in_table(error, index) from None


def _noise_covers_something(scenario: Scenario) -> None:
    for index, attack in enumerate(scenario.attacks):
        if isinstance(attack, RandomData) and attack.portion == 0:
            raise CharterError(
                "leaves all data as they are",
                key=f"attacks[{index}].portion",
                value=attack.portion,
                hint="raise it, or remove the attack",
            )


def _attack_is_for_this_protocol(scenario: Scenario) -> None:
    protocol = scenario.charter.protocol
    for index, attack in enumerate(scenario.attacks):
        own = own_attacks(attack)
        if own is None:
            continue
        if not isinstance(protocol, own.parameters):
            raise CharterError(
                f'has no effect: with protocol = "{tag(protocol)}" {own.idle}',
                key=f"attacks[{index}].kind",
                value=tag(attack),
                hint=f'{own.instead}, or protocol = "{own.parameters.__struct_config__.tag}"',
            )
        try:
            own.check(attack, scenario.charter.charter_tables)
        except CharterError as error:
            raise _in_table(error, index) from None


def _in_table(error: CharterError, index: int) -> CharterError:
    """The error with a key that is relative to the whole scenario."""
    key = f"attacks[{index}].{error.key}"
    return CharterError(error.problem, key=key, value=error.value, hint=error.hint)


RULES = (
    _attackers_are_parties,
    _attackers_are_admitted,
    _attack_has_something_to_attack,
    _attacks_can_be_carried_out,
    _noise_covers_something,
    _attack_is_for_this_protocol,
)
