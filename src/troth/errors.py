"""Errors: ours and theirs are different classes.

A `LocalError` is the fault of whoever runs this node: a wrong file, value or machine. A `PeerError`
is the fault of another node and names the culprits; nothing a peer sends may raise anything else.
A broken invariant of our own is an `assert` and stays on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from troth.ids import NodeId


class ExitCode(IntEnum):
    """What the command line tells its caller."""

    OK = 0
    USAGE = 2
    CHARTER = 3
    UNREACHABLE = 4
    ROUND_FAILED = 5
    BUDGET_EXHAUSTED = 6
    VERIFICATION_FAILED = 7


class LocalError(Exception):
    """Something whoever runs this node can mend.

    Args:
      message: names the file, the key, the value and the bound; lower case, no full stop.
      hint: what to try.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class UsageError(LocalError):
    """The command or call itself is wrong: a missing file, an unknown name, flags that clash."""


class CharterError(LocalError):
    """A charter or scenario does not say something that can be run.

    Args:
      problem: what is wrong with the value, with its bound: `is below 1`.
      file: the file it stands in, where there is one.
      key: dotted path from the top of the file: `training.rounds`.
      value: the offending value, shown shortened.
    """

    exit_code = ExitCode.CHARTER

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        key: str | None = None,
        value: object = ...,
        hint: str | None = None,
    ) -> None:
        place = "" if file is None else f"{file}: "
        subject = "" if key is None else key
        if key is not None and value is not ...:
            shown = json.dumps(value, ensure_ascii=False, default=str)
            subject += " = " + (shown if len(shown) <= 80 else shown[:77] + "...")
        super().__init__(
            f"{place}{subject} {problem}" if subject else f"{place}{problem}", hint=hint
        )
        self.problem, self.file, self.key, self.value = problem, file, key, value

    def in_file(self, file: Path | str) -> CharterError:
        """The same error, said of `file`."""
        return type(self)(self.problem, file=file, key=self.key, value=self.value, hint=self.hint)


@contextmanager
def charter_errors_in(file: Path | str) -> Iterator[None]:
    """Within this context, a `CharterError` that names no file is said of `file`."""
    try:
        yield
    except CharterError as error:
        if error.file is not None:
            raise
        raise error.in_file(file) from error


class DataError(LocalError):
    """A data set is missing, or a data file does not hold what the charter's schema says."""

    exit_code = ExitCode.CHARTER


class UnreachableError(LocalError):
    """Somebody we need does not answer: a peer, or the place a data set is fetched from."""

    exit_code = ExitCode.UNREACHABLE


class RoundFailedError(LocalError):
    """A run could not go on: a deadlock, too few parties, a model that is no longer finite."""

    exit_code = ExitCode.ROUND_FAILED


class VerificationError(LocalError):
    """Something that was recorded is not what it claims to be: a checksum, a digest."""

    exit_code = ExitCode.VERIFICATION_FAILED


class PeerError(Exception):
    """Another node broke the protocol.

    Args:
      message: what it did, lower case, no full stop. Never holds bytes the peer chose unescaped.
      culprits: the nodes that did it.
    """

    def __init__(self, message: str, *, culprits: Sequence[NodeId]) -> None:
        super().__init__(message)
        self.message = message
        self.culprits = tuple(culprits)

    def __reduce__(self) -> tuple[Callable[..., PeerError], tuple[str, tuple[NodeId, ...]]]:
        # Exceptions are pickled by their positional arguments; this one has to cross processes.
        return _peer_error, (self.message, self.culprits)


def reason_of(error: OSError) -> str:
    """Why the system refused, in the lower case of our messages: `permission denied`."""
    return (error.strerror or str(error)).lower()


def _peer_error(message: str, culprits: tuple[NodeId, ...]) -> PeerError:
    return PeerError(message, culprits=culprits)
