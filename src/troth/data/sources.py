"""Reading files that must be what they claim to be, and not too large.

A file that was packed again has another hash around the same content, so a packed file is good when
its own hash matches, or the hash of what is inside it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import BinaryIO

from troth.data.published.files import ELSEWHERE, PublishedFile
from troth.errors import DataError, VerificationError

MAX_FILE_BYTES = 2 * 2**30
"""The largest data file that is read, in bytes."""

MAX_UNPACKED_BYTES = 4 * 2**30
"""Largest content of a packed data file, and the most memory its table may take."""


def read_bytes(path: Path) -> bytes:
    """All bytes of `path`.

    Raises:
      DataError: it cannot be read, or has more than `MAX_FILE_BYTES`.
    """
    try:
        if not path.is_file():
            raise DataError(
                f"{path}: there is no such file",
                hint="paths of data files are relative to the scenario file",
            )
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise DataError(
                f"{path}: {size_bytes} bytes are above MAX_FILE_BYTES = {MAX_FILE_BYTES}",
                hint="keep fewer rows, or divide the file",
            )
        with path.open("rb") as file:
            return _read_bounded(file, path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}", hint="check its permissions"
        ) from None


def _read_bounded(file: BinaryIO, path: Path) -> bytes:
    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataError(
            f"{path}: is above MAX_FILE_BYTES = {MAX_FILE_BYTES}",
            hint="keep fewer rows, or divide the file",
        )
    return data


def unpack(data: bytes, path: Path, *, max_bytes: int | None = None) -> bytes:
    """What the gzip file `data` holds; never more than `max_bytes` (`MAX_UNPACKED_BYTES`) is made.

    Raises:
      DataError: not gzip, cut short, damaged, or larger than that; `path` names it.
    """
    limit_bytes = MAX_UNPACKED_BYTES if max_bytes is None else max_bytes
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(limit_bytes + 1)
    except EOFError:
        raise DataError(
            f"{path}: the gzip file is cut short", hint="copy or fetch it again"
        ) from None
    except (OSError, zlib.error) as error:
        raise DataError(
            f"{path}: not a sound gzip file: {error}", hint="copy or fetch it again"
        ) from None
    if len(content) > limit_bytes:
        raise DataError(
            f"{path}: unpacks to more than {limit_bytes} bytes",
            hint="is this the right file? if so, keep fewer rows",
        )
    return content


def is_packed(path: Path | str) -> bool:
    """Whether the name says gzip."""
    return str(path).endswith(".gz")


def sha256(data: bytes) -> str:
    """SHA-256 of `data`, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def verify(root: Path, file: PublishedFile, *, set_name: str) -> None:
    """Check `file` below `root`, unpacking it only where its own hash is not the known one.

    Raises:
      DataError: it is missing.
      VerificationError: its content is not what was published.
    """
    path = root / file.path
    if file.file_sha256 is not None and path.is_file():
        known = sha256(read_bytes(path)) == file.file_sha256
        if known:
            return
    read_verified(root, file, set_name=set_name)


def read_verified(root: Path, file: PublishedFile, *, set_name: str) -> bytes:
    """The content of `file` below `root`, unpacked.

    Raises:
      DataError: it is missing.
      VerificationError: its content is not what was published.
    """
    path = root / file.path
    if not path.is_file():
        raise missing_file(path, set_name=set_name, root=root)
    data = read_bytes(path)
    if not is_packed(path):
        _compare(path, file.content_sha256, sha256(data), set_name)
        return data
    found = sha256(data)
    try:
        content = unpack(data, path, max_bytes=file.content_bytes)
    except DataError as error:
        raise VerificationError(
            f"{error.message}; the file's SHA-256 is {found}, expected {file.file_sha256}",
            hint=f"remove it; {cure(set_name)}",
        ) from None
    if found != file.file_sha256:
        _compare(path, file.content_sha256, sha256(content), set_name)
    return content


def _compare(path: Path, expected: str, found: str, set_name: str) -> None:
    if found != expected:
        raise VerificationError(
            f"{path}: the content's SHA-256 is {found}, expected {expected}",
            hint=f"it is not the published file: remove it; {cure(set_name)}",
        )


def cure(set_name: str) -> str:
    """How to get a published set, in words for the hint of an error."""
    return ELSEWHERE.get(set_name, f"run: troth data fetch {set_name}")


def missing_file(path: Path, *, set_name: str, root: Path | None) -> DataError:
    """The error to raise for a file of a data set that is not there."""
    setting = "TROTH_DATA is not set" if root is None else f"TROTH_DATA = {root}"
    return DataError(
        f"{set_name}: there is no {path} ({setting})",
        hint=f"point TROTH_DATA at the folder that holds {path.parent.name}/, or {cure(set_name)}",
    )
