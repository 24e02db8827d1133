"""`troth launch`: every node of a scenario as a process of its own on this machine, over TLS.

Each node gets an identity of its own for this one run. This process is no node: it starts them,
shows the server's rounds, puts together what they leave, and stops all of them whatever happens.
Every node also stops when the pipe from this process closes, so that killing it leaves none behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec

from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity
from troth.deployment.events import Event, read_event
from troth.errors import (
    CharterError,
    DataError,
    ExitCode,
    LocalError,
    RoundFailedError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from troth.ids import Bytes, NodeId
from troth.records import RoundRecord, Status, Summary
from troth.report.folder import RunFolder
from troth.report.progress import Progress
from troth.worlds.real.peers import peers_text
from troth.worlds.real.stage import hub_of, node_names

MAX_LAUNCHED = 64
"""Most nodes on one machine: each one is a process with PyTorch in it."""

STOP_S = 5.0
"""How long a node may take to stop when it is asked to."""

EVENT_BYTES = 64 * 2**20
"""Longest line of a node: a round record names its parties."""

NODES = "nodes"
PEERS = "peers.toml"

_ERRORS: dict[int, type[LocalError]] = {
    ExitCode.USAGE: UsageError,
    ExitCode.CHARTER: DataError,
    ExitCode.UNREACHABLE: UnreachableError,
    ExitCode.VERIFICATION_FAILED: VerificationError,
}


@dataclass(frozen=True)
class Launch:
    """One launch.

    Args:
      loaded: the scenario, `file` with `changes` applied.
      changes: `key=value`, which every node applies too.
    """

    loaded: LoadedScenario
    file: Path
    changes: Sequence[str]
    progress: Progress

    def run(self, into: Path) -> Path:
        """Run all nodes to their ends; the run's folder.

        Raises:
          LocalError: the scenario cannot be launched, or a node has failed; with its exit code.
        """
        try:
            hub = hub_of(self.loaded.scenario)
            names = node_names(self.loaded.scenario)
        except CharterError as error:
            raise error.in_file(error.file or self.loaded.path) from None
        if len(names) > MAX_LAUNCHED:
            raise UsageError(
                f"{len(names)} nodes are more than {MAX_LAUNCHED} on one machine",
                hint="lower [parties] count, or run it with: troth simulate",
            )
        summary = self._summary("running")
        folder = RunFolder.create(into, self.loaded.text, summary)
        self.progress.start(summary)
        try:
            asyncio.run(_Nodes(self, folder, hub, names).play())
            summary = self._together(folder, hub, names)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            problem = error.message if isinstance(error, LocalError) else repr(error)
            rounds = folder.rounds()
            summary = msgspec.structs.replace(
                self._summary("interrupted" if stopped else "failed"),
                problem="interrupted" if stopped else problem,
                rounds=rounds[-1].round if rounds else 0,
                final=rounds[-1].metrics if rounds else None,
            )
            folder.finish(summary)
            self.progress.finish(summary)
            raise
        folder.finish(summary)
        self.progress.finish(summary)
        return folder.path

    def _summary(self, status: Status) -> Summary:
        scenario = self.loaded.scenario
        return Summary(
            status=status,
            world="real",
            name=scenario.charter.name,
            protocol=str(scenario.charter.protocol.__struct_config__.tag),
            seed=scenario.seed,
            troth_version=version("troth"),
            charter_digest=charter_digest(scenario.charter),
            rounds_planned=scenario.charter.training.rounds,
            task=scenario.charter.task.kind,
        )

    def _together(self, folder: RunFolder, hub: NodeId, names: Sequence[NodeId]) -> Summary:
        """The run's outcome: what the hub says, and what each party says of itself."""
        nodes = {name: RunFolder.open(folder.path / NODES / name) for name in names}
        summaries = {name: node.summary() for name, node in nodes.items()}
        own = {
            party.party: party.own
            for name, summary in summaries.items()
            if name != hub
            for party in summary.parties
        }
        params, digest = nodes[hub].read_model()
        folder.write_model(params, digest)
        summary = summaries[hub]
        if summary.privacy is not None:
            folder.write_privacy(summary.privacy)
        parties = [
            msgspec.structs.replace(party, own=own.get(party.party)) for party in summary.parties
        ]
        notes = [*summary.notes, f"{len(names)} processes on one machine, over TLS on loopback"]
        peak = Bytes(sum(summary.peak_rss_bytes for summary in summaries.values()))
        return msgspec.structs.replace(summary, parties=parties, notes=notes, peak_rss_bytes=peak)


