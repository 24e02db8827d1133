"""Commitments and packed sharing of one update, beside the bare multi-exponentiations they need.

    .venv/bin/python benchmarks/sharing.py

D = 7,850 is MNIST with a softmax model; the larger committee is the one that Biscotti's authors ran
200 peers with. One thread. Every step runs next to multi-exponentiations of the library with as
many points and equally long scalars, made beforehand: what no implementation over this library goes
below. The reference of a step without points is the multi-exponentiation of the whole role. For the
modelled group, which simulations may ask for, the reference is our own step in G1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

# Before numpy starts its threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from common import Row, median_time, row, timed, write_results
from py_arkworks_bls12381 import G1Point, Scalar

from troth import streams
from troth.crypto.commitments import (
    CommitmentKey,
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
)
from troth.crypto.field import random_elements
from troth.crypto.fixed_point import FixedPoint
from troth.crypto.g1 import G1, scalars
from troth.crypto.generators import Generators
from troth.crypto.group import Group, Point
from troth.crypto.modelled_group import MODELLED
from troth.crypto.noise_rows import GaussianRows
from troth.crypto.noise_table import Seeds
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
NOISE_SIGMA = 2**19
NOISE_BOUND = 2**23
GRID = FixedPoint(clip=1.0)
MASKED_BOUND = GRID.bound + NOISERS * NOISE_BOUND
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


def roles(scheme: SharingScheme, group: Group) -> dict[str, Work]:
    """What each role does in a round, by name."""
    layout = scheme.layout(DIMENSION)
    key = CommitmentKey(layout, Generators.derive(bytes(32), layout.columns, group=group))
    bits = SimulatedSecret(streams.secret(0)).bits()
    bound, sum_bound = GRID.bound, GRID.sum_bound(CONTRIBUTORS)
    assert key.generators.sum is not None

    # One honest update stands for all 35: what is timed does not depend on its values.
    drawn = np.random.Generator(np.random.Philox(0)).standard_normal(DIMENSION, dtype=np.float32)
    opening = Opening.draw(GRID.encode(drawn), layout.rows, bits)
    data = commit(key, opening, bound=bound)
    dealing = deal(scheme, layout, opening, bits)
    shares = dealing.shares()
    points = (*data.points, *dealing.random_commitments(key))
    encoded = group.encode(points)
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
    slot = GaussianRows(key, NOISE_SIGMA, NOISE_BOUND)
    seeds = Seeds(bytes(32), bytes(32))
    noise = slot.opening(seeds)
    masked_points = add_commitments(
        [data.points] + [commit(key, noise, bound=NOISE_BOUND).points] * NOISERS
    )
    masked = opening + noise + noise

    def opens(name: str, shown: Opening, under: Sequence[Point]) -> OpeningClaim:
        return OpeningClaim(NodeId(name), shown.values_D, shown.blindings_K, under)

    return {
        "noiser: draw a slot": lambda: slot.opening(seeds),
        "noiser: draw and commit a slot": lambda: slot.rows(seeds),
        "contributor: commit data rows": lambda: commit(key, opening, bound=bound),
        "contributor: deal": lambda: deal(scheme, layout, opening, bits).shares(),
        "contributor: commit random rows": lambda: dealing.random_commitments(key),
        "contributor: all": lambda: (
            commit(key, opening, bound=bound),
            (again := deal(scheme, layout, opening, bits)).shares(),
            again.random_commitments(key),
        ),
        f"aggregator: read {CONTRIBUTORS} commitments": lambda: [
            group.parse(encoded, scheme.rows, sender=name) for name in names[:CONTRIBUTORS]
        ],
        f"aggregator: check {CONTRIBUTORS} shares": lambda: check_shares(key, claims, bits),
        "aggregator: sum": lambda: sum_shares([parsed[0]] * CONTRIBUTORS),
        "anyone: recover": lambda: recover(scheme, layout, sums, bound=sum_bound),
        "anyone: check the block": lambda: check_openings(
            key, [opens("proposer", total, total_points)], bound=sum_bound, bits=bits
        ),
        f"verifier: check {VERIFIED} masked updates": lambda: check_openings(
            key,
            [opens(name, masked, masked_points) for name in names],
            bound=MASKED_BOUND,
            bits=bits,
        ),
    }


def references(scheme: SharingScheme) -> dict[str, Work]:
    """The bare multi-exponentiations of the same roles."""
    layout = scheme.layout(DIMENSION)
    bits = SimulatedSecret(streams.secret(1)).bits()
    generators = Generators.derive(bytes(32), max(layout.columns, scheme.rows))
    all_points = [cast("G1Point", point) for point in generators.coordinates_L]
    coordinates, points = all_points[: layout.columns], all_points[: scheme.rows]
    bases = [*coordinates, cast("G1Point", generators.blinding)]
    largest_point = scheme.points_of(scheme.aggregators // 2)[-1]
    factor_bits = min(255, 128 + (scheme.rows - 1) * largest_point.bit_length())

    def opening_msm(count: int, largest: int) -> Work:
        weighted_bits = 128 + (2 * largest).bit_length() + (count * layout.rows).bit_length()
        return both(
            bare(coordinates, weighted_bits, bits),
            bare(points[: layout.rows] * count, 128, bits),
        )

    data_msm = repeated(bare(coordinates, GRID.bound.bit_length(), bits), layout.rows)
    noise_msm = repeated(bare(coordinates, NOISE_BOUND.bit_length(), bits), layout.rows)
    random_msm = repeated(bare(bases, 255, bits), scheme.random_rows)
    check_msm = both(bare(bases, 255, bits), bare(points * CONTRIBUTORS, factor_bits, bits))
    block_msm = opening_msm(1, GRID.sum_bound(CONTRIBUTORS))
    return {
        "noiser: draw a slot": noise_msm,
        "noiser: draw and commit a slot": noise_msm,
        "contributor: commit data rows": data_msm,
        "contributor: deal": both(data_msm, random_msm),
        "contributor: commit random rows": random_msm,
        "contributor: all": both(data_msm, random_msm),
        f"aggregator: read {CONTRIBUTORS} commitments": check_msm,
        f"aggregator: check {CONTRIBUTORS} shares": check_msm,
        "aggregator: sum": check_msm,
        "anyone: recover": block_msm,
        "anyone: check the block": block_msm,
        f"verifier: check {VERIFIED} masked updates": opening_msm(VERIFIED, MASKED_BOUND),
    }


def measure(
    scheme: SharingScheme, ours: dict[str, Work], reference: dict[str, Work], note: str, runs: int
) -> list[Row]:
    """Rows for one committee."""
    sides: dict[str, Callable[[], float]] = {}
    for name, work in ours.items():
        sides[name] = partial(timed, work)
        sides[f"{name}, reference"] = partial(timed, reference[name])
    timings = median_time(sides, runs=runs)
    case = (
        f"D = {DIMENSION:,}, m = {scheme.aggregators}, t = {scheme.tolerated}, "
        f"tau = {scheme.quorum}, s = {scheme.points}{note}"
    )
    return [
        row(
            f"{case}: {name}",
            "ms",
            1e3 * timings[name].median_s,
            1e3 * timings[f"{name}, reference"].median_s,
        )
        for name in ours
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="sharing beside bare multi-exponentiations")
    parser.add_argument("--runs", type=int, default=9, help="how often each side is timed")
    options = parser.parse_args()
    rows: list[Row] = []
    for scheme in SCHEMES:
        real = roles(scheme, G1)
        rows += measure(scheme, real, references(scheme), "", options.runs)
        modelled = roles(scheme, MODELLED)
        rows += measure(scheme, modelled, real, ", modelled group", options.runs)
    write_results("sharing", rows)
    print(f"target: each role within {TARGET_RATIO} times its points", file=sys.stderr)


if __name__ == "__main__":
    main()
