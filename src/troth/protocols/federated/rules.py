"""What a charter with `federated` must hold beyond single keys."""

from __future__ import annotations

from troth.errors import CharterError
from troth.protocols.federated.parameters import Federated
from troth.protocols.protocol import CharterTables, Circumstances
from troth.robustness.spec import Mean


def somebody_is_asked(
    charter_tables: CharterTables[Federated], circumstances: Circumstances
) -> None:
    """Refuse a share of the parties that is less than one party.

    Raises:
      CharterError: `participation` times the number of parties is below 1.
    """
    protocol = charter_tables.parameters
    count = len(circumstances.parties)
    if protocol.participation * count < 1:
        raise CharterError(
            f"of {count} parties is less than one party",
            key="protocol.participation",
            value=protocol.participation,
            hint=f"raise it to at least {1 / count:g}, or raise parties.count",
        )


def enough_can_answer(
    charter_tables: CharterTables[Federated], circumstances: Circumstances
) -> None:
    """Refuse to wait for more updates than there are parties asked.

    Raises:
      CharterError: `at_least` is above the number of parties asked in a round.
    """
    protocol = charter_tables.parameters
    most = protocol.asked(len(circumstances.parties))
    if protocol.at_least is not None and protocol.at_least > most:
        raise CharterError(
            f"is more than the {most} parties asked in a round",
            key="protocol.at_least",
            value=protocol.at_least,
            hint="lower at_least, or raise protocol.participation or parties.count",
        )


def rule_works_with_so_many(
    charter_tables: CharterTables[Federated], circumstances: Circumstances
) -> None:
    """Refuse an aggregation rule that needs more updates than a round may end with.

    Raises:
      CharterError: the rule does not work with all parties that are asked, or not with the fewest
        updates that end a round.
    """
    protocol = charter_tables.parameters
    # Imported here: it comes with numerical code, and `troth --help` reads this module.
    from troth.robustness.bounds import check_aggregation

    prefix = "protocol.aggregation"
    most = protocol.asked(len(circumstances.parties))
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
