"""What a list of events comes to: (epsilon, delta) after composition.

Two accountants of dp_accounting count everything, and both give upper bounds:

- PLD, privacy loss distributions (Koskela et al. 2020; Doroshenko et al. 2022), tight for Gaussian,
  Laplace and Poisson-sampled Gaussian events. It cannot count `ConcentratedEvent`, nor Laplace
  together with sampled events under `replace_one`.
- RDP, Renyi divergences (Mironov 2017), looser. Under `replace_one` sampling earns nothing here:
  the release counts as one from all records, which is an upper bound too.

Epsilon is the smaller of the two, and both are reported: they share no mathematics, so that one
far off the other means that a number cannot be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from troth.errors import LocalError
from troth.privacy.events import (
    ConcentratedEvent,
    Event,
    GaussianEvent,
    LaplaceEvent,
    NonPrivateEvent,
    SampledEvent,
    dp_event,
)
from troth.privacy.spec import Adjacency

if TYPE_CHECKING:
    from dp_accounting.dp_event import DpEvent

Counted = tuple[tuple[Event, int], ...]
"""Events, each with how many times it happened, in canonical order."""

MAX_TIMES = 10_000_000
"""More releases than this are refused."""

_WHOLE_ORDERS = (*range(2, 65), *range(80, 257, 16), 512, 1024)
_FINEST = 1e-4
"""PLD rounds privacy losses up to multiples of this, or of more where losses are large."""
_MOST_STEPS = 200_000
"""Multiples up to a large loss. It bounds the time where so much is spent that no digit matters."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Privacy that has been spent: (epsilon, delta)-DP holds, if the noise was what it should be.

    Infinite where something left without noise.
    """

    epsilon: float
    delta: float
    pld: float | None
    """Epsilon by privacy loss distributions; None where these were not, or could not be, used."""
    rdp: float
    """Epsilon by Renyi divergences."""


def canonical(counted: Iterable[tuple[Event, int]]) -> Counted:
    """Equal events together, in an order that does not depend on when they happened."""
    times: dict[Event, int] = {}
    for event, count in counted:
        times[event] = times.get(event, 0) + count
    return tuple(
        sorted(
            ((event, count) for event, count in times.items() if count),
            key=lambda entry: msgspec.json.encode(entry[0]),
        )
    )


def spent(events: Mapping[Event, int] | Counted, delta: float, adjacency: Adjacency) -> Spent:
    """What `events` come to together, however they followed and whatever each was chosen upon.

    Composition is adaptive: a mechanism's clipping bound and noise must be fixed beforehand, its
    input may depend on all earlier releases.

    Args:
      events: with how many times each happened.
      delta: the delta at which epsilon is asked for.
      adjacency: which neighbours the events were measured between.

    Raises:
      LocalError: `delta` is outside (0, 1), or a count outside 0 to `MAX_TIMES`.
    """
    pairs = tuple(events.items()) if isinstance(events, Mapping) else events
    if not 0 < delta < 1:
        raise LocalError(f"delta={delta} is outside (0, 1)")
    for event, count in pairs:
        if not 0 <= count <= MAX_TIMES:
            raise LocalError(f"times={count} of {event} is outside 0..{MAX_TIMES}")
    return _spent(canonical(pairs), delta, adjacency)


@lru_cache(maxsize=4096)
def _spent(events: Counted, delta: float, adjacency: Adjacency) -> Spent:
    if not events:
        return Spent(epsilon=0.0, delta=delta, pld=0.0, rdp=0.0)
    if any(isinstance(event, NonPrivateEvent) for event, _ in events):
        return Spent(epsilon=math.inf, delta=delta, pld=None, rdp=math.inf)
    rdp = rdp_epsilon(events, delta, adjacency)
    pld = None
    if _pld_supports(events, adjacency):
        pld = _pld_epsilon(events, delta, adjacency, rdp)
    epsilon = rdp if pld is None else min(rdp, pld)
    return Spent(epsilon=epsilon, delta=delta, pld=pld, rdp=rdp)


def rdp_epsilon(events: Counted, delta: float, adjacency: Adjacency) -> float:
    """Epsilon by Renyi divergences alone, which takes milliseconds."""
    from dp_accounting.rdp import RdpAccountant  # slow: loads scipy.stats

    # Of fractional orders some do not converge for sampled events, which is logged each time.
    accountant = RdpAccountant(_WHOLE_ORDERS if _any(events, SampledEvent) else None)
    for event, times in events:
        accountant.compose(_for_rdp(event, adjacency), times)
    return float(accountant.get_epsilon(delta))


def _for_rdp(event: Event, adjacency: Adjacency) -> DpEvent:
    if isinstance(event, SampledEvent) and adjacency == "replace_one":
        # An exchanged record moves the sum by 2 C. Sampling never costs anything: the divergence
        # is jointly convex, and a lot without the record is the same for both neighbours.
        return dp_event(GaussianEvent(event.noise_multiplier / 2.0))
    return dp_event(event)


def _any(events: Counted, kind: type[Event]) -> bool:
    return any(isinstance(event, kind) for event, _ in events)


def _pld_supports(events: Counted, adjacency: Adjacency) -> bool:
    if _any(events, ConcentratedEvent):
        return False
    mixed = _any(events, LaplaceEvent) and _any(events, SampledEvent)
    return not (mixed and adjacency == "replace_one")


def _pld_epsilon(events: Counted, delta: float, adjacency: Adjacency, rdp: float) -> float:
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import PLDAccountant  # slow: loads scipy.signal

    exchanged = adjacency == "replace_one" and _any(events, SampledEvent)
    largest = max(_largest_loss(event) for event, _ in events)
    if not exchanged:
        # Otherwise RDP says too little of what sampling saves to set a scale by.
        largest = max(largest, rdp)
    accountant = PLDAccountant(
        NeighboringRelation.REPLACE_ONE if exchanged else NeighboringRelation.ADD_OR_REMOVE_ONE,
        max(_FINEST, largest / _MOST_STEPS),
    )
    for event, times in events:
        if exchanged and isinstance(event, GaussianEvent):
            # Its multiplier is over the distance between neighbours; dp_accounting takes it to be
            # over the bound on one record, and halves it.
            event = GaussianEvent(2.0 * event.noise_multiplier)
        accountant.compose(dp_event(event), times)
    return float(accountant.get_epsilon(delta))


def _largest_loss(event: Event) -> float:
    """About the largest privacy loss that one event has with a probability worth counting."""
    if isinstance(event, GaussianEvent | SampledEvent):
        z = event.noise_multiplier
        return 2.0 / z**2 + 16.0 / z
    assert isinstance(event, LaplaceEvent)
    return 1.0 / event.noise_multiplier


def bears(
    event: Event, times: int, others: Counted, epsilon: float, delta: float, adjacency: Adjacency
) -> bool:
    """Whether `times` of `event` beside `others` keep within `epsilon`.

    Answered for the next power of two first, so that a ledger that is charged again and again asks
    the accountant a few times, and not every time.
    """
    power = 1 << (times - 1).bit_length()
    within = spent((*others, (event, min(power, MAX_TIMES))), delta, adjacency).epsilon <= epsilon
    return within or times <= _most_below(event, power, others, epsilon, delta, adjacency)


def most_times(
    event: Event, others: Counted, epsilon: float, delta: float, adjacency: Adjacency
) -> int:
    """How often `event` can happen beside `others` before `epsilon` is exceeded; at most
    `MAX_TIMES`."""
    power = 1
    while power <= MAX_TIMES and bears(event, power, others, epsilon, delta, adjacency):
        power *= 2
    if power > MAX_TIMES:
        return MAX_TIMES
    return _most_below(event, power, others, epsilon, delta, adjacency)


@lru_cache(maxsize=4096)
def _most_below(
    event: Event, beyond: int, others: Counted, epsilon: float, delta: float, adjacency: Adjacency
) -> int:
    known, beyond = 0, min(beyond, MAX_TIMES)
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if spent((*others, (event, middle)), delta, adjacency).epsilon <= epsilon:
            known = middle
        else:
            beyond = middle
    return known


def smallest_noise_multiplier(
    event_of: Callable[[float], Event],
    times: int,
    epsilon: float,
    delta: float,
    adjacency: Adjacency,
) -> float:
    """The smallest z, within 0.1 % and never below it, for which `times` events fit the budget.

    Args:
      event_of: the event at noise multiplier z; more noise must never cost more.

    Raises:
      LocalError: even z = 2^20 is not enough.
    """

    def fits_by_rdp(z: float) -> bool:
        return rdp_epsilon(((event_of(z), times),), delta, adjacency) <= epsilon

    def fits(z: float) -> bool:
        return spent(((event_of(z), times),), delta, adjacency).epsilon <= epsilon

    # RDP is quick and never says too little, so it gives a bracket from above.
    upper = 1.0
    while not fits_by_rdp(upper):
        upper *= 2.0
        if upper > 2.0**20:
            raise LocalError(
                f"epsilon={epsilon} cannot be kept over {times} releases at delta={delta}",
                hint="raise epsilon or delta, or train for fewer rounds",
            )
    lower = upper / 2.0
    while fits_by_rdp(lower):
        lower, upper = lower / 2.0, lower
    upper = _bisect(fits_by_rdp, lower, upper, 1.01)
    step = 0.9
    while fits(lower := upper * step):
        upper, step = lower, step * step
    return _bisect(fits, lower, upper, 1.001)


def _bisect(fits: Callable[[float], bool], lower: float, upper: float, ratio: float) -> float:
    """A z that fits, at most `ratio` above the least; `upper` fits and `lower` does not."""
    while upper > lower * ratio:
        middle = math.sqrt(lower * upper)
        lower, upper = (lower, middle) if fits(middle) else (middle, upper)
    return upper