class _Nodes:
    """The processes of one launch."""

    def __init__(
        self, launch: Launch, folder: RunFolder, hub: NodeId, names: Sequence[NodeId]
    ) -> None:
        self._launch = launch
        self._folder = folder
        self._hub = hub
        self._names = names
        self._place = folder.path / NODES
        self._processes: dict[NodeId, asyncio.subprocess.Process] = {}

    async def play(self) -> None:
        identities = {name: Identity.create() for name in self._names}
        for name, identity in identities.items():
            identity.save(self._identity(name))
        public = {name: identity.public for name, identity in identities.items()}
        (self._place / PEERS).write_text(peers_text(public))
        try:
            await self._start(self._hub, "--listen", "127.0.0.1:0")
            url = await self._url()
            for name in self._names:
                if name != self._hub:
                    await self._start(name, "--connect", url)
            await self._wait()
        finally:
            await self._stop()
            for name in self._names:
                # They were for this run only.
                self._identity(name).unlink(missing_ok=True)

    def _identity(self, name: NodeId) -> Path:
        return self._place / f"{name}.pem"

    async def _start(self, name: NodeId, *where: str) -> None:
        command = [sys.executable, "-c", "from troth.cli import main; main()", "node"]
        command += ["--scenario", str(self._launch.file), "--as", name]
        for change in self._launch.changes:
            command += ["--set", change]
        command += ["--identity", str(self._identity(name)), "--peers", str(self._place / PEERS)]
        command += ["--into", str(self._place / name), "--format", "json", "--leash", *where]
        with self._log(name).open("wb") as log:
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
        return self._place / f"{name}.log"

    async def _events(self, name: NodeId) -> None:
        """Read a node's events until its end; the hub's rounds are those of the run."""
        while (event := await self._event(name)) is not None:
            if event.round is not None and name == self._hub:
                self._round(event.round)

    async def _event(self, name: NodeId) -> Event | None:
        stdout = self._processes[name].stdout
        assert stdout is not None
        line = await stdout.readline()
        return read_event(line) if line else None

    def _round(self, record: RoundRecord) -> None:
        self._folder.append_round(record)
        self._launch.progress.round(record)

    async def _url(self) -> str:
        event = await self._event(self._hub)
        if event is None or event.listening is None:
            await self._ended(self._hub)
            raise RoundFailedError(f"{self._hub} did not say where it listens")
        return event.listening

    async def _wait(self) -> None:
        """Until every node has ended well, or one has not."""
        tasks = [asyncio.create_task(self._ended(name)) for name in self._names]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ended(self, name: NodeId) -> None:
        await self._events(name)
        code = await self._processes[name].wait()
        if code != ExitCode.OK:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log = self._log(name).read_text(errors="replace").splitlines()
            said = next((line for line in reversed(log) if line.startswith('{"error"')), None)
            message = f"{name} ended with {how}"
            if said is not None:
                message += f": {msgspec.json.decode(said)['error']}"
            raise _ERRORS.get(code, RoundFailedError)(message, hint=f"see {self._log(name)}")

    async def _stop(self) -> None:
        """End every node there is: ask first, then do not ask."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for number in (signal.SIGINT, signal.SIGKILL):
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)
            try:
                async with asyncio.timeout(STOP_S):
                    await asyncio.gather(*(process.communicate() for process in running))
                return
            except TimeoutError:
                running = [process for process in running if process.returncode is None]
