"""How many updates a broker takes in: over TLS, durably, from 32 providers in 8 processes.

    .venv/bin/python benchmarks/broker.py

For D = 25, 7,850 and 1,000,000 parameters: a broker process with everything on (puzzles checked,
RONI on a tenth of the updates, one transaction on the disk before an answer leaves), and 32
providers that send updates as fast as they are answered. They compute none, as that would measure
them, and their puzzles are of difficulty 1 (16 hashes on average). There are as many of them as it
takes to stay below what a broker lets one connection ask (100 requests a second), since the
benchmark would measure that bound otherwise.

The reference is what such a machine can do at all: an HTTPS server of the same libraries (uvicorn,
h11, starlette, asyncio's TLS with the same settings; one process, one event loop, and nothing of
ours in its connections). It reads the same bodies and answers messages that were encoded
beforehand, of the same size, and does nothing else. It is asked by as many of the same providers,
which solve as many puzzles: the two sides differ in the server alone. Both are under load in turns,
in the same run; whoever asks the other is stopped meanwhile, and a figure is the median of its
turns. Servers and providers share the cores. Beside it: CPU time of the server for each update, and
the most memory it held, in updates (4 D bytes) above what it held at the beginning of a turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from common import Row, row, write_results
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from troth.charter.charter import Charter, Task
from troth.crypto.identity import Identity
from troth.crypto.puzzles import Puzzle, SolvePuzzle, issue, model_digest
from troth.crypto.signatures import SigningKey
from troth.crypto.spec import Sha256Puzzle
from troth.data.examples import Examples
from troth.data.spec import NamedData
from troth.errors import LocalError
from troth.learning.spec import Logistic, Softmax
from troth.learning.training import Training
from troth.protocols.tormentor.joining import JOIN
from troth.protocols.tormentor.messages import (
    MESSAGES,
    Admission,
    GradientUpdate,
    Join,
    Joined,
    Next,
    Solve,
)
from troth.protocols.tormentor.operation.asking import run_curator
from troth.protocols.tormentor.parameters import RONI, Tormentor
from troth.protocols.tormentor.rounds import UPDATE
from troth.report.progress import QuietProgress
from troth.roles.messages import Question
from troth.wire import Codec, Message
from troth.worlds.real.answers import read_answer
from troth.worlds.real.api.address import Address, parse_address
from troth.worlds.real.api.client import make_client
from troth.worlds.real.api.forms import MSGPACK
from troth.worlds.real.api.paths import MODEL, path_of
from troth.worlds.real.limits import Limits, body_bytes
from troth.worlds.real.rows import Rows
from troth.worlds.real.serving import Server
from troth.worlds.real.tls import open_server_context

PROCESSES = 8
CONNECTIONS = 4
"""Of each process: each is a provider of its own."""
PROVIDERS = PROCESSES * CONNECTIONS
TURNS = 5
WARM_UP_S = 1.0
SECONDS = 4.0
"""Of each turn. With the warm-up it is less than the time for which a body may stand still."""
TARGET = 1 / 1.3
"""Accepted updates a second at D = 25, as a share of the bare server's requests."""
NOISE_BYTES = 2**20
"""What a Python process may grow by for reasons of its own: below that, memory is not told."""
CASES = {
    "D = 25": (Logistic(), 24, 2, 1_000),
    "D = 7,850": (Softmax(), 784, 10, 1_000),
    "D = 1,000,000": (Softmax(), 99_999, 10, 32),
}
"""Model, features, classes and validation rows."""


@dataclass(frozen=True)
class Measured:
    """One server under load."""

    per_s: float
    cpu_s: float
    """Of the server, for each update."""
    peak_bytes: float
    """Memory above what it held before."""


