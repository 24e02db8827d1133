"""Random bits that follow from a secret seed of 32 bytes, the same ones everywhere.

AES-256 in counter mode (NIST SP 800-38A, 6.5), starting at counter 0. Whoever does not know the
seed cannot tell the bits from random ones. A seed is used for one purpose.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from troth.privacy.noise import RandomBits, UInt64s

SEED_BYTES = 32


class SeededBits(RandomBits):
    """The words of one seed, from the first. Prints as `<redacted>`."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._stream = Cipher(AES(seed), CTR(bytes(16))).encryptor()

    def __repr__(self) -> str:
        return "<redacted>"

    def words(self, count: int) -> UInt64s:
        """The next words, each 8 bytes of the stream, little-endian."""
        stream = self._stream.update(bytes(8 * count))
        return np.frombuffer(stream, dtype="<u8").astype(np.uint64)
