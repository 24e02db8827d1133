"""What was wrong with Biscotti's released code is not so here, with the protocol's own steps.

Its key has a trapdoor, its commitments are the same for the same update, and one aggregator finds
the update from its shares alone. `tests/crypto` shows the same of the parts by themselves.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest
from biscotti_tables import agreed

from troth.ids import Round
from troth.learning.training import Training
from troth.protocols.biscotti.hiding.dealing import DealShares, Dealt
from troth.protocols.biscotti.hiding.masking import MaskedUpdate, MaskUpdate
from troth.protocols.biscotti.hiding.views import explanation
from troth.protocols.biscotti.messages import Shares
from troth.protocols.biscotti.parameters import MaskedPrivacy, NoMask
from troth.protocols.biscotti.setting import Setting, setting_of
from troth.wire import Float32s

DIMENSION = 20


def setting(*, modelled: bool, aggregators: int = 3) -> Setting:
    training = Training(rounds=1, learning_rate=0.1)
    return setting_of(
        agreed(MaskedPrivacy(mask=NoMask()), training, aggregators=aggregators),
        charter=sha256(b"a charter").digest(),
        dimension=DIMENSION,
        modelled=modelled,
    )


def masked(of: Setting, update_D: Float32s, seed: bytes) -> MaskedUpdate:
    return MaskUpdate(of, update_D, (), sha256(seed).digest()).run(None)


def dealt(of: Setting, update: MaskedUpdate, seed: bytes) -> Dealt:
    return DealShares(
        of,
        update.commitments,
        update.opening_values,
        update.opening_blindings,
        False,
        sha256(seed).digest(),
    ).run(None)


def update(*first: float) -> Float32s:
    update_D = np.zeros(DIMENSION, dtype=np.float32)
    update_D[: len(first)] = first
    return update_D / np.float32(64)


def test_the_two_updates_of_one_commitment_have_two() -> None:
    """Under the released key, where G_i = 2^i G, these two have the same."""
    of = setting(modelled=False)
    one, other = (masked(of, update(*v), b"a") for v in ((5, -3, 7, 1), (7, -4, 7, 1)))
    assert one.opening_blindings == other.opening_blindings
    assert one.commitments != other.commitments


def test_the_same_update_twice_has_two_commitments_and_shares_nothing() -> None:
    of = setting(modelled=False)
    one, other = (masked(of, update(5, -3, 7, 1), seed) for seed in (b"a", b"b"))
    rows = 96
    points = [
        {some.commitments[at : at + rows] for at in range(0, len(some.commitments), rows)}
        for some in (one, other)
    ]
    assert not points[0] & points[1]
    shares = [
        {
            share[at : at + 32]
            for share in dealt(of, some, seed).shares
            for at in range(0, len(share), 32)
        }
        for some, seed in ((one, b"c"), (other, b"d"))
    ]
    assert not shares[0] & shares[1]


@pytest.mark.parametrize("aggregators", [3, 4, 5])
def test_the_view_of_t_aggregators_fits_any_update(aggregators: int) -> None:
    """Of three and four, t is one. So no equations over it, in whole numbers or otherwise, have the
    update as their solution. One aggregator of the released code recovered every chunk."""
    of = setting(modelled=True, aggregators=aggregators)
    honest = masked(of, update(5, -3, 7, 1), b"a")
    sent = dealt(of, honest, b"b")
    others = (
        np.zeros(DIMENSION, dtype=np.int64),
        np.full(DIMENSION, of.bound),
        honest.opening_values + 1,
    )
    views = {
        number: Shares(Round(1), sent.commitments, sent.root, path, share, bytes(64))
        for number, (path, share) in enumerate(zip(sent.paths, sent.shares, strict=True))
    }
    for numbers in combinations(views, of.scheme.tolerated):
        for other_D in others:
            rows = explanation(of, {number: views[number] for number in numbers}, other_D)
            assert rows is not None
            found = [value for row in rows[: of.layout.rows] for value in row[:-1]]
            assert found[:DIMENSION] == other_D.tolist()


def test_more_views_than_tolerated_fit_one_update_only() -> None:
    of = setting(modelled=True)
    honest = masked(of, update(5, -3, 7, 1), b"a")
    sent = dealt(of, honest, b"b")
    seen = {
        number: Shares(Round(1), sent.commitments, sent.root, path, share, bytes(64))
        for number, (path, share) in enumerate(zip(sent.paths, sent.shares, strict=True))
        if number < of.scheme.tolerated + 1
    }
    assert explanation(of, seen, honest.opening_values + 1) is None
