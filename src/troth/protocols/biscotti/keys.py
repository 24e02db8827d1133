"""A peer's secrets, all from one."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import shake_256

from troth.crypto.certificates import CertificateKey
from troth.crypto.noise_table import NoiseSecret
from troth.crypto.signatures import SigningKey
from troth.crypto.vrf import VrfKey

SEED_BYTES = 32


@dataclass(frozen=True)
class PeerKeys:
    """What a peer signs, draws and hides with. None of it has a wire encoder, and all of it prints
    as `<redacted>`."""

    signing: SigningKey
    vrf: VrfKey
    certificate: CertificateKey
    noise: NoiseSecret

    @classmethod
    def from_seed(cls, seed: bytes) -> PeerKeys:
        """The keys that follow from 32 random bytes that are used for nothing else."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")

        def part(name: bytes) -> bytes:
            return shake_256(b"troth-biscotti-keys\0" + name + b"\0" + seed).digest(SEED_BYTES)

        return cls(
            signing=SigningKey(part(b"signing")),
            vrf=VrfKey(part(b"vrf")),
            certificate=CertificateKey.from_seed(part(b"certificate")),
            noise=NoiseSecret(part(b"noise")),
        )