class Process:
    """A server process, as /proc (Linux) sees it."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu_s(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(name))
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5")


# ------------------------------------------------------------------ provider processes


async def provide(address: Address, dimension: int) -> None:
    """Join, then send updates; prints a line for each that is accepted, with its time."""
    limits = Limits(body_bytes=body_bytes(dimension))
    codec = Codec(MESSAGES, max_bytes=limits.body_bytes)
    key = SigningKey(os.urandom(32))
    assert address.model_id is not None
    async with make_client(address, limits, None) as client:

        async def ask(question: Question) -> Message:
            while True:
                data = codec.encode(question)
                headers = {"content-type": MSGPACK, "accept": MSGPACK}
                request = client.build_request(
                    "POST", path_of(question), content=data, headers=headers
                )
                answer = await client.send(request, stream=True)
                body = await read_answer(answer, codec.max_bytes)
                await answer.aclose()
                if answer.status_code in (200, 409):
                    return codec.decode(body, sender=address.host)
                assert answer.status_code == 202, (answer.status_code, body[:200])

        puzzle = (await ask(Join(address.model_id, key.public))).puzzle
        signature = key.sign(JOIN, puzzle.challenge())
        solved = Solve(address.model_id, puzzle, solution(puzzle), signature)
        answer = await ask(solved)
        token = answer.token
        # So small that the model stays finite, however many come.
        update_D = (1e-9 * np.random.default_rng().standard_normal(dimension)).astype(np.float32)
        while True:
            puzzle = answer.puzzle
            question = GradientUpdate(
                address.model_id, token, puzzle.nonce, solution(puzzle), answer.version, update_D
            )
            answer = await ask(question)
            print(
                f"{time.monotonic():.6f} {type(answer).__name__} {getattr(answer, 'reason', '')}",
                flush=True,
            )


def solution(puzzle: Puzzle) -> bytes:
    return SolvePuzzle(Sha256Puzzle(), puzzle, None).run(None).solution


async def provide_all(address: Address, dimension: int) -> None:
    """The providers of one process."""
    await asyncio.gather(*(provide(address, dimension) for _ in range(CONNECTIONS)))


# ------------------------------------------------------------------ the reference server


async def serve_reference(identity: Identity, dimension: int) -> None:
    """Reads whatever comes, and answers what was encoded beforehand: to whoever asks it is a broker
    that takes everything."""
    model_id = f"sha256:{bytes(32).hex()}"
    params_D = np.zeros(dimension, np.float32)
    codec = Codec(MESSAGES, max_bytes=body_bytes(dimension))

    def puzzle(round: int) -> Puzzle:
        digest = model_digest(params_D)
        return issue(
            digest,
            UPDATE,
            model_id=model_id,
            provider=digest,
            round=round,
            model_digest=digest,
            difficulty=1,
        )

    # As hard as they come on average, so several.
    puzzles = [puzzle(round) for round in range(max(1, min(256, 2**20 // dimension)))]
    nexts = [codec.encode(Next(each.nonce, 1, params_D, each)) for each in puzzles]
    first = puzzles[0]
    said = {
        "join": cycle([codec.encode(Admission(first))]),
        "solve": cycle([codec.encode(Joined(first.nonce, first.nonce, 1, params_D, first))]),
        "update": cycle(nexts),
    }

    async def answer(request: Request) -> Response:
        with suppress(ClientDisconnect):
            async for _ in request.stream():
                pass
        return Response(next(said[request.path_params["action"]]), media_type=MSGPACK)

    application = Starlette(routes=[Route(f"{MODEL}/{{action}}", answer, methods=["POST"])])
    server = Server(application, H11Protocol, open_server_context(identity), Limits(), idle_s=60)
    port = await server.open("127.0.0.1", 0)
    print(Address(identity.public, "127.0.0.1", port, model_id), flush=True)
    await asyncio.Event().wait()


# ------------------------------------------------------------------ one case


class Load:
    """The processes whose providers ask one server. They are stopped, but for their turns.

    Raises:
      SystemExit: one of them has ended, so that there is nothing to measure.
    """

    def __init__(self, server: subprocess.Popen[str], address: Address, dimension: int) -> None:
        command = [sys.executable, __file__, "--role", "provider", "--address", str(address)]
        command += ["--dimension", str(dimension)]
        self._server = Process(server.pid)
        self._drivers = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
        ]
        self._times: list[float] = []
        self._readers = [
            threading.Thread(target=self._read, args=(driver,), daemon=True)
            for driver in self._drivers
        ]
        for reader in self._readers:
            reader.start()

    def begin(self) -> None:
        """Wait until all of them have begun."""
        while len(self._times) < 2 * PROVIDERS:
            self._check()
            time.sleep(0.05)

    def stop(self) -> None:
        for driver in self._drivers:
            driver.send_signal(signal.SIGSTOP)

    def turn(self) -> Measured:
        """What the server does for them."""
        for driver in self._drivers:
            driver.send_signal(signal.SIGCONT)
        time.sleep(WARM_UP_S)
        process = self._server
        base = process.memory_bytes("VmRSS")
        process.forget_peak()
        began_s, cpu_s = time.monotonic(), process.cpu_s()
        time.sleep(SECONDS)
        ended_s, cpu_s = time.monotonic(), process.cpu_s() - cpu_s
        peak = process.memory_bytes("VmHWM")
        self._check()
        self.stop()
        # What was written before that is read by then.
        time.sleep(0.1)
        done = sum(began_s <= when < ended_s for when in self._times)
        return Measured(done / (ended_s - began_s), cpu_s / done, max(0, peak - base))

    def end(self) -> None:
        for driver in self._drivers:
            driver.kill()
            driver.wait()
        for reader in self._readers:
            reader.join()

    def _read(self, driver: subprocess.Popen[str]) -> None:
        assert driver.stdout is not None
        for line in driver.stdout:
            when, kind, *_ = line.split()
            assert kind == "Next", f"the broker said {line}"
            self._times.append(float(when))

    def _check(self) -> None:
        if any(driver.poll() is not None for driver in self._drivers):
            sys.exit("error: a process that asks has ended")


def broker_of(case: str, folder: Path) -> tuple[subprocess.Popen[str], Address]:
    """A broker process with a model, and the address of that."""
    model, features, classes, rows = CASES[case]
    charter = Charter(
        name="benchmark",
        task=Task(kind="classification", data=NamedData(name="credit"), model=model),
        training=Training(rounds=1_000_000, update="gradient", learning_rate=1.0),
        protocol=Tormentor(
            min_providers=PROVIDERS,
            difficulty=1,
            admission_difficulty=1,
            # Whoever is stopped for a turn comes with an old one.
            puzzle_rounds=100_000,
            # It looks, and rejects nothing: near a model of zeros the least update may change what
            # is predicted for many rows, and the providers only go on from what is accepted.
            verifiers=[RONI(threshold=1.0)],
        ),
    )
    Identity.create().save(folder / "broker.pem")
    command = [sys.executable, "-c", "from troth.cli import main; main()", "broker"]
    command += ["--identity", str(folder / "broker.pem"), "--listen", "127.0.0.1:0"]
    command += ["--into", str(folder / "broker"), "--format", "json", "--leash"]
    broker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    )
    assert broker.stdout is not None
    address = parse_address(json.loads(broker.stdout.readline())["listening"])
    generator = np.random.default_rng(0)
    own = Examples(
        generator.random((rows, features), np.float32), generator.integers(classes, size=rows)
    )
    validation = Rows(own, own, (features,), classes, "classification", 1e-6)

    def curate() -> None:
        # At the end the broker is killed, and the folder gone.
        with suppress(LocalError):
            run_curator(
                charter,
                Identity.create(),
                validation,
                address,
                base=folder,
                into=folder / "curator",
                progress=QuietProgress(),
            )

    threading.Thread(target=curate, daemon=True).start()
    deployed = parse_address(json.loads(broker.stdout.readline())["deployed"])
    # It writes a line for every round, which somebody has to take.
    threading.Thread(target=broker.stdout.read, daemon=True).start()
    return broker, deployed


def compare(case: str) -> list[Row]:
    """Broker and reference, in turns."""
    _, features, classes, _ = CASES[case]
    dimension = (features + 1) * (1 if classes == 2 else classes)
    # The curator is never told that its broker is gone, and writes into the folder at the end.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        ExitStack() as ending,
    ):
        broker, address = broker_of(case, Path(name))
        ending.callback(end, broker)
        command = [sys.executable, __file__, "--role", "reference", "--dimension", str(dimension)]
        reference = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        ending.callback(end, reference)
        assert reference.stdout is not None
        bare_address = parse_address(reference.stdout.readline().strip())
        ours = Load(broker, address, dimension)
        ending.callback(ours.end)
        bare = Load(reference, bare_address, dimension)
        ending.callback(bare.end)
        for load in (ours, bare):
            load.begin()
        for load in (ours, bare):
            load.stop()
        turns = [(ours.turn(), bare.turn()) for _ in range(TURNS)]
    per_s, bare_per_s = (statistics.median(turn[i].per_s for turn in turns) for i in (0, 1))
    cpu_s, bare_cpu_s = (statistics.median(turn[i].cpu_s for turn in turns) for i in (0, 1))
    rows = [
        row(f"{case}: accepted", "updates/s; reference: a bare server", per_s, bare_per_s),
        row(f"{case}: CPU", "ms/update; reference: the same", 1e3 * cpu_s, 1e3 * bare_cpu_s),
    ]
    if dimension == 25:
        unit = f"share of the bare server's; reference: target, 1/{1 / TARGET:.3g}"
        rows.append(row(f"{case}: accepted", unit, per_s / bare_per_s, TARGET))
    if 4 * dimension > NOISE_BYTES:
        held = max(ours.peak_bytes for ours, _ in turns) / (4 * dimension)
        unit = "updates held above idle; reference: 2 of each provider"
        rows.append(row(f"{case}: memory", unit, held, 2.0 * PROVIDERS))
    return rows


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--role", choices=["provider", "reference"], help=argparse.SUPPRESS)
    parser.add_argument("--address", type=parse_address, help=argparse.SUPPRESS)
    parser.add_argument("--dimension", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    match arguments.role:
        case "provider":
            asyncio.run(provide_all(arguments.address, arguments.dimension))
        case "reference":
            asyncio.run(serve_reference(Identity.create(), arguments.dimension))
        case None:
            write_results("broker", [line for case in CASES for line in compare(case)])


if __name__ == "__main__":
    main()
