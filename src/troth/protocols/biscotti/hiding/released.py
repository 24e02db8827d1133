"""What a peer's releases have cost its privacy.

A peer releases twice in a round, and both have the noise that the charter asks for:

| release           | seen by   | noise on a coordinate                                            |
|-------------------|-----------|------------------------------------------------------------------|
| its masked update | verifiers | slots of h = `noise.enough` noisers, and its own ledger part     |
| a sum with it     | everybody | u - c ledger parts, u = `least_updates`, c = those corrupt       |

Which updates verifiers accept, and so the blocks, follows from masked updates. Whoever has both
releases of a round has the noise of `shared_variance`, since a part is in both. Sound as long as h
noisers of each honest update and u - c contributors of each sum tell nobody their noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import msgspec

from troth.crypto.fixed_point import FixedPoint
from troth.ids import PartyId
from troth.privacy.accounting import Spent, canonical, spent
from troth.privacy.distributed import shared_variance, sum_event
from troth.privacy.events import Event
from troth.privacy.ledger import Entry
from troth.protocols.biscotti.hiding.noising import sensitivity, sigmas_of
from troth.protocols.biscotti.parameters import (
    Biscotti,
    CalibratedMask,
    MaskedPrivacy,
    NoMask,
    PaperMask,
)
from troth.protocols.protocol import CharterTables
from troth.records import PartyPrivacy, ReleasePrivacy

DELTA = 1e-5
"""The delta at which epsilon is told where the charter gives none; that of the paper's table 1."""

VERIFIERS, PUBLIC = "verifiers", "public"
"""The two views: who sees masked updates, and who sees sums."""


@dataclass(frozen=True)
class RoundCosts:
    """What one round costs a peer whose update was seen, as events for the accountant."""

    masked: Event
    """The cost towards somebody who sees masked updates only."""
    opened: Event
    """The cost towards somebody who sees sums only."""
    both: Event
    """The cost towards somebody who sees both, and so which updates were accepted."""


def round_costs(charter_tables: CharterTables[Biscotti], *, dimension: int) -> RoundCosts:
    """What one round costs with the noise of this charter, for exchanging all data of a party.

    Args:
      dimension: D.

    Raises:
      CharterError: as `slot_sigma` and `ledger_sigma`.
    """
    protocol = charter_tables.parameters
    privacy: MaskedPrivacy = charter_tables.privacy
    fixed = FixedPoint(protocol.clip, protocol.fraction_bits)
    ledger = privacy.ledger_noise
    parts = 1 if ledger is None else protocol.fewest(0) - ledger.corrupt
    slot, part = sigmas_of(charter_tables, fixed, dimension)
    of_part, of_mask = (part or 0) ** 2, privacy.enough * (slot or 0) ** 2
    distance = sensitivity(fixed, dimension)
    return RoundCosts(
        masked=sum_event(of_part + of_mask, distance, "updates as they are"),
        opened=sum_event(parts * of_part, distance, "sums as they are"),
        both=sum_event(shared_variance(of_part, of_mask, parts), distance, "sums as they are"),
    )


def released_privacy(
    charter_tables: CharterTables[Biscotti],
    party: PartyId,
    *,
    dimension: int,
    masked: int,
    contributed: int,
) -> PartyPrivacy:
    """What the releases of `party` have cost its privacy.

    Epsilon is that of all releases together; None as soon as anything left without noise.
    `by_release` has masked updates and sums, each by itself.

    Args:
      dimension: D.
      masked: rounds in which verifiers were sent a masked update of the party.
      contributed: of these, the rounds in which a sum with it was opened.
    """
    privacy: MaskedPrivacy = charter_tables.privacy
    mask, ledger = privacy.mask, privacy.ledger_noise
    if isinstance(mask, NoMask) and ledger is None:
        return PartyPrivacy(party=party, mechanism="none")
    costs = round_costs(charter_tables, dimension=dimension)
    of_mask = mask.delta if isinstance(mask, PaperMask | CalibratedMask) else DELTA
    of_ledger = of_mask if ledger is None else ledger.delta
    entries = [
        entry
        for entry in (
            Entry(costs.masked, (VERIFIERS,), masked - contributed),
            Entry(costs.both, (PUBLIC, VERIFIERS), contributed),
        )
        if entry.times > 0
    ]
    total = _spent(entries, of_ledger)
    return PartyPrivacy(
        party=party,
        mechanism=f"{mask.__struct_config__.tag} mask" + (" and ledger noise" if ledger else ""),
        unit="party",
        adjacency="replace_one",
        delta=total.delta,
        epsilon=_bounded(total.epsilon),
        pld=total.pld,
        rdp=_bounded(total.rdp),
        releases=masked,
        views=sorted({view for entry in entries for view in entry.views}),
        entries=msgspec.to_builtins(entries),
        by_release=[
            _release(
                "masked updates",
                Entry(costs.masked, (VERIFIERS,), masked),
                of_mask,
                paper=mask.epsilon if isinstance(mask, PaperMask) else None,
                budget=mask.epsilon if isinstance(mask, CalibratedMask) else None,
            ),
            _release(
                "sums on the ledger",
                Entry(costs.opened, (PUBLIC,), contributed),
                of_ledger,
                budget=None if ledger is None else ledger.epsilon,
            ),
        ],
    )


def _release(
    what: str,
    entry: Entry,
    delta: float,
    *,
    paper: float | None = None,
    budget: float | None = None,
) -> ReleasePrivacy:
    found = _spent([entry], delta)
    return ReleasePrivacy(
        what=what,
        views=list(entry.views),
        releases=entry.times,
        paper=paper,
        delta=delta,
        epsilon=_bounded(found.epsilon),
        pld=found.pld,
        rdp=_bounded(found.rdp),
        budget=budget,
    )


def _spent(entries: Sequence[Entry], delta: float) -> Spent:
    return spent(canonical((entry.event, entry.times) for entry in entries), delta, "replace_one")


def _bounded(epsilon: float) -> float | None:
    return epsilon if isfinite(epsilon) else None
