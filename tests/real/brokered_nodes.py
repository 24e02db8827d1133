"""What the tests of brokered runs share: broker, curator and providers as processes that can be
killed at a chosen moment, and what they did until then.

The processes are forked from one that has imported everything already, so each costs milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import numpy as np

from troth import streams
from troth.charter.digest import charter_digest
from troth.charter.loading import load_scenario
from troth.cli import run
from troth.compute import Compute
from troth.crypto.identity import Identity
from troth.crypto.puzzles import SolvePuzzle
from troth.protocols.tormentor.claims import Witness
from troth.protocols.tormentor.messages import GradientUpdate, Next
from troth.protocols.tormentor.operation import asking as parties_module
from troth.protocols.tormentor.operation import serving as broker_module
from troth.protocols.tormentor.operation.terms import of_scenario
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.state import BrokerState, Plan, ProviderState
from troth.report.folder import RunFolder
from troth.roles.effects import Effect, Load, Perform, Received, Save, Send
from troth.roles.node import Node
from troth.wire import Message
from troth.worlds.real import guests as guests_module
from troth.worlds.real.journal import Checkpoint, Journal
from troth.worlds.states import decode_state, encode_state

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "sklearn.datasets",
        "troth.charter.loading",
        "troth.data.bundled",
        "troth.protocols.tormentor.operation.serving",
        "troth.protocols.tormentor.operation.asking",
    ]
)

WAIT_S = 120.0
"""Longer than anything here takes, so that a test which hangs ends."""

LINGER_S = 20.0
"""How long a broker stays for those who have not heard that it is over: longer than they take."""

SHORT_LINGER: list[object] = ["--linger", 5.0]
"""The same where one is killed for good."""

KILLED = -signal.SIGKILL

LAST, MAX_SHOWN = 4, 200
"""How much is shown of each process where a test fails: lines, and characters of each."""


@dataclass(frozen=True)
class Crash:
    """The process kills itself at a save, counted from 1 at its start."""

    save: int
    when: Literal["before", "after", "instead"]
    """`after`: it is on the disk, and nothing that depends on it has left. `instead`: nothing is
    saved and the role goes no further, until somebody else kills the process."""


AT_DEPLOYMENT = Crash(0, "before")
"""The broker has a folder, and has not kept what the curator has sent."""

AT_FINISH = Crash(-2, "after")
"""The broker has saved that the training is over, and nobody knows."""

AT_THE_END = Crash(-1, "instead")
"""Its role has returned, which is not on the disk yet; its last answers still leave."""


class NodeProcess:
    """One verb of the command line in a process.

    Args:
      traced: where it writes what its role does.
    """

    def __init__(self, arguments: Sequence[object], traced: Path, crash: Crash | None) -> None:
        ours, theirs = FORKS.Pipe(duplex=False)
        self._log = traced.with_suffix(".log")
        self._traced = traced
        self._last_events: deque[str] = deque(maxlen=LAST)
        self._process = FORKS.Process(
            target=_play,
            args=([*map(str, arguments)], dict(os.environ), theirs, self._log, traced, crash),
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()

    def _read(self, pipe: Pipe) -> None:
        with pipe, os.fdopen(os.dup(pipe.fileno())) as lines:
            for line in lines:
                self._last_events.append(line.strip())
                self._events.put(json.loads(line))
        self._events.put(None)

    def event(self, kind: str) -> Any:
        """The next event of a kind; the process has to live to tell it."""
        while (event := self._events.get(timeout=WAIT_S)) is not None:
            if kind in event:
                return event[kind]
        raise AssertionError(f"it ended without saying {kind}: {self.said}")

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        assert self._process.is_alive(), self.said
        self._process.kill()
        self.died()

    def died(self) -> None:
        """Wait for its `Crash`."""
        assert self.code() == KILLED, self.said

    def code(self) -> int:
        """Its exit code, once it has ended."""
        self._process.join(WAIT_S)
        assert self._process.exitcode is not None, "it does not end"
        self._reader.join()
        return self._process.exitcode

    def end(self) -> None:
        code = self.code()
        assert code == 0, self.said

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._reader.join()

    def last_words(self) -> str:
        """How it is, what it said last, and what its role did last."""
        code = self._process.exitcode
        lines = ["still runs" if code is None else f"has ended with {code}"]
        lines += [f"said: {line[:MAX_SHOWN]}" for line in self._last_events]
        log = self.said if self._log.exists() else ""
        lines += [f"logged: {line[:MAX_SHOWN]}" for line in log.splitlines()[-LAST:]]
        done: deque[Done] = deque(maxlen=LAST)
        # It may have done nothing yet.
        with suppress(FileNotFoundError):
            done.extend(done_in(self._traced))
        lines += [
            f"did: {kind} {what if isinstance(what, str) else type(what).__name__}"
            for kind, what in done
        ]
        return "\n    ".join(lines)


class Brokered:
    """The nodes of a scenario with a broker, each in a process and in a folder of its own."""

    def __init__(self, scenario: Path, folder: Path, changes: Sequence[str]) -> None:
        self.scenario = scenario
        self.folder = folder
        loaded = load_scenario(scenario, overrides=changes)
        self.changes = [word for change in changes for word in ("--set", change)]
        self.charter = of_scenario(loaded.scenario)
        self.providers = [f"party-{i}" for i in range(loaded.scenario.parties.count)]
        self.nodes: dict[str, NodeProcess] = {}
        self.listen = "127.0.0.1:0"
        self.address = ""
        self.further: dict[str, list[object]] = {}
        """More arguments, by node."""
        for name in (BROKER, CURATOR):
            Identity.create().save(folder / f"{name}.pem")

    @property
    def joining(self) -> str:
        """The address by which providers join."""
        return f"{self.address}/{charter_digest(self.charter)}"

    def start(self, name: str, crash: Crash | None = None) -> NodeProcess:
        """Start a node, or start it again where it was."""
        identity = ["--identity", self.folder / f"{name}.pem"]
        rows = ["--scenario", self.scenario, "--as", name, *self.changes]
        verb = {
            BROKER: ["broker", *self.listening(), *identity, "--linger", LINGER_S],
            CURATOR: ["curate", self.scenario, "--broker", self.address, *identity, *self.changes],
        }.get(name, ["join", self.joining, *rows])
        verb += ["--into", self.folder / name, "--format", "json", *self.further.get(name, [])]
        self.nodes[name] = NodeProcess(verb, self.trace(name), crash)
        return self.nodes[name]

    def listening(self) -> list[object]:
        """How the broker is told where to wait."""
        return ["--listen", self.listen]

    def start_broker(self, crash: Crash | None = None) -> NodeProcess:
        """Start it, and know its address; it keeps that when it is started again."""
        process = self.start(BROKER, crash)
        self.address = process.event("listening").split("/sha256:")[0]
        self.listen = self.address.split("@")[1]
        return process

    def start_verb(self, name: str, *arguments: object, crash: Crash | None = None) -> NodeProcess:
        """Start a node by a command line of its own."""
        into = ["--into", self.folder / name, "--format", "json"]
        self.nodes[name] = NodeProcess([*arguments, *into], self.trace(name), crash)
        return self.nodes[name]

    def start_all(
        self, crash: Crash | None = None, crashes: dict[str, Crash] | None = None
    ) -> None:
        """The broker, its curator, and providers once there is a model to join."""
        broker = self.start_broker(crash)
        self.start(CURATOR)
        broker.event("deployed")
        for name in self.providers:
            self.start(name, (crashes or {}).get(name))

    def end(self) -> None:
        """Every node has done its part."""
        for node in self.nodes.values():
            node.end()

    def trace(self, name: str) -> Path:
        return self.folder / f"{name}.trace"

    def model(self, name: str = CURATOR) -> np.ndarray:
        """The one that a node was left with."""
        return RunFolder(self.folder / name).read_model()[0]["params"]

    def plan(self) -> Plan:
        assert isinstance(self.charter.protocol, Tormentor)
        nothing_D = np.zeros(0, np.float32)
        digest = charter_digest(self.charter)
        return Plan((), nothing_D, self.charter.training, self.charter.protocol, digest)

    def witness(self) -> Witness:
        """Has seen what the broker did, over all its starts, and found nothing wrong with it."""
        return replayed(self.plan(), starts(self.trace(BROKER)))


@contextmanager
def brokered(scenario: Path, folder: Path, *, changes: Sequence[str] = ()) -> Iterator[Brokered]:
    with stopping(Brokered(scenario, folder, changes)) as nodes:
        yield nodes


N = TypeVar("N", bound=Brokered)


@contextmanager
def stopping(nodes: N) -> Iterator[N]:
    """No process of these nodes outlives the block."""
    try:
        yield nodes
    except BaseException as error:
        # One that waits for another may be the first to be noticed, so all of them are shown.
        for name, node in nodes.nodes.items():
            error.add_note(f"{name} {node.last_words()}")
        raise
    finally:
        for node in nodes.nodes.values():
            node.stop()


def write_tumours(
    folder: Path,
    protocol: str = "",
    extra: str = "",
    *,
    rounds: int = 6,
    rate: float = 1.0,
) -> Path:
    """A small scenario without chance: full batches, one model to start from."""
    path = folder / "tumours.toml"
    path.write_text(
        f"""
