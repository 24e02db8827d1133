"""Writes that a kill cannot tear: a file holds its old bytes or its new ones, never a mixture."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from troth.errors import UsageError, reason_of

LOCK = ".lock"
"""The file in a run's folder whose lock says that a process runs there."""


def cannot_write(path: Path, error: OSError) -> UsageError:
    """The error to raise when the system refuses to write `path`."""
    return UsageError(
        f"cannot write {path}: {reason_of(error)}",
        hint="free some space, or choose a folder you may write to",
    )


PRIVATE_MODE = 0o600
"""Of a file that nobody but its owner may read."""


def replace_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Make `path` hold exactly `data`.

    The bytes are on the disk under a hidden name before they take the place of the old file, so a
    kill or a power cut leaves one of the two. The hidden name is fixed: a leftover is overwritten
    by the next write, and one path has one writer.

    Args:
      private: nobody but its owner may read it, from the first byte on, whoever could read the old
        one.

    Raises:
      UsageError: the file cannot be written; `path` is then unchanged.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb", opener=_opener(private=private)) as file:
            if private:
                os.fchmod(file.fileno(), PRIVATE_MODE)  # A leftover keeps the mode that it has.
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None


def _opener(*, private: bool) -> Callable[[str, int], int]:
    return lambda name, flags: os.open(name, flags, PRIVATE_MODE if private else 0o666)


def append_line(path: Path, line: bytes, *, private: bool = False) -> None:
    """Add `line` and a newline to `path` in one write, creating it where needed. `sync_file` then
    puts it on the disk: the name of a new file is there already.

    A last line that a kill tore (it has no newline) is cut off first, so that it never runs into
    the new one. Whoever reads sees whole lines, and at most one torn line at the end.

    Args:
      private: if it is created, nobody but its owner may read it.

    Raises:
      UsageError: the file cannot be written.
    """
    assert b"\n" not in line
    try:
        # Unbuffered: the line is the system's the moment `write` returns, whatever happens to us
        # then.
        with open(path, "a+b", buffering=0, opener=_opener(private=private)) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.truncate(len(whole_lines(path.read_bytes())))
            file.write(line + b"\n")
        if not size:
            sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """This process alone writes in `folder` within this context. The system gives the lock back
    when the process ends, whatever ends it; the file that bears it stays.

    Raises:
      UsageError: another process writes there.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(folder / LOCK, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"{folder}: another process runs in this folder",
                hint="wait until it has ended, or stop it; or choose another folder",
            ) from None
        yield
    finally:
        os.close(descriptor)


def whole_lines(data: bytes) -> bytes:
    """`data` up to and with its last newline."""
    return data[: data.rfind(b"\n") + 1]


def numbered(path: Path) -> Iterator[Path]:
    """`path`, `path-2`, `path-3`, ...: names for what shall be at `path`, where some are taken.

    Raises:
      UsageError: it is the root of the file system, beside which there is nothing.
    """
    yield path
    if path.name in ("", ".."):  # Such as `.`, whose name stands elsewhere.
        path = path.resolve()
    if not path.name:
        raise UsageError(f"{path} is taken", hint="name a folder in it")
    for number in count(2):
        yield path.with_name(f"{path.name}-{number}")


def sync_file(path: Path) -> None:
    """Put what was appended to the file at `path` on the disk.

    Raises:
      UsageError: the disk does not take it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise cannot_write(path, error) from None


def sync_folder(folder: Path) -> None:
    """Put a new name or a rename inside `folder` on the disk, where the system can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
