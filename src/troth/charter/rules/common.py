"""What several rules ask of a scenario."""

from __future__ import annotations

from troth.attacks.spec import Attack
from troth.charter.charter import Charter
from troth.charter.scenario import Scenario
from troth.data.known import KNOWN, KnownSet
from troth.data.spec import FileData, NamedData
from troth.ids import PartyId, party_id


def party_names(scenario: Scenario) -> list[PartyId]:
    """The names of all parties, in order."""
    count = scenario.parties.count
    return [party_id(index, count) for index in range(count)]


def admitted(scenario: Scenario) -> list[PartyId]:
    """The parties that may take part; fewer do where data turn out to be scarce."""
    admission, names = scenario.charter.admission, party_names(scenario)
    if admission.policy == "open":
        return names
    return [name for name in names if name in admission.allow]


def attackers(attack: Attack, count: int) -> int:
    """How many parties of `count` an attack takes."""
    if attack.parties is not None:
        return len(attack.parties)
    assert attack.fraction is not None
    # Imported here: it comes with numerical code, and `troth --help` reads this module.
    from troth.attacks.choice import attackers_wanted

    return attackers_wanted(attack.fraction, count)


def facts(charter: Charter) -> KnownSet | None:
    """What is known of the data without loading them."""
    data = charter.task.data
    return KNOWN[data.name] if isinstance(data, NamedData) else None


def classes(charter: Charter) -> int | None:
    """C, where the charter tells."""
    data = charter.task.data
    known = facts(charter)
    if known is not None:
        return known.classes
    if isinstance(data, FileData):
        given = data.schema.classes
        return len(given) if isinstance(given, list) else given
    return None


def training_rows(charter: Charter) -> int | None:
    """Training rows of a named data set; None where only loading tells."""
    known = facts(charter)
    if known is None:
        return None
    data = charter.task.data
    assert isinstance(data, NamedData)
    return known.train_rows if data.rows is None else min(data.rows, known.train_rows)
