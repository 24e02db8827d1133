"""`troth launch`: every node of a scenario as a process of its own on this machine, over TLS.

Each node gets an identity of its own for this one run. This process is no node: it starts them,
shows the server's rounds, puts together what they leave, and stops all of them whatever happens.
Every node also stops when the pipe from this process closes, so that killing it leaves none behind.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np

from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity
from troth.deployment.events import Event, read_event
from troth.deployment.play import with_rounds
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
from troth.ids import Bytes, NodeId, party_id
from troth.protocols.biscotti.operation.founding import (
    build,
    make_own,
    noise_file,
    terms_of,
    write_genesis_file,
)
from troth.protocols.lookup import protocol_of
from troth.protocols.tormentor.state import BROKER, CURATOR
from troth.records import PartyRecord, RoundRecord, Status, Summary, Traffic
from troth.report.folder import RunFolder
from troth.report.privacy import launched_privacy_record
from troth.report.progress import Progress
from troth.report.read import CHAIN
from troth.worlds.real.honest import check_honest
from troth.worlds.real.peers import peers_text, read_peers
from troth.worlds.real.reach import check_reachable_by_tor
from troth.worlds.real.stage import Mesh, node_names, topology_of
from troth.worlds.real.tor.socks import tor_client

MAX_LAUNCHED = 64
"""Most nodes on one machine: each one is a process with PyTorch in it."""

STOP_S = 5.0
"""How long a node may take to stop when it is asked to."""

LINGER_S = 3600
"""How long a broker waits for its providers to hear that all is done: one that solves a hard puzzle
asks late. None is waited for that has ended, as the launch ends then."""

EVENT_BYTES = 64 * 2**20
"""Longest line of a node: a round record names its parties."""

MEET_S = 600
"""How long a peer waits for others that it does not hear of. All of them are started, one after the
other, and none is waited for that has ended, as the launch ends then."""

NODES = "nodes"
PEERS = "peers.toml"
GENESIS = "genesis"
SHARED_TOR = "tor"

_ERRORS: dict[int, type[LocalError]] = {
    ExitCode.USAGE: UsageError,
    ExitCode.CHARTER: DataError,
    ExitCode.UNREACHABLE: UnreachableError,
    ExitCode.VERIFICATION_FAILED: VerificationError,
}


@dataclass(frozen=True)
class ThroughTor:
    """By Tor and no other way.

    Args:
      config: more lines for tor.
    """

    config: Path | None = None


@dataclass(frozen=True)
class Launch:
    """One launch.

    Args:
      loaded: the scenario, `file` with `changes` applied.
      changes: `key=value`, which every node applies too.
      tor: None: straight, over loopback.
    """

    loaded: LoadedScenario
    file: Path
    changes: Sequence[str]
    progress: Progress
    tor: ThroughTor | None = None

    def run(self, into: Path) -> Path:
        """Run all nodes to their ends; the run's folder.

        Raises:
          LocalError: the scenario cannot be launched, or a node has failed; with its exit code.
        """
        scenario = self.loaded.scenario
        try:
            check_honest(scenario)
            if protocol_of(scenario.charter.protocol).topology == "brokered":
                parties = (
                    party_id(i, scenario.parties.count) for i in range(scenario.parties.count)
                )
                names: tuple[NodeId, ...] = (BROKER, CURATOR, *parties)
                nodes: type[_Nodes] = _Brokered
            else:
                names = node_names(scenario)
                nodes = _Peers if isinstance(topology_of(scenario), Mesh) else _Nodes
            if self.tor is not None:
                check_reachable_by_tor(protocol_of(scenario.charter.protocol))
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
            launched = nodes(self, folder, names)
            asyncio.run(launched.play())
            summary = launched.together()
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


class _Nodes:
    """The processes of one launch; the first one is the hub, whose rounds are those of the run."""

    def __init__(self, launch: Launch, folder: RunFolder, names: Sequence[NodeId]) -> None:
        self._launch = launch
        self._folder = folder
        self._names = names
        self._first = names[0]
        self._place = folder.path / NODES
        self._processes: dict[NodeId, asyncio.subprocess.Process] = {}
        self._watchers: dict[NodeId, asyncio.Task[None]] = {}

    @property
    def _owner(self) -> NodeId:
        """Who has the model, and has measured it on the test set."""
        return self._first

    def together(self) -> Summary:
        """The run's outcome, and in its folder the model and `privacy.json`."""
        left = {name: RunFolder.open(self._place / name) for name in self._names}
        self._folder.write_model(*left[self._owner].read_model())
        summaries = {name: node.summary() for name, node in left.items()}
        summary = self._of_all(summaries)
        if summary.privacy is not None:
            self._folder.write_privacy(summary.privacy)
        own = {
            party.party: party.own
            for each in summaries.values()
            for party in each.parties
            if party.own is not None
        }
        tor = self._launch.tor
        way = "over TLS on loopback" if tor is None else "over TLS, by Tor"
        return msgspec.structs.replace(
            summary,
            final=summaries[self._owner].final,
            parties=[
                msgspec.structs.replace(party, own=own.get(party.party))
                for party in summary.parties
            ],
            notes=[*summary.notes, f"{len(self._names)} processes on one machine, {way}"],
            peak_rss_bytes=Bytes(sum(each.peak_rss_bytes for each in summaries.values())),
        )

    def _of_all(self, summaries: Mapping[NodeId, Summary]) -> Summary:
        """What the nodes say together: a hub has seen everything."""
        return summaries[self._first]

    async def play(self) -> None:
        """Start all nodes, and wait until they have ended.

        Raises:
          LocalError: one of them has failed.
        """
        identities = {name: Identity.create() for name in self._names}
        for name, identity in identities.items():
            identity.save(self._identity(name))
        public = {name: identity.public for name, identity in identities.items()}
        (self._place / PEERS).write_text(peers_text(public))
        try:
            await self._start_all()
            await self._wait()
        finally:
            await self._stop()
            for name in self._names:
                # They were for this run only.
                self._identity(name).unlink(missing_ok=True)

    def _identity(self, name: NodeId) -> Path:
        return self._place / f"{name}.pem"

    async def _start_all(self) -> None:
        await self._node(self._first, "--listen", "127.0.0.1:0")
        url = (await self._said(self._first, "listening")).listening
        assert url is not None
        for name in self._names[1:]:
            await self._node(name, "--connect", url)

    async def _node(self, name: NodeId, *where: str) -> None:
        peers = ["--peers", str(self._place / PEERS)]
        await self._start(
            name, "node", *self._identified(name), *peers, *self._scenario(name), *where
        )

    def _identified(self, name: NodeId) -> list[str]:
        return ["--identity", str(self._identity(name))]

    def _scenario(self, name: NodeId) -> list[str]:
        return ["--scenario", str(self._launch.file), "--as", name, *self._changes()]

    def _changes(self) -> list[str]:
        return [word for change in self._launch.changes for word in ("--set", change)]

    async def _start(self, name: NodeId, *verb: str) -> None:
        command = [sys.executable, "-c", "from troth.cli import main; main()", *verb]
        command += ["--into", str(self._place / name), "--format", "json", "--leash"]
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
        """Read a node's events until its end."""
        while (event := await self._event(name)) is not None:
            if event.round is not None and name == self._first:
                self._round(event.round)

    async def _event(self, name: NodeId) -> Event | None:
        stdout = self._processes[name].stdout
        assert stdout is not None
        line = await stdout.readline()
        return read_event(line) if line else None

    def _round(self, record: RoundRecord) -> None:
        self._folder.append_round(record)
        self._launch.progress.round(record)

    async def _said(self, name: NodeId, what: str) -> Event:
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
        tasks = [self._watched(name) for name in self._names]
        try:
            for task in asyncio.as_completed(tasks):
                await task
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _watched(self, name: NodeId) -> asyncio.Task[None]:
        """Waits for the node's end; asked again, it is the same task."""
        if name not in self._watchers:
            self._watchers[name] = asyncio.create_task(self._ended(name))
        return self._watchers[name]

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


