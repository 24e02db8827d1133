"""How a command fails: what it says, and with which exit code."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass

import click

from troth.errors import ExitCode, LocalError, reason_of
from troth.references import users_error
from troth.report.text import plain

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

_PLACES = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ELOOP,
}
"""Numbers of errors that come of the place the user has named, wherever they are met."""

BUG = 1
"""A failure that nobody has foreseen."""

SHOW = "to see the whole traceback, set TROTH_TRACEBACK=1 and run it again"


@dataclass(frozen=True)
class Failure:
    """The end of a command that did not succeed."""

    message: str
    hint: str | None
    exit_code: int
    unexpected: bool = False
    """Nobody wrote a message for it, so a traceback may say more."""

    def say(self, *, as_json: bool) -> None:
        """To standard error, if it can be written: `error:` and `hint:` lines, or one JSON object
        on one line. The exit code says as much in any case."""
        with suppress(OSError, ValueError):
            self._say(as_json=as_json)

    def _say(self, *, as_json: bool) -> None:
        if as_json:
            content = {"error": self.message, "hint": self.hint, "exit_code": self.exit_code}
            click.echo(json.dumps(content), err=True)
            return
        coloured = None if not os.environ.get("NO_COLOR") else False
        said = f"{click.style('error:', fg='red')} {plain(self.message)}"
        click.echo(said, err=True, color=coloured)
        if self.hint is not None:
            click.echo(f"hint: {plain(self.hint)}", err=True)


def failure_of(error: BaseException) -> Failure:
    """What to say of an exception that ended a verb."""
    match error:
        case LocalError():
            return Failure(error.message, error.hint, error.exit_code)
        case KeyboardInterrupt():
            # Whoever was interrupted may have left a note on how to go on.
            notes: list[str] = getattr(error, "__notes__", [])
            return Failure("interrupted", "; ".join(notes) or None, INTERRUPTED)
        case MemoryError():
            return Failure(
                "the memory of this machine does not suffice",
                "fewer parties, a smaller batch_size, or a smaller model need less",
                ExitCode.ROUND_FAILED,
            )
        case OSError(errno=number) if number in _PLACES:
            place = "" if error.filename is None else f"{error.filename}: "
            return Failure(f"{place}{reason_of(error)}", None, ExitCode.USAGE)
    theirs = users_error(error)
    if theirs is not None:
        return Failure(theirs, SHOW, ExitCode.CHARTER, unexpected=True)
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(f"this is a bug in troth: {said}", f"{SHOW}, and report it", BUG, True)


def from_click(error: click.ClickException) -> Failure:
    """The same for a command line that click refuses."""
    message = error.format_message().rstrip(".")
    hint = None
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"{error.ctx.command_path} --help lists what there is"
    return Failure(message[:1].lower() + message[1:], hint, error.exit_code)