name = "tumours"
seed = 3
partition = "equal"

[task]
kind = "classification"
data = "breast_cancer"
model = "logistic"

[training]
rounds = {rounds}
update = "gradient"
batch_size = "all"
learning_rate = {rate}

[protocol]
name = "tormentor"
difficulty = 1
admission_difficulty = 1
validation_fraction = 0.3
{protocol}

[parties]
count = 3

{extra}
"""
    )
    return path


# ---------------------------------------------------------------- in the process


def _play(
    arguments: list[str],
    environ: dict[str, str],
    out: Pipe,
    log: Path,
    traced: Path,
    crash: Crash | None,
) -> None:
    # The fork server has the environment of the test that it was started in.
    os.environ.update(environ)
    sys.stdout = os.fdopen(os.dup(out.fileno()), "w")
    sys.stderr = log.open("a")
    for module, name in ((broker_module, BROKER), (parties_module, "provider")):
        setattr(module, name, _traced(getattr(module, name), traced))
    _trace_answers(traced)
    if crash is not None:
        _prepare(crash)
    sys.exit(run(arguments))


def _trace_answers(path: Path) -> None:
    """Have it written down what guests are told, when they are: the role has said it before."""
    release = guests_module._tell

    def traced(answer: asyncio.Future[Message | None], message: Message) -> None:
        if not answer.done():
            with Trace(path) as trace:
                trace.write("told", message)
        release(answer, message)

    guests_module._tell = traced


def _prepare(crash: Crash) -> None:
    save, saves = Journal.save, 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def crashing(journal: Journal, checkpoint: Checkpoint) -> None:
        nonlocal saves
        saves += 1
        due = saves == crash.save or (crash == AT_THE_END and checkpoint.finished)
        if crash == AT_FINISH and checkpoint.state is not None:
            due = decode_state(BrokerState, checkpoint.state).finished
        if due and crash.when == "instead":
            threading.Event().wait()
        if due and crash.when == "before":
            die()
        save(journal, checkpoint)
        if due:
            die()

    Journal.save = crashing
    if crash == AT_DEPLOYMENT:
        broker_module._keep = lambda folder, curate: die()


Done = tuple[str, Any]
"""What a role did: `started`, `asked`, `told`, `computing`, `saving`, `saved`, and what. A broker
may have `saved` what is not on the disk yet; guests are `told` when it is."""

LENGTH_BYTES = 8
"""What stands before each record of a trace: how many bytes it has."""


class Trace:
    """The file to which a process writes what its role does, before and after it does it.

    A process that is killed in the middle of a record leaves a part of it. Whoever opens the trace
    next cuts that off, so that every record after it can be read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab+", buffering=0)
        self._file.seek(0)
        whole = 0
        while _whole_record(self._file) is not None:
            whole = self._file.tell()
        self._file.truncate(whole)

    def write(self, kind: str, what: object) -> None:
        record = pickle.dumps((kind, what))
        self._file.write(len(record).to_bytes(LENGTH_BYTES) + record)

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _whole_record(trace: BinaryIO) -> bytes | None:
    """The next record of a trace; None where it ends, be it in the middle of a record."""
    length = trace.read(LENGTH_BYTES)
    size = int.from_bytes(length)
    record = trace.read(size)
    return record if len(length) == LENGTH_BYTES and len(record) == size else None