class _Peers(_Nodes):
    """Peers of a ledger, with a genesis made for this one run."""

    async def play(self) -> None:
        try:
            # In a thread, so that an interrupt is heard meanwhile.
            await asyncio.to_thread(self._make_genesis)
            await super().play()
        finally:
            for name in self._names:
                for file in (self._secret(name), noise_file(self._secret(name))):
                    file.unlink(missing_ok=True)

    def _make_genesis(self) -> None:
        terms = terms_of(self._launch.loaded)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(lambda name: make_own(terms, name, self._secret(name)), self._names)
        genesis = build(terms, [own.entry for own in made])
        write_genesis_file(self._place / GENESIS, genesis)

    def together(self) -> Summary:
        """The same, with the chain, which is the same at all of them."""
        shutil.copyfile(self._place / self._first / CHAIN, self._folder.path / CHAIN)
        return super().together()

    def _of_all(self, summaries: Mapping[NodeId, Summary]) -> Summary:
        """Each peer knows only what it has sent and spent itself; of rounds all know the same."""
        first = self._first
        parties = _own_records(summaries)
        traffic: dict[str, Traffic] = {}
        for party in parties:
            for name, sent in party.sent.items():
                before = traffic.get(name, Traffic(messages=0, bytes=Bytes(0)))
                traffic[name] = Traffic(
                    messages=before.messages + sent.messages,
                    bytes=Bytes(before.bytes + sent.bytes),
                )
        notes = [*summaries[first].notes, f"traffic in rounds.jsonl is that of {first}"]
        expected, _ = self._folder.read_model()
        odd = [
            name
            for name in self._names
            if not np.array_equal(
                RunFolder.open(self._place / name).read_model()[0]["params"], expected["params"]
            )
        ]
        if odd:
            notes.append(f"did not end with the model of {first}: {', '.join(odd)}")
        spent = [own for each in summaries.values() if each.privacy for own in each.privacy.parties]
        summary = msgspec.structs.replace(
            summaries[first],
            parties=parties,
            traffic=dict(sorted(traffic.items())),
            bytes_sent=Bytes(sum(party.bytes_sent for party in parties)),
            notes=notes,
            privacy=launched_privacy_record(spent),
        )
        return with_rounds(summary, self._folder.rounds())

    async def _start_all(self) -> None:
        # One after the other, as each has to be told where those before it listen.
        addresses: dict[NodeId, str] = {}
        public = read_peers(self._place / PEERS)
        for name in self._names:
            await self._node(
                name, "--listen", "127.0.0.1:0", "--genesis", str(self._place / GENESIS),
                "--secret", str(self._secret(name)), "--give-up-after", str(MEET_S),
            )  # fmt: skip
            url = (await self._said(name, "listening")).listening
            assert url is not None
            addresses[name] = url
            (self._place / PEERS).write_text(peers_text(public, addresses))

    def _secret(self, name: NodeId) -> Path:
        return self._place / f"{name}.secret"


