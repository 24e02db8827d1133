"""Commitments and packed sharing of one update, beside the bare multi-exponentiations they need.

    .venv/bin/python benchmarks/sharing.py

D = 7,850 is MNIST with a softmax model; the larger committee is the one that Biscotti's authors ran
200 peers with. One thread. Every step runs next to multi-exponentiations of the library with as
many points and equally long scalars, made beforehand: what no implementation over this library goes
below. The reference of a step without points is the multi-exponentiation of the whole role.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

# Before numpy starts its threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from common import Row, median_time, row, timed, write_results
from py_arkworks_bls12381 import G1Point, Scalar

from troth import streams
from troth.crypto.commitments import (
    Commitment,
    CommitmentKey,
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
)
from troth.crypto.field import random_elements
from troth.crypto.fixed_point import FixedPoint
from troth.crypto.g1 import scalars
from troth.crypto.generators import Generators
from troth.crypto.sharing import (
    ShareClaim,
    SharingScheme,
    check_shares,
    deal,
    parse_share,
    recover,
    sum_shares,
)
from troth.ids import NodeId
from troth.privacy.noise import RandomBits, SimulatedSecret

DIMENSION = 7_850
CONTRIBUTORS = 35
VERIFIED = 70
"""Masked updates that a verifier checks at once."""
NOISERS = 2
NOISE_BOUND = 2**23
SCHEMES = (SharingScheme(26, 12, 20, 1), SharingScheme(3, 1, 3, 5))
TARGET_RATIO = 1.5

Work = Callable[[], object]


def bare(points: Sequence[G1Point], bits_each: int, bits: RandomBits) -> Work:
    """One multi-exponentiation by uniform scalars of so many bits."""
    drawn = [
        Scalar(int(value) % 2**bits_each) for value in scalars(random_elements(bits, len(points)))
    ]
    return partial(G1Point.multiexp_unchecked, list(points), drawn)


def repeated(work: Work, times: int) -> Work:
    def run() -> None:
        for _ in range(times):
            work()

    return run


def both(*works: Work) -> Work:
    def run() -> None:
        for work in works:
            work()

    return run


def measure(scheme: SharingScheme, runs: int) -> list[Row]:
    """Our rows for one committee."""
    layout = scheme.layout(DIMENSION)
    key = CommitmentKey(layout, Generators.derive(bytes(32), layout.columns))
    bits = SimulatedSecret(streams.secret(0)).bits()
    grid = FixedPoint(clip=1.0)
    bound, sum_bound = grid.bound, grid.sum_bound(CONTRIBUTORS)
    assert key.generators.sum is not None

    # One honest update stands for all 35: what is timed does not depend on its values.
    drawn = np.random.Generator(np.random.Philox(0)).standard_normal(DIMENSION, dtype=np.float32)
    opening = Opening.draw(grid.encode(drawn), layout.rows, bits)
    data = commit(key, opening, bound=bound)
    dealing = deal(scheme, layout, opening, bits)
    shares = dealing.shares()
    points = (*data.points, *dealing.random_commitments(key))
    encoded = Commitment.of(points).encoded
    middle = scheme.aggregators // 2
    names = [NodeId(f"party-{at:02}") for at in range(VERIFIED)]
    parsed = [parse_share(share, scheme, layout, sender=names[0]) for share in shares]
    claims = [
        ShareClaim(name, scheme.points_of(middle), parsed[middle], points)
        for name in names[:CONTRIBUTORS]
    ]
    sums = {j: sum_shares([share] * CONTRIBUTORS) for j, share in enumerate(parsed)}
    total = recover(scheme, layout, sums, bound=sum_bound)
    total_points = add_commitments([data.points] * CONTRIBUTORS)
    noise = Opening.draw(np.full(DIMENSION, NOISE_BOUND), layout.rows, bits)
    masked_points = add_commitments(
        [data.points] + [commit(key, noise, bound=NOISE_BOUND).points] * NOISERS
    )
    masked = opening + noise + noise
    masked_bound = bound + NOISERS * NOISE_BOUND

    def opens(name: str, shown: Opening, under: Sequence[G1Point]) -> OpeningClaim:
        return OpeningClaim(NodeId(name), shown.values_D, shown.blindings_K, under)

    coordinates = key.generators.coordinates_L
    bases = (*coordinates, key.generators.blinding)
    factor_bits = min(255, 128 + (scheme.rows - 1) * scheme.points_of(middle)[-1].bit_length())

    def opening_msm(count: int, largest: int) -> Work:
        weighted_bits = 128 + (2 * largest).bit_length() + (count * layout.rows).bit_length()
        some = [*total_points, *total_points] * count
        return both(
            bare(coordinates, weighted_bits, bits), bare(some[: count * layout.rows], 128, bits)
        )

    data_msm = repeated(bare(coordinates, bound.bit_length(), bits), layout.rows)
    random_msm = repeated(bare(bases, 255, bits), scheme.random_rows)
    check_msm = both(bare(bases, 255, bits), bare(points * CONTRIBUTORS, factor_bits, bits))
    block_msm = opening_msm(1, sum_bound)
    steps: dict[str, tuple[Work, Work]] = {
        "contributor: commit data rows": (lambda: commit(key, opening, bound=bound), data_msm),
        "contributor: deal": (
            lambda: deal(scheme, layout, opening, bits).shares(),
            both(data_msm, random_msm),
        ),
        "contributor: commit random rows": (lambda: dealing.random_commitments(key), random_msm),
        "contributor: all": (
            lambda: (
                commit(key, opening, bound=bound),
                (again := deal(scheme, layout, opening, bits)).shares(),
                again.random_commitments(key),
            ),
            both(data_msm, random_msm),
        ),
        f"aggregator: read {CONTRIBUTORS} commitments": (
            lambda: [
                Commitment.parse(encoded, scheme.rows, sender=name) for name in names[:CONTRIBUTORS]
            ],
            check_msm,
        ),
        f"aggregator: check {CONTRIBUTORS} shares": (
            lambda: check_shares(key, claims, bits),
            check_msm,
        ),
        "aggregator: sum": (lambda: sum_shares([parsed[0]] * CONTRIBUTORS), check_msm),
        "anyone: recover": (lambda: recover(scheme, layout, sums, bound=sum_bound), block_msm),
        "anyone: check the block": (
            lambda: check_openings(
                key, [opens("proposer", total, total_points)], bound=sum_bound, bits=bits
            ),
            block_msm,
        ),
        f"verifier: check {VERIFIED} masked updates": (
            lambda: check_openings(
                key,
                [opens(name, masked, masked_points) for name in names],
                bound=masked_bound,
                bits=bits,
            ),
            opening_msm(VERIFIED, masked_bound),
        ),
    }
    sides: dict[str, Callable[[], float]] = {}
    for name, (ours, reference) in steps.items():
        sides[name] = partial(timed, ours)
        sides[f"{name}, bare"] = partial(timed, reference)
    timings = median_time(sides, runs=runs)
    case = (
        f"D = {DIMENSION:,}, m = {scheme.aggregators}, t = {scheme.tolerated}, "
        f"tau = {scheme.quorum}, s = {scheme.points}"
    )
    return [
        row(
            f"{case}: {name}",
            "ms",
            1e3 * timings[name].median_s,
            1e3 * timings[f"{name}, bare"].median_s,
        )
        for name in steps
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="sharing beside bare multi-exponentiations")
    parser.add_argument("--runs", type=int, default=9, help="how often each side is timed")
    options = parser.parse_args()
    rows = [line for scheme in SCHEMES for line in measure(scheme, options.runs)]
    write_results("sharing", rows)
    print(f"target: each role within {TARGET_RATIO} times its points", file=sys.stderr)


if __name__ == "__main__":
    main()