def _traced(role: Callable[..., Any], path: Path) -> Callable[..., Any]:
    async def traced(node: Node, *arguments: Any, **keys: Any) -> Any:
        with Trace(path) as trace:
            inner, value = role(node, *arguments, **keys), None
            while True:
                try:
                    effect: Effect[Any] = inner.send(value)
                except StopIteration as stop:
                    return stop.value
                if isinstance(effect, Save):
                    trace.write("saving", effect.state)
                elif isinstance(effect, Send) and not effect.to[0].startswith(guests_module.GUEST):
                    trace.write("told", effect.message)
                elif isinstance(effect, Perform):
                    trace.write("computing", _named(effect.request))
                value = await effect
                if isinstance(effect, Save):
                    trace.write("saved", effect.state)
                elif isinstance(effect, Load):
                    trace.write("started", value)
                elif isinstance(value, Received):
                    trace.write("asked", value.message)

    return traced


def _named(request: Compute[Any, Any]) -> str:
    if isinstance(request, SolvePuzzle):
        return f"{request.label} of difficulty {request.puzzle.difficulty}"
    return request.label


# ---------------------------------------------------------------- afterwards


def done_in(path: Path) -> Iterator[Done]:
    """What a role did, over all its starts, in order."""
    with path.open("rb") as trace:
        while (record := _whole_record(trace)) is not None:
            yield pickle.loads(record)


