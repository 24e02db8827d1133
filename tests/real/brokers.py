"""What the tests of the broker's API share: a broker in this process, and somebody who asks it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from real_nodes import Watcher

from troth import streams
from troth.crypto.identity import Identity
from troth.crypto.puzzles import Puzzle, SolvePuzzle
from troth.crypto.signatures import SigningKey
from troth.engines.local import InlineEngine
from troth.learning.training import Training
from troth.protocols.tormentor import joining, roles
from troth.protocols.tormentor.messages import (
    MESSAGES,
    Curate,
    GradientUpdate,
    Join,
    Joined,
    Solve,
)
from troth.protocols.tormentor.operation.face import FACE
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.state import Deposit, Plan
from troth.roles.messages import Question
from troth.roles.node import Node, Role
from troth.wire import Codec, Message
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.paths import path_of
from troth.worlds.real.api.server import BrokerServer, Deployed
from troth.worlds.real.host import Host
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.tls import stranger_context

CHARTER = b'{"what":"a charter"}'
MODEL_ID = f"sha256:{hashlib.sha256(CHARTER).hexdigest()}"
OTHER_ID = f"sha256:{'0' * 64}"
CURATOR_KEY = SigningKey(b"c" * 32)
MSGPACK, JSON = "application/msgpack", "application/json"
CODEC = Codec(MESSAGES)
D = 4


def make_plan(*, dimension: int = D, rounds: int = 1000, **keys: object) -> Plan:
    parameters = Tormentor(
        **({"difficulty": 0, "admission_difficulty": 1, "verifiers": [], "min_providers": 1} | keys)
    )
    parameters.check()
    training = Training(rounds=rounds, learning_rate=0.5)
    initial_D = np.zeros(dimension, np.float32)
    return Plan((), initial_D, training, parameters, MODEL_ID, address="https://here")


@dataclass
class RunningBroker:
    """A broker with its server, and a way to say anything to it."""

    server: BrokerServer
    identity: Identity
    port: int
    host: Host | None

    @property
    def address(self) -> Address:
        return Address(self.identity.public, "127.0.0.1", self.port, MODEL_ID)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=stranger_context(self.identity.public),
            trust_env=False,
            timeout=20.0,
        )


def make_host(folder: Path, role: Role, limits: Limits, name: str = "broker") -> Host:
    stream = streams.learning(1)
    return Host(
        Node(BROKER, stream, stream.child("secret")),
        role,
        peers=(),
        codec=Codec(MESSAGES, max_bytes=limits.body_bytes),
        engine=InlineEngine(None),
        journal=Journal(folder / f"{name}.sqlite", node=BROKER, run="run"),
        observer=Watcher(),
        limits=limits,
    )


@asynccontextmanager
async def running_broker(
    folder: Path,
    *,
    limits: Limits | None = None,
    plan: Plan | None = None,
    role: Role | None = None,
    identity: Identity | None = None,
    port: int = 0,
    curated: bool = False,
) -> AsyncIterator[RunningBroker]:
    """A broker that waits for its `Curate`, or plays `role`.

    Args:
      curated: it need not wait any more.
    """
    limits = limits or Limits()
    host = make_host(folder, role or partial(roles.broker, plan=plan or make_plan()), limits)
    running = asyncio.create_task(host.run())
    identity = identity or Identity.create()
    server = BrokerServer(FACE, identity, limits, deployed=Deployed(host, MODEL_ID, CHARTER))
    try:
        broker = RunningBroker(server, identity, await server.open("127.0.0.1", port), host)
        if curated:
            async with broker.client() as client:
                await ask(client, curate())
        yield broker
        if running.done():
            running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()
        host._journal.close()


def with_broker(
    folder: Path, test: Callable[[RunningBroker], Awaitable[None]], **options: object
) -> None:
    async def run() -> None:
        async with running_broker(folder, **options) as broker:
            await test(broker)

    asyncio.run(run())


# ---------------------------------------------------------------- questions


def curate(key: SigningKey = CURATOR_KEY) -> Curate:
    return joining.curation(MODEL_ID, key, Deposit())


def provider_key(name: str = "ann") -> SigningKey:
    return SigningKey(name.encode().ljust(32, b"\0"))


def solution_of(puzzle: Puzzle) -> bytes:
    return SolvePuzzle(make_plan().parameters.puzzle, puzzle, None).run(None).solution


def solve(puzzle: Puzzle, key: SigningKey) -> Solve:
    signature = key.sign(joining.JOIN, puzzle.challenge())
    return Solve(MODEL_ID, puzzle, solution_of(puzzle), signature)


def update(joined: Joined, value: float = 0.1, dimension: int = D) -> GradientUpdate:
    return GradientUpdate(
        MODEL_ID,
        joined.token,
        joined.puzzle.nonce,
        solution_of(joined.puzzle),
        joined.version,
        np.full(dimension, value, np.float32),
    )


async def post(client: httpx.AsyncClient, question: Question) -> httpx.Response:
    return await client.post(
        path_of(question), content=CODEC.encode(question), headers={"content-type": MSGPACK}
    )


def message_in(answer: httpx.Response) -> Message:
    assert answer.headers["content-type"] == MSGPACK, answer.text
    return CODEC.decode(answer.content, sender=BROKER)


async def ask(client: httpx.AsyncClient, question: Question, status: int = 200) -> Message:
    answer = await post(client, question)
    assert answer.status_code == status, answer.content
    return message_in(answer)


async def join(client: httpx.AsyncClient, name: str = "ann") -> Joined:
    key = provider_key(name)
    admission = await ask(client, Join(MODEL_ID, key.public))
    joined = await ask(client, solve(admission.puzzle, key))
    assert isinstance(joined, Joined)
    return joined
