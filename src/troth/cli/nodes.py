"""What the verbs that run a node of a real run have in common."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from troth.cli.verb import FILE, Format, show_run, talk
from troth.errors import UsageError

if TYPE_CHECKING:
    from troth.deployment.events import EventProgress
    from troth.report.progress import Display
    from troth.worlds.real.node import Listen
    from troth.worlds.real.reach import Reach

MAX_PORT = 65535

C = TypeVar("C", bound=Callable[..., Any])


def leash_option(command: C) -> C:
    """`--leash`: what `troth launch` gives the nodes that it starts, so that none outlives it."""

    def hold(_: click.Context, __: click.Parameter, leash: bool) -> bool:
        if leash:
            threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
        return leash

    return click.option(
        "--leash",
        is_flag=True,
        hidden=True,
        expose_value=False,
        callback=hold,
        help="Stop when standard input ends.",
    )(command)


def _stop_at_end_of_input() -> None:
    # Not through `sys.stdin`, whose lock this thread would hold when the process ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


give_up_option = click.option(
    "--give-up-after",
    type=click.FloatRange(min=1.0),
    metavar="SECONDS",
    help="How long to wait for nodes that are not heard of at all.  [default: 60; by Tor, "
    "where one attempt to connect may take half a minute, 300]",
)
"""Gives a command the option `--give-up-after`: how long peers may stay unreachable."""


def patience_s(give_up_after: float | None, *, by_tor: bool = False) -> float:
    """What `--give-up-after` comes to."""
    if give_up_after is not None:
        return give_up_after
    return 300.0 if by_tor else 60.0


def tor_options(command: C) -> C:
    """Gives a command the options `--tor` and `--tor-config`."""
    command = click.option(
        "--tor-config",
        type=FILE,
        metavar="FILE",
        help="More lines for the tor that --tor starts: bridges, a private network.",
    )(command)
    return click.option(
        "--tor",
        is_flag=True,
        help="By Tor and no other way; needs Debian's tor. See docs/tor.md.",
    )(command)


def reach_options(command: C) -> C:
    """The same for who connects, and `--tor-socks`, `--tor-key`."""
    command = click.option(
        "--tor-key",
        type=FILE,
        metavar="FILE",
        help="For a broker that lets in its own clients only; made with: troth identity tor FILE.",
    )(command)
    command = click.option(
        "--tor-socks",
        metavar="HOST:PORT",
        help="By a tor that runs already, instead of --tor: 127.0.0.1:9050.",
    )(command)
    return tor_options(command)


def reach_of(
    tor: bool, config: Path | None, socks: str | None, key: Path | None, folder: Path
) -> Reach:
    """How the broker is reached.

    Raises:
      UsageError: the options contradict each other.
    """
    from troth.worlds.real.reach import straight, through_socks, through_tor
    from troth.worlds.real.tor.authorisation import ClientKey

    if tor and socks is not None:
        raise UsageError("--tor and --tor-socks are two ways to Tor", hint="leave one of them out")
    if socks is not None and (config is not None or key is not None):
        raise UsageError(
            "--tor-config and --tor-key cannot change a tor that runs already",
            hint="give --tor in place of --tor-socks, or write them into that tor's own "
            "configuration: a key belongs into its ClientOnionAuthDir",
        )
    if not tor and (config is not None or key is not None):
        raise UsageError(
            "--tor-config and --tor-key are for the tor that --tor starts", hint="add --tor"
        )
    if tor:
        return through_tor(folder, key=None if key is None else ClientKey.load(key), config=config)
    if socks is None:
        return straight
    host, port = parse_host(socks)
    if port is None:
        raise UsageError(
            f"--tor-socks {socks} is not of the form HOST:PORT", hint="tor's own is 127.0.0.1:9050"
        )
    return through_socks(host, port)


def parse_listen(text: str) -> Listen:
    """HOST:PORT.

    Raises:
      UsageError: it is of another form.
    """
    from troth.worlds.real.node import Listen

    address, port = parse_host(text)
    if port is None:
        raise UsageError(
            f"--listen {text} is not of the form HOST:PORT",
            hint="0.0.0.0:8443 listens at every address of this machine",
        )
    return Listen(address, port)


def parse_host(text: str) -> tuple[str, int | None]:
    """Reads HOST or HOST:PORT; the port is None where the text has none."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port[:6]) > MAX_PORT:
        return text, None
    return host, int(port)


def progress_of(format: Format, quiet: bool) -> tuple[Display, EventProgress | None]:
    """What shows the progress; with `--format json`, as events, one a line."""
    from troth.deployment.events import EventProgress
    from troth.report.progress import QuietProgress, live_progress

    if format == "json":
        events = EventProgress(sys.stdout)
        return events, events
    return (QuietProgress() if quiet else live_progress()), None


def show(folder: Path) -> None:
    """Prints the result of a node whose run is kept in `folder`."""
    show_run(folder, "text")
    talk(f"folder: {folder}")
