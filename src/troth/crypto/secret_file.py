"""Secret keys in files that only their owner may read, and that are never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from troth.errors import UsageError, reason_of

MAX_SECRET_BYTES = 4096
"""A larger file holds no key of ours, and is not read whole to find that out."""


def read_secret(path: Path, *, hint: str) -> bytes:
    """What `write_secret` wrote; at most `MAX_SECRET_BYTES` and one more of anything larger.

    Args:
      hint: how to make such a file.

    Raises:
      UsageError: it cannot be read, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {reason_of(error)}", hint=hint) from None
    if mode & 0o077:
        raise UsageError(
            f"{path}: others may read this secret key, its mode is {mode:04o}",
            hint=f"chmod 600 {path}; if others have read it, make a new one",
        )
    return secret


def read_private_key(path: Path, *, hint: str) -> PrivateKeyTypes | None:
    """The private key in a PEM file, of whatever kind; None if there is none in it.

    Args:
      hint: how to make such a file.

    Raises:
      UsageError: as `read_secret`.
    """
    pem = read_secret(path, hint=hint)
    if len(pem) > MAX_SECRET_BYTES:
        return None
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def pem_of(key: PrivateKeyTypes) -> bytes:
    """A private key as PEM, in clear."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_secret(path: Path, secret: bytes) -> None:
    """Write a new file that only its owner may read.

    Raises:
      UsageError: there is a file already, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UsageError(
            f"{path}: exists already",
            hint="a secret key is never overwritten: choose another name",
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {reason_of(error)}") from None