def starts(path: Path) -> list[list[Done]]:
    """What a role did in each of its starts; saves are those that have survived."""
    kept: list[list[Done]] = []
    for kind, what in done_in(path):
        if kind == "started":
            if kept:
                kept[-1] = _survived(kept[-1], what)
            kept.append([])
        kept[-1].append((kind, what))
    return [[each for each in done if each[0] != "saving"] for done in kept]


def _survived(done: Sequence[Done], loaded: object) -> list[Done]:
    """What a role did before its process was killed and the next one went on from `loaded`; later
    saves were not on the disk."""
    encoded = encode_state(loaded)
    last = len(done) - 1
    while last >= 0:
        kind, what = done[last]
        if kind in ("saving", "saved") and encode_state(what) == encoded:
            break
        last -= 1
    # It may have been killed when this was on the disk, and before it was said to be.
    survived = [*done[: max(last, 0)], ("saved", loaded)] if last >= 0 else []
    return survived + [each for each in done[last + 1 :] if each[0] not in ("saving", "saved")]


def replayed(plan: Plan, done: Sequence[Sequence[Done]]) -> Witness:
    """A witness that has seen all of it.

    Raises `AssertionError` where a promise was broken.
    """
    witness = Witness(plan)
    for start in done:
        _replay(witness, start)
    witness.check_end()
    return witness


def _replay(witness: Witness, done: Sequence[Done]) -> None:
    """Let the witness see it as if it stood beside the broker."""
    # What else was asked and told does not concern it.
    seen = [
        (kind, what)
        for kind, what in done
        if kind in ("started", "saved") or isinstance(what, GradientUpdate | Next)
    ]

    async def again(node: Node) -> None:
        for kind, what in seen:
            if kind == "started":
                await node.load(BrokerState)
            elif kind == "asked":
                await node.receive(GradientUpdate)
            elif kind == "told":
                await node.send(CURATOR, what)
            else:
                await node.save(what)

    stream = streams.secret(0)
    watched = witness.watch(again)(Node(BROKER, stream, stream))
    watched.send(None)
    with suppress(StopIteration):
        for kind, what in seen:
            watched.send({"started": what, "asked": Received(CURATOR, what)}.get(kind))


def released(nodes: Brokered, name: str) -> dict[bytes, bytes]:
    """The update that a provider has saved for each puzzle.

    Raises `AssertionError` where it has made two for one.
    """
    updates: dict[bytes, bytes] = {}
    for state in provider_states(nodes, name):
        if state.pending is not None:
            update = state.pending.update_D.tobytes()
            assert updates.setdefault(state.pending.nonce, update) == update
    return updates


def provider_states(nodes: Brokered, name: str) -> list[ProviderState]:
    """What a provider has saved, over all its starts, in order."""
    return [what for done in starts(nodes.trace(name)) for kind, what in done if kind == "saved"]
