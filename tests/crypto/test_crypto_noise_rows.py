"""Noise from seeds: the same everywhere, Gaussian, and good for masking."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from troth.crypto.commitments import (
    Commitment,
    CommitmentKey,
    Layout,
    Opening,
    OpeningClaim,
    add_commitments,
    check_openings,
    commit,
)
from troth.crypto.generators import Generators
from troth.crypto.noise_rows import GaussianRows
from troth.crypto.noise_table import (
    NoiseSecret,
    NoiseTable,
    Seeds,
    TableShape,
    check_rows,
    check_seeds,
)
from troth.crypto.seeded_bits import SeededBits
from troth.errors import PeerError
from troth.ids import NodeId, Round

CONTRIBUTOR, NOISERS = NodeId("party-0"), [NodeId("party-1"), NodeId("party-2")]
LAYOUT = Layout(dimension=40, rows=4)
KEY = CommitmentKey(LAYOUT, Generators.derive(b"g" * 32, LAYOUT.columns))
NOISE = GaussianRows(KEY, sigma=1000, bound=2**16)
SHAPE = TableShape(rounds=2, slots=2)
PINNED = [-445, 544, 1365, -138, -424, -738]
BITS = SeededBits(b"b" * 32)


def test_the_words_are_aes_in_counter_mode():
    """The first block of the zero key is a known answer; the rest is block by block."""
    assert SeededBits(bytes(32)).words(2).astype("<u8").tobytes().hex() == (
        "dc95c078a2408989ad48a21492842087"
    )
    block = Cipher(AES(b"s" * 32), ECB()).encryptor()
    blocks = b"".join(block.update(counter.to_bytes(16)) for counter in range(50))
    bits = SeededBits(b"s" * 32)
    drawn = np.concatenate([bits.words(count) for count in (1, 3, 0, 96)])
    assert drawn.astype("<u8").tobytes() == blocks
    assert drawn.dtype == np.uint64
    assert repr(bits) == "<redacted>"
    with pytest.raises(ValueError, match="32 bytes"):
        SeededBits(b"short")


def test_noise_written_down():
    """Peers that expand a seed in another way blame each other, so this must never change."""
    opening = NOISE.opening(Seeds(bytes(32), bytes(32)))
    assert opening.values_D[:6].tolist() == PINNED


def test_noise_has_its_variance():
    wide = GaussianRows(
        CommitmentKey(Layout(20_000, 20_000), Generators.derive(b"g" * 32, 1)), 1000, 2**16
    )
    noise_D = wide.opening(Seeds(b"n" * 32, b"b" * 32)).values_D
    # Standard errors: 7 of the mean, 5 of the deviation.
    assert abs(noise_D.mean()) < 30
    assert abs(noise_D.std() - 1000) < 22


def test_a_masked_update_is_checked_against_the_noise_tables():
    secrets = [NoiseSecret(noiser.encode().ljust(32)) for noiser in NOISERS]
    place = Round(2), 1
    places = [(Round(round), slot) for round in (1, 2) for slot in (0, 1)]
    tables = [
        NoiseTable(noiser, SHAPE, [NOISE.rows(secret.seeds(*each)) for each in places])
        for noiser, secret in zip(NOISERS, secrets, strict=True)
    ]
    update = Opening.draw(np.arange(40, dtype=np.int64) - 20, LAYOUT.rows, BITS)
    committed = commit(KEY, update, bound=2**10)
    masked, points = update, [committed.points]
    for noiser, secret, table in zip(NOISERS, secrets, tables, strict=True):
        # The contributor checks what it is given, and the verifier only where it is from.
        seeds, path = secret.seeds(*place), table.path(*place)
        rows = check_seeds(
            NOISE, table.root, SHAPE, owner=noiser, round=place[0], slot=1, seeds=seeds, path=path
        )
        check_rows(
            table.root,
            SHAPE,
            owner=noiser,
            round=place[0],
            slot=1,
            rows=rows,
            path=path,
            sender=CONTRIBUTOR,
        )
        masked += NOISE.opening(seeds)
        points.append(Commitment.parse(b"".join(rows), LAYOUT.rows, sender=noiser).points)
    bound = 2**10 + 2 * NOISE.bound

    def claim(values_D):
        return OpeningClaim(CONTRIBUTOR, values_D, masked.blindings_K, add_commitments(points))

    check_openings(KEY, [claim(masked.values_D)], bound=bound, bits=BITS)
    with pytest.raises(PeerError, match="do not open") as caught:
        check_openings(KEY, [claim(masked.values_D + (np.arange(40) == 7))], bound=bound, bits=BITS)
    assert caught.value.culprits == (CONTRIBUTOR,)


def test_noise_must_fit():
    with pytest.raises(ValueError, match="below 12"):
        GaussianRows(KEY, sigma=1000, bound=11_999)
