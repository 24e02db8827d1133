"""How likely it is that a lottery gives an adversary more seats than the protocol withstands.

Where all peers hold the same stake the numbers are exact: hypergeometric, in whole numbers.

Otherwise they are upper bounds, for every set of peers whose stake is at most the adversary's
share. Drawing peers in turn by stake is a race: peer i arrives after an exponential time of rate
w_i, and the first n to arrive are drawn. So the adversary has at least k of n seats exactly if its
k-th arrival comes before the (n-k+1)-th of the others, and these two times are independent. Both
make the worst of it if the adversary holds the smallest peers, the last of them in part (Pledger &
Proschan 1971: the more equal the rates of exponential times with one sum, the sooner each order
statistic). The probability that one time is before the other is an integral in one variable, summed
here over short intervals so that each summand is too large.

What none of this covers: an adversary that can choose among several seeds. If it sees S of them in
a round, its chance in that round is up to S times as large. Nor one that corrupts peers after it
has seen the committees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from math import comb, expm1, log1p

import numpy as np

from troth.errors import RoundFailedError
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.wire import Float64s

Stakes = list[Fraction]

_TIMES = 4096
"""Intervals of the integral; with them its bound is a few per cent above its value."""


@dataclass(frozen=True)
class CommitteeSizes:
    """How many are drawn, and how many of them may be adversarial.

    Args:
      noisers: of one contributor.
      verifiers: of whom more than half must accept an update.
      aggregators: m.
      tolerated: t, how many aggregators learn nothing by putting together what they hold.
      quorum: tau, how many aggregators are needed to open a sum.
    """

    noisers: int
    verifiers: int
    aggregators: int
    tolerated: int
    quorum: int

    @property
    def majority(self) -> int:
        """How many verifiers have to accept an update."""
        return self.verifiers // 2 + 1


@dataclass(frozen=True)
class FailureProbabilities:
    """How likely each property is to fail, in one round or in at least one of several."""

    privacy: float
    """More than t aggregators are adversarial: they can read every update."""
    integrity: float
    """A majority of the verifiers is adversarial: it can accept what it likes."""
    liveness: float
    """So many are adversarial that a round fails if they do nothing. Honest peers that are away
    come on top."""
    unmasking: float
    """Of one honest contributor: all its noisers are adversarial, and a verifier, who sees its
    masked update, is too."""

    def over(self, rounds: int) -> FailureProbabilities:
        """The probabilities that it happens in at least one of so many rounds, each with a fresh
        seed."""
        return FailureProbabilities(
            *(
                1.0 if value == 1.0 else -expm1(rounds * log1p(-value))
                for value in (getattr(self, field.name) for field in fields(self))
            )
        )


def failure_probabilities(
    table: StakeTable, sizes: CommitteeSizes, *, adversarial_share: float
) -> FailureProbabilities:
    """How likely each property fails in one round, with committees from `biscotti.ledger.lottery`.

    Args:
      adversarial_share: the most of all stake that adversarial peers hold; at 0.3, peers that hold
      up to 30 % are adversarial.

    Raises:
      RoundFailedError: there are fewer peers with stake than seats.
    """
    seats = sizes.verifiers + sizes.aggregators
    stakes = sorted(Fraction(amount) for amount in table.stake if amount)
    if len(stakes) < max(seats, sizes.noisers + 1):
        raise RoundFailedError(
            f"there are {len(stakes)} peers with stake for {seats} seats of committees "
            f"and {sizes.noisers} noisers",
            hint="let more peers take part, or make committees smaller",
        )
    adversarial, honest = _worst_division(stakes, adversarial_share)
    at_least = _seats_at_least(adversarial, honest, seats)
    # The contributor draws its noisers among all others. It is honest; the worst is if it is large.
    noisers_at_least = _seats_at_least(adversarial, honest[:-1], sizes.noisers)

    def probability(fails: Callable[[int, int], bool]) -> float:
        return _expected(at_least, lambda taken: _split(fails, taken, sizes))

    return FailureProbabilities(
        privacy=probability(lambda _, aggregators: aggregators > sizes.tolerated),
        integrity=probability(lambda verifiers, _: verifiers >= sizes.majority),
        liveness=probability(
            lambda verifiers, aggregators: (
                aggregators > sizes.aggregators - sizes.quorum
                or verifiers > sizes.verifiers - sizes.majority
            )
        ),
        unmasking=noisers_at_least[sizes.noisers] * probability(lambda verifiers, _: verifiers > 0),
    )


def _worst_division(stakes: Stakes, share: float) -> tuple[Stakes, Stakes]:
    """The stakes, ascending, divided into the adversary's and the others'. The adversary takes the
    smallest: the last one in part, except where all are equal and the count is exact."""
    rest = Fraction(share).limit_denominator(10**9) * sum(stakes)
    adversarial: Stakes = []
    while len(adversarial) < len(stakes) and stakes[len(adversarial)] <= rest:
        rest -= stakes[len(adversarial)]
        adversarial.append(stakes[len(adversarial)])
    honest = stakes[len(adversarial) :]
    if rest and honest and not _all_equal(stakes):
        adversarial, honest = [*adversarial, rest], [honest[0] - rest, *honest[1:]]
    return adversarial, honest


def _seats_at_least(adversarial: Stakes, honest: Stakes, seats: int) -> list[float]:
    """The probability that the adversary takes k or more of the seats, for k from 0 to all."""
    if _all_equal([*adversarial, *honest]):
        return _exactly_at_least(len(adversarial), len(honest), seats)
    return _at_most_at_least(adversarial, honest, seats)


def _exactly_at_least(adversarial: int, honest: int, seats: int) -> list[float]:
    """The same where all hold the same stake, exactly: the tails of a hypergeometric
    distribution."""
    ways = [comb(adversarial, k) * comb(honest, seats - k) for k in range(seats + 1)]
    return [float(Fraction(sum(ways[k:]), sum(ways))) for k in range(seats + 1)]


def _at_most_at_least(adversarial: Stakes, honest: Stakes, seats: int) -> list[float]:
    """Upper bounds by the race: the sum over intervals (s, s'] of P[the adversary's k-th arrival is
    in it] P[the others' (n-k+1)-th comes after s]."""
    total = float(sum(adversarial) + sum(honest))
    smallest = min(float(stake) for stake in (*adversarial, *honest))
    times_T = np.concatenate([[0.0], np.geomspace(1e-3 / total, 60.0 / smallest, _TIMES)])
    ours_TC = _arrivals(adversarial, times_T, seats)
    theirs_TC = _arrivals(honest, times_T, seats)
    # Tails are sums of what is in them, so that small ones keep their digits.
    at_least_TC = np.cumsum(ours_TC[:, ::-1], axis=1)[:, ::-1]
    at_most_TC = np.cumsum(theirs_TC, axis=1)
    bounds = [1.0]
    for k in range(1, seats + 1):
        arrived_T = at_least_TC[:, k]
        arriving_T = np.append(np.diff(arrived_T), 1.0 - arrived_T[-1])
        bound = float(np.sum(np.maximum(arriving_T, 0.0) * at_most_TC[:, seats - k]))
        bounds.append(min(1.0, bound))
    return bounds


def _arrivals(rates: Stakes, times_T: Float64s, most: int) -> Float64s:
    """The distribution of how many have arrived at each time, shape (T, most + 1); the last column
    is for `most` and more."""
    counts_TC = np.zeros((len(times_T), most + 1))
    counts_TC[:, 0] = 1.0
    for rate in rates:
        waiting_T1 = np.exp(-float(rate) * times_T)[:, None]
        arrived_T1 = -np.expm1(-float(rate) * times_T)[:, None]
        moving_TC = counts_TC[:, :-1] * arrived_T1
        counts_TC[:, :-1] *= waiting_T1
        counts_TC[:, 1:] += moving_TC
    return counts_TC


def _split(fails: Callable[[int, int], bool], taken: int, sizes: CommitteeSizes) -> float:
    """The probability of failing if so many seats of both committees are adversarial: which of them
    are aggregators' is a draw of its own."""
    seats = sizes.verifiers + sizes.aggregators
    ways = sum(
        comb(taken, among) * comb(seats - taken, sizes.aggregators - among)
        for among in range(min(taken, sizes.aggregators) + 1)
        if fails(taken - among, among)
    )
    return float(Fraction(ways, comb(seats, sizes.aggregators)))


def _expected(at_least: Sequence[float], value: Callable[[int], float]) -> float:
    """The mean of a value that only grows with the seats taken, from bounds of their tails."""
    values = [value(taken) for taken in range(len(at_least))]
    steps = [values[0], *np.diff(values)]
    return min(1.0, float(sum(tail * step for tail, step in zip(at_least, steps, strict=True))))


def _all_equal(stakes: Stakes) -> bool:
    return len(set(stakes)) <= 1
