"""A peer's secret keys, which all follow from one secret."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import shake_256

from troth.crypto.certificates import CertificateKey
from troth.crypto.noise_table import NoiseSecret
from troth.crypto.signatures import SigningKey
from troth.crypto.vrf import VrfKey

SEED_BYTES = 32
"""Length in bytes of the one secret that a peer's keys follow from."""


@dataclass(frozen=True)
class PeerKeys:
    """A peer's secret keys: it signs with `signing`, draws with `vrf`, certifies blocks with
    `certificate`, and makes its noise from `noise`. None of them has a wire encoder, and all of
    them print as `<redacted>`."""

    signing: SigningKey
    vrf: VrfKey
    certificate: CertificateKey
    noise: NoiseSecret

    @classmethod
    def from_seed(cls, seed: bytes, charter: str) -> PeerKeys:
        """The keys for one run.

        With another charter they are others, but with the same one they are the same: two runs with
        one secret and one charter hide two updates with the same noise, and so tell their
        difference.

        Args:
          seed: 32 random bytes that are used for nothing else.
          charter: the charter's digest.

        Raises:
          ValueError: the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")

        def part(name: bytes) -> bytes:
            bound = name + b"\0" + charter.encode() + b"\0" + seed
            return shake_256(b"troth-biscotti-keys\0" + bound).digest(SEED_BYTES)

        return cls(
            signing=SigningKey(part(b"signing")),
            vrf=VrfKey(part(b"vrf")),
            certificate=CertificateKey.from_seed(part(b"certificate")),
            noise=NoiseSecret(part(b"noise")),
        )