class _Brokered(_Nodes):
    """A broker, its curator, and providers that know neither."""

    _listening: Sequence[str] = ("--listen", "127.0.0.1:0")
    """How the broker is told where to wait."""
    _reaching: Sequence[str] = ()
    """How the others are told by which way."""

    @property
    def _owner(self) -> NodeId:
        """A broker hands its model over, and measures on validation rows."""
        return CURATOR

    def _of_all(self, summaries: Mapping[NodeId, Summary]) -> Summary:
        """A broker does not know its providers' rows, and has no seed."""
        return msgspec.structs.replace(
            summaries[BROKER],
            parties=_own_records(summaries),
            seed=self._launch.loaded.scenario.seed,
        )

    async def play(self) -> None:
        if self._launch.tor is None:
            await super().play()
            return
        config = self._launch.tor.config
        shared = self._place / SHARED_TOR
        self._listening = ["--tor", *(("--tor-config", str(config)) if config else ())]
        try:
            # One tor for all who connect: each of them has circuits of its own all the same, by its
            # SOCKS credentials, and the Tor network is not asked by dozens of tors for one run.
            async with tor_client(shared, config=config, shared=True) as socks:
                self._reaching = ["--tor-socks", f"{socks.host}:{socks.port}"]
                await super().play()
        finally:
            # Guards and onion address were for this run only.
            for folder in (shared, self._place / f"{BROKER}.tor"):
                shutil.rmtree(folder, ignore_errors=True)

    async def _start_all(self) -> None:
        curator = Identity.load(self._identity(CURATOR)).public
        broker = [*self._listening, *self._code(), "--linger", str(LINGER_S), "--curator", curator]
        await self._start(BROKER, "broker", *self._identified(BROKER), *broker)
        address = (await self._said(BROKER, "listening")).listening
        assert address is not None
        file = str(self._launch.file)
        curate = [file, "--broker", address, *self._identified(CURATOR), *self._changes()]
        await self._start(CURATOR, "curate", *curate, *self._reaching)
        deployed = asyncio.create_task(self._said(BROKER, "deployed"))
        # A curator that fails would leave the broker waiting for another.
        failed = self._watched(CURATOR)
        await asyncio.wait((deployed, failed), return_when=asyncio.FIRST_COMPLETED)
        if not deployed.done():
            deployed.cancel()
            await failed
            raise RoundFailedError("the curator ended before it had a broker")
        model = (await deployed).deployed
        assert model is not None
        for name in self._names:
            if name not in (BROKER, CURATOR):
                joining = [model, *self._scenario(name), *self._code(), *self._reaching]
                await self._start(name, "join", *joining)

    def _code(self) -> list[str]:
        # All of it is the user's own, who has named this scenario.
        return ["--code", str(self._launch.loaded.base)]


def _own_records(summaries: Mapping[NodeId, Summary]) -> list[PartyRecord]:
    """What each party says of itself."""
    return [party for each in summaries.values() for party in each.parties]
