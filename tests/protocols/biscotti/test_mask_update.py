"""Which noise a contributor takes."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from biscotti_tables import agreed

from troth.crypto.commitments import Opening, OpeningClaim, add_commitments, check_openings
from troth.crypto.field import parse_elements
from troth.crypto.noise_table import NoiseSecret, NoiseTable, Seeds
from troth.crypto.seeded_bits import SeededBits
from troth.ids import NodeId, Round
from troth.learning.training import Training
from troth.protocols.biscotti.hiding.masking import GrantedNoise, MaskUpdate, from_wire
from troth.protocols.biscotti.parameters import GaussianMask, MaskedPrivacy
from troth.protocols.biscotti.setting import setting_of

SETTING = setting_of(
    agreed(
        MaskedPrivacy(mask=GaussianMask(sigma=0.1), slots=2), Training(rounds=1, learning_rate=0.1)
    ),
    charter=bytes(32),
    dimension=24,
)
UPDATE_D = np.linspace(-0.1, 0.1, 24, dtype=np.float32)
NOISERS = tuple(NodeId(f"party-{index}") for index in range(3))
SEED = bytes(32)


def granted(owner: NodeId, slot: int = 0) -> GrantedNoise:
    secret = NoiseSecret(sha256(owner.encode()).digest())
    seeds = [secret.seeds(Round(1), place) for place in range(2)]
    table = NoiseTable(owner, SETTING.table, [SETTING.rows.rows(each) for each in seeds])
    rows = b"".join(table.rows(Round(1), slot))
    return GrantedNoise(
        owner, table.root, Round(1), slot, seeds[slot], rows, table.path(Round(1), slot)
    )


GRANTS = tuple(granted(owner) for owner in NOISERS)


def test_the_noise_of_all_noisers_is_on_the_update() -> None:
    masked = MaskUpdate(SETTING, UPDATE_D, GRANTS, SEED).run(None)
    assert masked.good == (True, True, True)
    noise_D = sum(SETTING.rows.opening(grant.seeds).values_D for grant in GRANTS)
    np.testing.assert_array_equal(from_wire(masked.values), masked.opening_values + noise_D)


@pytest.mark.parametrize(
    "wrong",
    {
        "other seeds": replace(GRANTS[1], seeds=Seeds(bytes(32), GRANTS[1].seeds.blinding)),
        "another blinding": replace(GRANTS[1], seeds=Seeds(GRANTS[1].seeds.noise, bytes(32))),
        "another slot's rows": replace(GRANTS[1], rows=granted(NOISERS[1], 1).rows),
        "another slot's noise": replace(granted(NOISERS[1], 1), seeds=GRANTS[1].seeds),
        "another noiser's": replace(GRANTS[0], owner=NOISERS[1]),
        "no rows": replace(GRANTS[1], rows=b""),
        "no such slot": replace(GRANTS[1], slot=2),
    }.items(),
    ids=lambda case: case[0],
)
def test_noise_that_was_not_committed_to_is_left_out(wrong: tuple[str, GrantedNoise]) -> None:
    grants = (GRANTS[0], wrong[1], GRANTS[2])
    masked = MaskUpdate(SETTING, UPDATE_D, grants, SEED).run(None)
    assert masked.good == (True, False, True)
    rows = SETTING.layout.rows
    sender = NodeId("party-9")
    points = [
        SETTING.points(encoded, rows, sender=sender)
        for encoded in (masked.commitments, GRANTS[0].rows, GRANTS[2].rows)
    ]
    shown = Opening(from_wire(masked.values), parse_elements(masked.blindings, rows, sender=sender))
    claim = OpeningClaim(sender, shown.values_D, shown.blindings_K, add_commitments(points))
    bits = SeededBits(sha256(b"weights").digest())
    check_openings(SETTING.key, [claim], bound=SETTING.masked_bound, bits=bits)


def test_rows_that_are_no_points_are_left_out() -> None:
    rows = [b"\xff" * 96] * SETTING.layout.rows
    table = NoiseTable(NOISERS[0], SETTING.table, [rows, rows])
    bad = replace(GRANTS[0], root=table.root, rows=b"".join(rows), path=table.path(Round(1), 0))
    assert MaskUpdate(SETTING, UPDATE_D, (bad, GRANTS[1]), SEED).run(None).good == (False, True)
