"""How much noise hides an update from verifiers, and how much goes into the ledger.

Everything here is in steps of the updates' grid, 2^-f. The noise of a slot, and a contributor's
part of the ledger's noise, are discrete Gaussians cut off at 12 standard deviations. Cutting and
drawing change the distribution of a coordinate by less than 1e-32 each, so delta grows by about
1e-32 for each coordinate of each part in each round, which is not counted.

What is hidden is all data of a party: an update is clipped as a whole to norm C' = `norm_bound`, so
exchanging one record can move it as far, 2 C', as exchanging all of them.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from math import ceil, log, log2, sqrt

from troth.crypto.fixed_point import MAX_BOUND, FixedPoint
from troth.crypto.noise_rows import MIN_SIGMAS
from troth.errors import CharterError, LocalError
from troth.learning.training import Training
from troth.privacy.discrete import MAX_SIGMA
from troth.privacy.distributed import MIN_PART_SIGMA, least_sigma, part_sigma
from troth.protocols.biscotti.parameters import (
    Biscotti,
    CalibratedMask,
    GaussianMask,
    LedgerNoise,
    MaskedPrivacy,
    MaskSpec,
    NoMask,
    PaperMask,
)
from troth.protocols.protocol import CharterTables

MAX_MASKED = 2**31 - 1
"""Largest absolute value of a masked coordinate, which travels as 32 bits."""


def sensitivity(fixed: FixedPoint, dimension: int) -> float:
    """2 C' in steps of the grid: how far apart two encoded updates can be, in the L2 norm.

    Args:
      dimension: D.
    """
    return 2.0 * fixed.norm_bound(dimension) * 2.0**fixed.fraction_bits


def sigmas_of(
    charter_tables: CharterTables[Biscotti], fixed: FixedPoint, dimension: int
) -> tuple[int | None, int | None]:
    """The standard deviations of a slot and of a contributor's part of the ledger noise, whole
    numbers; None where the charter asks for no such noise.

    Raises:
      CharterError: as `slot_sigma` and `ledger_sigma`.
    """
    protocol, training = charter_tables.parameters, charter_tables.training
    privacy: MaskedPrivacy = charter_tables.privacy
    part = None
    if (ledger := privacy.ledger_noise) is not None:
        least = protocol.fewest(0)
        part = ledger_sigma(ledger, fixed, training, dimension=dimension, least_updates=least)
    return slot_sigma(privacy, fixed, training, dimension=dimension, part=part), part


def slot_sigma(
    noise: MaskedPrivacy,
    fixed: FixedPoint,
    training: Training,
    *,
    dimension: int,
    part: int | None = None,
) -> int | None:
    """The standard deviation of the noise of one slot, a whole number; None: there is no mask.

    | mask         | one slot, with k = `noise.noisers` and h = `noise.enough`                    |
    |--------------|------------------------------------------------------------------------------|
    | `none`       | None                                                                         |
    | `gaussian`   | sigma / sqrt(h), so that h slots come to sigma                               |
    | `paper`      | sqrt(2 ln(1.25/delta)) / epsilon / sqrt(batch size) / k: slots are averaged  |
    | `calibrated` | the least with which h slots hide T updates that can be 2 C' apart           |

    `calibrated` is of a party's masked updates in all T rounds, and holds if h noisers of each are
    honest. It says nothing of the sums that the ledger shows besides.

    Args:
      dimension: D.
      part: what `ledger_sigma` says; None: there is no ledger noise.

    Raises:
      CharterError: the noise is finer than the grid or does not fit masked coordinates; or the
        mask is `paper` and the batch is all that a party has, a number that nobody is told.
    """
    # Biscotti, section 4.4: "peers use differential privacy to hide their updates during
    # verification by adding noise sampled from a normal distribution."
    # Differs from the paper: the noise is a discrete Gaussian, because commitments are to whole
    # numbers; and `calibrated` counts all rounds, because the paper's epsilon is that of one step.
    mask = noise.mask
    match mask:
        case NoMask():
            return None
        case GaussianMask(sigma=sigma):
            slot = part_sigma(sigma * 2.0**fixed.fraction_bits, noise.enough)
        case PaperMask():
            slot = ceil(_paper_sigma(mask, training) * 2.0**fixed.fraction_bits / noise.noisers)
        case CalibratedMask(epsilon=epsilon, delta=delta):
            distance = sensitivity(fixed, dimension)
            slot = part_sigma(
                _least(distance, training.rounds, epsilon, delta, "privacy.mask.epsilon"),
                noise.enough,
            )
    largest = fixed.bound + _bound(part or 0) + noise.noisers * _bound(slot)
    key, value = _size_key(mask)
    _check_size(slot, largest / MAX_MASKED, fixed, key, value)
    return slot


def ledger_sigma(
    ledger: LedgerNoise,
    fixed: FixedPoint,
    training: Training,
    *,
    dimension: int,
    least_updates: int,
) -> int:
    """The standard deviation of the part that each contributor adds to its update before it commits
    to it; sigma / sqrt(u - c), u = `least_updates` and c = `ledger.corrupt`.

    Sigma is the least with which T sums, each with u - c parts that nobody but their contributors
    knows, are (epsilon, delta)-DP for all data of a party, 2 C' apart. That covers the opened sums
    and what follows from them, the models. It does not cover which updates verifiers accepted:
    blocks name them, verifiers choose by masked updates, and the choice is data's too. Masked
    updates and sums together are counted in `released_privacy`, and cover it.

    Args:
      dimension: D.
      least_updates: the fewest updates that any opened sum has.

    Raises:
      CharterError: no part is left that is not corrupt, or the noise is finer than the grid or does
        not fit committed values.
    """
    unknown = least_updates - ledger.corrupt
    if unknown < 1:
        raise CharterError(
            f"leaves no honest part in a sum of {least_updates} updates",
            key="privacy.ledger_noise.corrupt",
            value=ledger.corrupt,
            hint="raise least_updates, or lower corrupt",
        )
    sigma = _least(
        sensitivity(fixed, dimension),
        training.rounds,
        ledger.epsilon,
        ledger.delta,
        "privacy.ledger_noise.epsilon",
    )
    part = part_sigma(sigma, unknown)
    full = (fixed.bound + _bound(part)) / MAX_BOUND
    _check_size(part, full, fixed, "privacy.ledger_noise.epsilon", ledger.epsilon)
    return part


def _bound(sigma: int) -> int:
    return MIN_SIGMAS * sigma


def _paper_sigma(mask: PaperMask, training: Training) -> float:
    if training.batch_size == "all":
        raise CharterError(
            'does not go with privacy.mask.kind = "paper", which divides by it: how many rows a '
            "party has is its own affair, and one slot has to suit them all",
            key="training.batch_size",
            value=training.batch_size,
            hint='give a number, or take privacy.mask.kind = "gaussian"',
        )
    return sqrt(2.0 * log(1.25 / mask.delta)) / mask.epsilon / sqrt(training.batch_size)


def _least(distance: float, rounds: int, epsilon: float, delta: float, key: str) -> float:
    try:
        return least_sigma(distance, rounds, epsilon, delta)
    except LocalError as error:
        raise CharterError(
            f"cannot be kept over {rounds} rounds at delta={delta:g}",
            key=key,
            value=epsilon,
            hint=error.hint,
        ) from None


def _size_key(mask: MaskSpec) -> tuple[str, float]:
    if isinstance(mask, GaussianMask):
        return "privacy.mask.sigma", mask.sigma
    assert not isinstance(mask, NoMask)
    return "privacy.mask.epsilon", mask.epsilon


def _check_size(sigma: int, full: float, fixed: FixedPoint, key: str, value: float) -> None:
    """Refuse noise that is finer than the grid, or that its numbers have no room for.

    Args:
      sigma: its standard deviation in steps of the grid.
      full: the largest value that may occur, as a share of the largest that there is room for.
      key, value: what the error names.

    Raises:
      CharterError: `sigma` is too small or too large, or `full` is above 1.
    """
    if sigma < MIN_PART_SIGMA:
        bits = ceil(log2(MIN_PART_SIGMA / sigma))
        raise CharterError(
            f"asks for noise of {sigma} steps of the grid, and below {MIN_PART_SIGMA} its sums are "
            "not counted",
            key=key,
            value=value,
            hint=f"raise [protocol] fraction_bits to {fixed.fraction_bits + bits} or more",
        )
    excess = max(full, sigma / MAX_SIGMA)
    if excess > 1:
        bits = ceil(log2(excess))
        raise CharterError(
            f"asks for noise of {sigma} steps of the grid, which is {excess:.3g} times what its "
            "numbers have room for",
            key=key,
            value=value,
            hint=f"lower [protocol] fraction_bits to about {fixed.fraction_bits - bits}, or ask "
            "for less noise",
        )
