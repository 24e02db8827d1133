"""The nodes of a launch as processes of this machine: started, listened to, and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from troth.crypto.identity import Identity, PublicId
from troth.deployment.events import Event, read_event
from troth.errors import (
    DataError,
    ExitCode,
    LocalError,
    RoundFailedError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from troth.ids import NodeId
from troth.records import RoundRecord
from troth.report.atomic import replace_file
from troth.worlds.real.peers import peers_text

STOP_S = 5.0
"""How long a node may take to stop when it is asked to."""

EVENT_BYTES = 64 * 2**20
"""Longest line of a node: a round record names its parties."""

PEERS = "peers.toml"


def identity_file(place: Path, name: NodeId) -> Path:
    """Where a node of a launch has its identity.

    Args:
      place: where each node has a folder of its name.
    """
    return place / f"{name}.pem"


_ERRORS: dict[int, type[LocalError]] = {
    ExitCode.USAGE: UsageError,
    ExitCode.CHARTER: DataError,
    ExitCode.UNREACHABLE: UnreachableError,
    ExitCode.VERIFICATION_FAILED: VerificationError,
}


class Processes:
    """The processes of one launch, one for each node.

    Args:
      names: of all nodes; the rounds of the first are those of the run.
      place: where each node has a folder of its name.
      file: the scenario.
      on_round: given every round of the first node.
    """

    def __init__(
        self,
        names: Sequence[NodeId],
        place: Path,
        file: Path,
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self.names = names
        self.place = place
        self.file = str(file)
        self.public: dict[NodeId, PublicId] = {}
        """Of all nodes, once they play."""
        self._on_round = on_round
        self._processes: dict[NodeId, asyncio.subprocess.Process] = {}
        self._watchers: dict[NodeId, asyncio.Task[None]] = {}
        self._log_begins: dict[NodeId, int] = {}
        """What nodes of an earlier start have said stands before these places."""

    async def play(self, start: Callable[[], Awaitable[None]]) -> None:
        """Have `start` start all nodes, and wait until they have ended. Identities of an earlier
        start are used again: others know the nodes by them.

        Raises:
          LocalError: one of them has failed.
        """
        identities = {name: self._identified(name) for name in self.names}
        self.public = {name: identity.public for name, identity in identities.items()}
        self.write_peers({})
        try:
            await start()
            await self._wait()
        finally:
            await self._stop()

    def _identified(self, name: NodeId) -> Identity:
        if self._identity(name).exists():
            return Identity.load(self._identity(name))
        identity = Identity.create()
        identity.save(self._identity(name))
        return identity

    def forget_identities(self) -> None:
        """Remove what was for this run only, once it is over."""
        for name in self.names:
            self._identity(name).unlink(missing_ok=True)

    def write_peers(self, addresses: Mapping[NodeId, str]) -> None:
        """Tell nodes that are started from now on where others listen."""
        replace_file(self.place / PEERS, peers_text(self.public, addresses).encode())

    def _identity(self, name: NodeId) -> Path:
        return identity_file(self.place, name)

    def identified(self, name: NodeId) -> list[str]:
        """The options by which a node is told its identity."""
        return ["--identity", str(self._identity(name))]

    def scenario(self, name: NodeId) -> list[str]:
        """The options by which a node is told the scenario and which node it is."""
        return ["--scenario", self.file, "--as", name]

    async def node(self, name: NodeId, *where: str) -> None:
        """Start a process of `troth node` for this node, and hear what it says."""
        peers = ["--peers", str(self.place / PEERS)]
        await self.start(name, "node", *self.identified(name), *peers, *self.scenario(name), *where)

    async def listening(self, name: NodeId, *where: str) -> str:
        """Start `troth node` for a node that listens; the URL by which others connect to it."""
        await self.node(name, *where)
        url = (await self.said(name, "listening")).listening
        assert url is not None
        return url

    async def start(self, name: NodeId, *verb: str) -> None:
        """Start a node by a verb of the command line and its arguments."""
        command = [sys.executable, "-c", "from troth.cli import main; main()", *verb]
        command += ["--into", str(self.place / name), "--format", "json", "--leash"]
        with self._log(name).open("ab") as log:
            self._log_begins[name] = log.tell()
            self._processes[name] = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=EVENT_BYTES,
                # Ctrl-C reaches this process, which stops them in its own way.
                start_new_session=True,
            )

    def _log(self, name: NodeId) -> Path:
        return self.place / f"{name}.log"

    async def _events(self, name: NodeId) -> None:
        """Read a node's events until its end."""
        while (event := await self._event(name)) is not None:
            if event.round is not None and name == self.names[0]:
                self._on_round(event.round)

    async def _event(self, name: NodeId) -> Event | None:
        stdout = self._processes[name].stdout
        assert stdout is not None
        line = await stdout.readline()
        return read_event(line) if line else None

    async def said(self, name: NodeId, what: str) -> Event:
        """The event in which a node says `what`, the first of its kind."""
        while (event := await self._event(name)) is not None:
            if getattr(event, what) is not None:
                return event
            if event.summary is not None:
                break
        await self._ended(name)
        raise RoundFailedError(f"{name} ended before it was {what}")

    async def _wait(self) -> None:
        """Until every node has ended well, or one has not."""
        tasks = [self.watched(name) for name in self.names]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def watched(self, name: NodeId) -> asyncio.Task[None]:
        """Waits for the node's end; asked again, it is the same task."""
        if name not in self._watchers:
            self._watchers[name] = asyncio.create_task(self._ended(name))
        return self._watchers[name]

    async def _ended(self, name: NodeId) -> None:
        await self._events(name)
        code = await self._processes[name].wait()
        if code != ExitCode.OK:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log = self._log(name).read_bytes()[self._log_begins[name] :]
            said = next(
                (line for line in reversed(log.splitlines()) if line.startswith(b'{"error"')), None
            )
            message = f"{name} ended with {how}"
            if said is not None:
                message += f": {msgspec.json.decode(said)['error']}"
            raise _ERRORS.get(code, RoundFailedError)(message, hint=f"see {self._log(name)}")

    async def _stop(self) -> None:
        """End every node there is: ask first, then do not ask."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)
            try:
                async with asyncio.timeout(STOP_S):
                    await asyncio.gather(*(process.communicate() for process in running))
                return
            except TimeoutError:
                running = [process for process in running if process.returncode is None]
