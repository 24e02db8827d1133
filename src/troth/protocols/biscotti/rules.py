"""What a scenario with `biscotti` must hold beyond single keys: its peers suffice for committees,
noisers and sums."""

from __future__ import annotations

from troth.errors import CharterError
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy
from troth.protocols.protocol import CharterTables, Circumstances
from troth.robustness.spec import Krum, MultiKrum


def check_peers(charter_tables: CharterTables[Biscotti], count: int) -> None:
    """Refuse a ledger that cannot work with so many peers.

    Args:
      count: how many peers there are.

    Raises:
      CharterError: says which number they do not suffice for.
    """
    protocol = charter_tables.parameters
    _seats_are_filled(protocol, charter_tables.privacy, count)
    _sums_are_opened(protocol, count)
    _rule_works_with_those_drawn(protocol, count)


def ledger_noise_is_shared_among_a_number(charter_tables: CharterTables[Biscotti]) -> None:
    """Refuse noise in the sums where the charter does not say among how many it is shared."""
    protocol, privacy = charter_tables.parameters, charter_tables.privacy
    if privacy.ledger_noise is not None and protocol.least_updates is None:
        raise CharterError(
            "is missing, and privacy.ledger_noise is shared among so many",
            key="protocol.least_updates",
            hint="say how many updates a sum has at least",
        )


def ledger_has_peers(charter_tables: CharterTables[Biscotti], circumstances: Circumstances) -> None:
    """Refuse a ledger that cannot work with so many parties.

    Raises:
      CharterError: as `check_peers`.
    """
    check_peers(charter_tables, len(circumstances.parties))


def stake_draws_committees(charter_tables: CharterTables[Biscotti], _: Circumstances) -> None:
    """Refuse peers without stake, which every lottery draws by.

    Raises:
      CharterError: `stake.initial` is 0.
    """
    if charter_tables.parameters.stake.initial == 0:
        raise CharterError(
            "leaves nobody to draw committees from",
            key="protocol.stake.initial",
            value=0,
            hint="give at least 1",
        )


def _seats_are_filled(protocol: Biscotti, privacy: MaskedPrivacy, count: int) -> None:
    # Imported here and below: these come with numerical code, and `troth --help` reads this module.
    from troth.protocols.biscotti.ledger.block import MAX_PEERS

    if count > MAX_PEERS:
        raise CharterError(
            f"are more than the {MAX_PEERS} peers of a ledger",
            key="parties.count",
            value=count,
            hint="lower it",
        )
    fewest = protocol.fewest(0)
    least = protocol.verifiers + protocol.aggregators + fewest
    if count < least:
        raise CharterError(
            f"are fewer parties than a round takes, {least}: {protocol.verifiers} verifiers, "
            f"{protocol.aggregators} aggregators and least_updates = {fewest} "
            "contributors",
            key="parties.count",
            value=count,
            hint="have more parties, or make committees smaller",
        )
    if privacy.noisers >= count:
        raise CharterError(
            f"is not below {count}, the peers, of whom each draws others",
            key="privacy.noisers",
            value=privacy.noisers,
            hint="lower it, or have more parties",
        )


def _sums_are_opened(protocol: Biscotti, count: int) -> None:
    """Refuse a ledger in which fewer peers are drawn to contribute, or fewer updates accepted, than
    the smallest sum has."""
    drawn = protocol.contributors_drawn(count)
    fewest = protocol.fewest(drawn)
    if drawn < fewest:
        raise CharterError(
            f"draws {drawn} contributors a round, fewer than least_updates = {fewest}",
            key="protocol.sampled",
            value=protocol.sampled,
            hint="raise it, or have more parties",
        )
    rule = protocol.aggregation
    accepted, key = drawn, "rule"
    if isinstance(rule, Krum) and rule.pre == "none":
        accepted = 1
    elif isinstance(rule, MultiKrum) and rule.pre == "none" and rule.selected is not None:
        accepted, key = rule.selected, "selected"
    if accepted < fewest:
        raise CharterError(
            f"accepts {accepted} of a round's updates, and no sum of fewer than least_updates = "
            f"{fewest} is opened",
            key=f"protocol.aggregation.{key}",
            value="krum" if key == "rule" else accepted,
            hint='choose rule = "multi_krum", and selected large enough or not at all',
        )


def _rule_works_with_those_drawn(protocol: Biscotti, count: int) -> None:
    from troth.robustness.bounds import check_aggregation

    drawn, prefix = protocol.contributors_drawn(count), "protocol.aggregation"
    try:
        check_aggregation(protocol.aggregation, drawn, prefix)
    except CharterError as error:
        raise CharterError(
            f"{error.problem} (contributors drawn in a round: {drawn})",
            key=error.key or prefix,
            value=... if error.key is None or error.value is None else error.value,
            hint=error.hint,
        ) from None
