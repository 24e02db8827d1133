"""Client authorisation: an onion service whose descriptor only some can read.

Each client has an x25519 key pair and gives the service its public half. The service encrypts its
descriptor to those keys (rend-spec-v3, section 2.5.1.2), so nobody else learns how to reach it,
or that it is up.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import NewType

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from troth.crypto.secret_file import pem_of, read_private_key, write_secret
from troth.errors import UsageError
from troth.worlds.real.tor.onion import SUFFIX, OnionAddress

ClientPublicKey = NewType("ClientPublicKey", str)
"""An x25519 public key as Tor writes it: 52 base32 characters in upper case."""

_MAKE = "make one with: troth identity tor FILE"


class ClientKey:
    """The key pair with which one client may read an onion service's descriptor."""

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = ClientPublicKey(_base32(key.public_key().public_bytes_raw()))

    def __repr__(self) -> str:
        return f"ClientKey(public={self.public!r}, secret=<redacted>)"

    @classmethod
    def create(cls) -> ClientKey:
        """Make a new key pair, from the operating system's randomness."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> ClientKey:
        """Read the key pair in a file that `save` wrote.

        Raises:
          UsageError: there is none, it is no x25519 key, or others may read the file.
        """
        key = read_private_key(path, hint=_MAKE)
        if not isinstance(key, X25519PrivateKey):
            raise UsageError(f"{path}: is not an x25519 secret key in PEM", hint=_MAKE)
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the key pair to a new file that only its owner may read.

        Raises:
          UsageError: there is a file already, or it cannot be written.
        """
        write_secret(path, pem_of(self._key))

    def write_for_tor(self, folder: Path, address: OnionAddress) -> None:
        """Give this key to a client's tor, for the service at `address`.

        Args:
          folder: the `ClientOnionAuthDir` of that tor; all other files in it are removed.
        """
        label = address.removesuffix(SUFFIX)
        secret = _base32(self._key.private_bytes_raw())
        _write_only(folder, {f"{label}.auth_private": f"{label}:descriptor:x25519:{secret}"})


def parse_client_public_key(text: str) -> ClientPublicKey:
    """The client's public key that `text` is, whether in capitals or in small letters.

    Raises:
      UsageError: `text` is not 52 base32 characters of a key.
    """
    try:
        raw = base64.b32decode(text.upper() + "====")
    except (binascii.Error, ValueError):
        raw = b""
    # The last character has bits to spare; only one way to write a key is taken.
    if len(raw) != 32 or _base32(raw) != text.upper():
        raise UsageError(
            f"{text[:80]!r} is not a client's public key of 52 base32 characters",
            hint="the client prints it when its key is made",
        )
    return ClientPublicKey(text.upper())


def write_authorised_clients(folder: Path, clients: tuple[ClientPublicKey, ...]) -> None:
    """Tell a service's tor which clients may connect; without any, everybody may.

    Args:
      folder: the `authorized_clients` of that tor; all other files in it are removed.
    """
    _write_only(folder, {f"{key.lower()}.auth": f"descriptor:x25519:{key}" for key in clients})


def _write_only(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in files.items():
        write_secret(folder / name, f"{text}\n".encode())


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")
