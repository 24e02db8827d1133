"""A tor process of our own: started, watched, and ended with whoever started it.

Its folder keeps what must outlive it: the guards that were chosen, which have to stay the same for
as long as may be, and an onion service's key.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from troth.errors import LocalError, UnreachableError, UsageError, reason_of
from troth.worlds.real.tor.control import Control, ControlClosed
from troth.worlds.real.tor.program import TorProgram
from troth.worlds.real.tor.torrc import Option, quoted, read_config, torrc

START_S = 180.0
"""How many seconds tor may take to get into its network and to publish an onion service."""

STOP_S = 5.0
"""How many seconds tor may take to end when it is asked to; then it is killed."""

COMPLAINTS = 3
"""How many of tor's last warnings and errors go into an error message."""

NOISE = ("running Tor as root", "Bug: ", "Reading config failed")
"""Parts of warnings that are left out, since they tell nobody what to do."""


class Tor:
    """A tor that runs and is part of its network.

    Args:
      control: its control connection. Nobody else may read events from it while `start` runs.
    """

    def __init__(self, process: asyncio.subprocess.Process, control: Control) -> None:
        self.control = control
        self._process = process
        self._complaints: deque[str] = deque(maxlen=COMPLAINTS)
        self._usable = False
        self._listening = asyncio.create_task(self._listen())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self, *, publishes: bool) -> None:
        """Wait until tor can be used.

        Args:
          publishes: whether it has an onion service, which has to be published, too.

        Raises:
          UnreachableError: that took longer than `START_S`.
          ControlClosed: tor has ended meanwhile.
        """
        doing = "get into its network"
        try:
            async with asyncio.timeout(START_S):
                await self.control.ask("SETEVENTS STATUS_CLIENT HS_DESC")
                (phase, *_) = await self.control.ask("GETINFO status/bootstrap-phase")
                while not re.search(r" PROGRESS=100\b", phase):
                    phase = await self.control.event("STATUS_CLIENT")
                doing = "publish its onion service"
                while publishes and not (await self.control.event("HS_DESC")).startswith(
                    "HS_DESC UPLOADED "
                ):
                    pass
                await self.control.ask("SETEVENTS")
        except TimeoutError:
            raise UnreachableError(
                f"tor could not {doing} within {START_S:.0f} s{self._said()}",
                hint="see that this machine reaches the internet and its clock is right; where "
                "Tor is blocked, name bridges in a file and give it with --tor-config",
            ) from None
        self._usable = True

    async def ended(self) -> LocalError:
        """Wait until tor has ended, and return the error that says how and why."""
        code = await self._process.wait()
        # Its last words may still be in the pipe.
        await asyncio.wait([self._listening], timeout=STOP_S)
        if not self._usable:
            return UsageError(
                f"tor did not start{self._said()}",
                hint="one tor runs in one folder; and see the file that --tor-config names",
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return UnreachableError(
            f"tor has ended with {how}{self._said()}",
            hint="nothing is sent another way; give the same command again to go on",
        )

    async def stop(self) -> None:
        """End tor: close its control connection, and kill it if it runs on for `STOP_S`."""
        await self.control.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        """Keep tor's last warnings and errors, read from its output until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            text = line.decode(errors="replace").strip()
            level, _, said = text.partition("] ")
            if level.endswith(("[warn", "[err")) and not any(part in said for part in NOISE):
                self._complaints.append(said)

    def _said(self) -> str:
        return f": {'; '.join(self._complaints)}" if self._complaints else ""


@asynccontextmanager
async def running_tor(
    program: TorProgram,
    folder: Path,
    options: Sequence[Option],
    *,
    config: Path | None = None,
    publishes: bool = False,
) -> AsyncIterator[Tor]:
    """Run a tor for as long as the block runs. If tor ends before, the block is cancelled.

    Args:
      folder: its own, made if there is none; only its owner can read it.
      options: of torrc(5), beside those that every tor of ours has.
      config: a file with more options; see `read_config`.
      publishes: whether `options` tell of an onion service, whose publication is waited for.

    Raises:
      UsageError: `config` is refused by us or by tor, or another tor runs in `folder`.
      UnreachableError: tor cannot get into its network in time, or has ended within the block.
    """
    added = "" if config is None else read_config(config)
    private_folder(folder)
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            every = [
                ("DataDirectory", quoted(private_folder(folder / "data"))),
                ("ClientOnly", "1"),
                ("Log", "notice stdout"),
                # The socket closes with this process, unless a fork of it holds it open.
                ("__OwningControllerFD", str(theirs.fileno())),
                ("__OwningControllerProcess", str(os.getpid())),
            ]
            process = await _spawn(program, folder, torrc([*every, *options], added), theirs)
    except BaseException:
        ours.close()
        raise
    tor = Tor(process, Control(*await asyncio.open_unix_connection(sock=ours)))
    try:
        async with _while_it_runs(tor):
            await tor.start(publishes=publishes)
            yield tor
    finally:
        await tor.stop()


@asynccontextmanager
async def _while_it_runs(tor: Tor) -> AsyncIterator[None]:
    """Cancel the block when tor ends, and raise what `Tor.ended` says in place of the
    cancellation."""
    problem: LocalError | None = None

    async def watch() -> None:
        nonlocal problem
        problem = await tor.ended()
        alive.reschedule(asyncio.get_running_loop().time())

    try:
        # A timeout without a time: asyncio's own way to cancel a block and know that it did.
        async with asyncio.timeout(None) as alive:
            watching = asyncio.create_task(watch())
            try:
                yield
            except ControlClosed:
                raise await tor.ended() from None
            finally:
                watching.cancel()
    except TimeoutError:
        if problem is None:
            raise
        raise problem from None


async def _spawn(
    program: TorProgram, folder: Path, text: str, control: socket.socket
) -> asyncio.subprocess.Process:
    file, nothing = folder / "torrc", folder / "torrc-defaults"
    file.write_text(text)
    # The machine's own defaults are for the machine's own tor.
    nothing.write_text("")
    return await asyncio.create_subprocess_exec(
        program.path,
        "--defaults-torrc",
        nothing,
        "-f",
        file,
        pass_fds=[control.fileno()],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Ctrl-C reaches this process, which ends tor in its own way.
        start_new_session=True,
    )


def private_folder(path: Path) -> Path:
    """Make the folder `path`, if there is none, so that only its owner can read it; `path`.

    Raises:
      UsageError: it cannot be made, or its mode cannot be set.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made a folder of tor: {reason_of(error)}") from None
    return path
