"""Who attacks, whether an attack makes sense, and what it aims at."""

from __future__ import annotations

from collections.abc import Sequence

from troth.attacks.spec import Attack, LabelFlip
from troth.errors import CharterError
from troth.ids import PartyId
from troth.streams import Stream


def check_attack(spec: Attack, *, classes: int | None, parties: Sequence[PartyId]) -> None:
    """Refuses an attack that cannot be carried out here.

    `key` of the error is relative to the attack's table, as in `Table.check`.

    Args:
      spec: the attack.
      classes: the number of classes of the task; None for regression.
      parties: all parties of the scenario.

    Raises:
      CharterError: a named party does not exist, a label is not a class, or labels are flipped in a
        regression task.
    """
    spec.check()
    for name in spec.parties or ():
        if name not in parties:
            raise CharterError(
                f"names {name}, which is not a party",
                key="parties",
                value=spec.parties,
                hint=f"the parties are {parties[0]} to {parties[-1]}",
            )
    if isinstance(spec, LabelFlip):
        if classes is None:
            raise CharterError(
                "does not go with a regression task, which has no labels to flip",
                key="kind",
                value="label_flip",
                hint='use kind = "random_data", or an attack on updates',
            )
        for key in ("source", "target"):
            label = getattr(spec, key)
            if label is not None and label >= classes:
                raise CharterError(
                    f"is above {classes - 1}, the last of {classes} classes", key=key, value=label
                )


def choose_attackers(
    specs: Sequence[Attack], parties: Sequence[PartyId], stream: Stream
) -> dict[PartyId, Attack]:
    """Which parties attack, and how; no party carries out two attacks.

    Named parties come first; shares are then drawn from the parties left, in the order of the
    attacks. A share is of all parties, rounded down but at least one.

    Args:
      specs: the scenario's attacks.
      parties: all parties, by ascending id.
      stream: what draws; another seed gives other attackers.

    Returns:
      The attackers, by ascending id.

    Raises:
      CharterError: the attacks together need more parties than there are, or name one twice or one
      that
        does not exist.
    """
    chosen: dict[PartyId, Attack] = {}
    for place, spec in enumerate(specs):
        for name in spec.parties or ():
            party = next((party for party in parties if party == name), None)
            if party is None or party in chosen:
                problem = "is not a party" if party is None else "is already an attacker"
                raise CharterError(
                    f"names {name}, which {problem}",
                    key=f"attacks[{place}].parties",
                    value=spec.parties,
                )
            chosen[party] = spec
    left = [party for party in parties if party not in chosen]
    drawn = [left[index] for index in stream.generator().permutation(len(left))]
    for place, spec in enumerate(specs):
        if spec.fraction is None:
            continue
        wanted = attackers_wanted(spec.fraction, len(parties))
        if wanted > len(drawn):
            raise CharterError(
                f"asks for {wanted} attackers, and only {len(drawn)} of {len(parties)} parties are "
                "left for it",
                key=f"attacks[{place}].fraction",
                value=spec.fraction,
                hint="the attacks together may use each party once; lower a fraction",
            )
        for party in drawn[:wanted]:
            chosen[party] = spec
        del drawn[:wanted]
    return {party: chosen[party] for party in sorted(chosen)}


def attackers_wanted(fraction: float, parties: int) -> int:
    """`fraction` of `parties`, rounded down but at least one.

    >>> attackers_wanted(0.29, 100)
    29
    """
    # 0.29 * 100 is 28.999999999999996: a product within rounding of a whole number means that
    # number.
    return max(1, int(fraction * parties + 1e-9))


def target_of(specs: Sequence[Attack]) -> tuple[int, int] | None:
    """(source, target) of the first attack that has a target; None where none has.

    The attack rate is the share of source examples that the model takes for the target.
    """
    for spec in specs:
        if isinstance(spec, LabelFlip) and spec.source is not None and spec.target is not None:
            return spec.source, spec.target
    return None
