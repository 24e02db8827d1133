"""Who takes part: counts, and names that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from troth.charter.keys import Key, dotted
from troth.charter.rules.common import admitted, coordinators, parties_are_nodes, party_names
from troth.charter.scenario import Scenario
from troth.errors import CharterError
from troth.privacy.spec import NoPrivacy
from troth.protocols.federated.parameters import Federated, asked
from troth.robustness.spec import Mean


def _named_nodes(scenario: Scenario) -> Iterator[tuple[Key, str]]:
    """Where the file names a node that need not be a party, and which."""
    for index, crash in enumerate(scenario.faults.crashes):
        yield ("faults", "crashes", index, "node"), crash.node
    for index, partition in enumerate(scenario.network.partitions):
        for group_index, group in enumerate(partition.groups):
            for position, node in enumerate(group):
                yield ("network", "partitions", index, "groups", group_index, position), node


def _named_participants(scenario: Scenario) -> Iterator[tuple[Key, str]]:
    """Where the file names a party that takes part, and which."""
    for index, absence in enumerate(scenario.churn.absences):
        yield ("churn", "absences", index, "party"), absence.party
    for name in scenario.network.latency_of:
        yield ("network", "latency_of", name), name
    privacy = scenario.parties.privacy
    if not isinstance(privacy, NoPrivacy):
        for name in privacy.own_epsilon:
            yield ("parties", "privacy", "own_epsilon", name), name


def _names_exist(scenario: Scenario) -> None:
    allow = scenario.charter.admission.allow
    _check_names(
        ((("admission", "allow", index), name) for index, name in enumerate(allow)),
        party_names(scenario),
    )
    participants = admitted(scenario)
    _check_names(_named_participants(scenario), participants)
    nodes = participants if parties_are_nodes(scenario.charter) else []
    _check_names(_named_nodes(scenario), nodes, others=coordinators(scenario.charter))


def _check_names(
    named: Iterable[tuple[Key, str]], parties: Sequence[str], *, others: Sequence[str] = ()
) -> None:
    known = {*parties, *others}
    for key, name in named:
        if name not in known:
            # All of them, or the first and the last.
            shown = [f"{parties[0]} to {parties[-1]}"] if len(parties) > 3 else [*parties]
            shown += others
            raise CharterError(
                f"is not in this run, which has {', '.join(shown)}",
                key=dotted(key),
                # The name may be the last part of the key already.
                value=... if key[-1] == name else name,
                hint="names count from 0, with as many digits as the last party's",
            )


def _names_are_said_once(scenario: Scenario) -> None:
    lists: list[tuple[Key, list[str]]] = [
        (("admission", "allow"), scenario.charter.admission.allow)
    ]
    for index, partition in enumerate(scenario.network.partitions):
        members = [node for group in partition.groups for node in group]
        lists.append((("network", "partitions", index, "groups"), members))
    for key, names in lists:
        for position, name in enumerate(names):
            if name in names[:position]:
                raise CharterError(
                    f"names {name} twice", key=dotted(key), hint="name each node once"
                )


def _somebody_is_asked(scenario: Scenario) -> None:
    protocol, count = scenario.charter.protocol, len(admitted(scenario))
    if isinstance(protocol, Federated) and protocol.participation * count < 1:
        raise CharterError(
            f"of {count} parties is less than one party",
            key="protocol.participation",
            value=protocol.participation,
            hint=f"raise it to at least {1 / count:g}, or raise parties.count",
        )


def _enough_can_answer(scenario: Scenario) -> None:
    protocol, count = scenario.charter.protocol, len(admitted(scenario))
    if not isinstance(protocol, Federated) or protocol.at_least is None:
        return
    most = asked(protocol, count)
    if protocol.at_least > most:
        raise CharterError(
            f"is more than the {most} parties asked in a round",
            key="protocol.at_least",
            value=protocol.at_least,
            hint="lower at_least, or raise protocol.participation or parties.count",
        )


def _rule_works_with_so_many(scenario: Scenario) -> None:
    protocol, count = scenario.charter.protocol, len(admitted(scenario))
    if not isinstance(protocol, Federated):
        return
    # Imported here: it comes with numerical code, and `troth --help` reads this module.
    from troth.robustness.bounds import check_aggregation

    prefix = "protocol.aggregation"
    most = asked(protocol, count)
    try:
        check_aggregation(protocol.aggregation, most, prefix)
    except CharterError as error:
        raise CharterError(
            f"{error.problem} (parties asked in a round: {most})",
            key=error.key or prefix,
            value=... if error.key is None or error.value is None else error.value,
            hint=error.hint,
        ) from None
    least = protocol.at_least or (1 if protocol.deadline_s is not None else most)
    if least == most or isinstance(protocol.aggregation, Mean):
        return
    try:
        check_aggregation(protocol.aggregation, least, prefix)
    except CharterError as error:
        why = "" if protocol.at_least else ": absent, it is 1 where there is a deadline"
        raise CharterError(
            f"lets a round end with {least} of {most} updates, too few for the rule{why}; "
            f"{error.key or prefix} {error.problem}",
            key="protocol.at_least",
            value=... if protocol.at_least is None else protocol.at_least,
            hint="raise at_least until the rule works with that many updates",
        ) from None


RULES = (
    _names_exist,
    _names_are_said_once,
    _somebody_is_asked,
    _enough_can_answer,
    _rule_works_with_so_many,
)
