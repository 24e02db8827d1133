"""Who takes part: counts, and names that exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from troth.charter.keys import Key, dotted
from troth.charter.rules.common import admitted, party_names
from troth.charter.scenario import Scenario
from troth.errors import CharterError
from troth.privacy.spec import NoPrivacy
from troth.protocols.lookup import protocol_of


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
    protocol = protocol_of(scenario.charter.protocol)
    nodes = participants if protocol.parties_are_nodes else []
    _check_names(_named_nodes(scenario), nodes, others=protocol.coordinators)


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


RULES = (_names_exist, _names_are_said_once)
