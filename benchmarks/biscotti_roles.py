"""What one peer of `biscotti` computes in a round, by its role, beside bare multi-exponentiations.

All peers run in one thread, one after the other. Charged to a peer: its role's steps, encoding what
it sends, decoding what it receives, and the computations it asks for. What it needs at least,
timed in the same process: the library's multi-exponentiations with as many points and equally long
scalars; and with them one bare check of each signature, VRF proof and certificate that it has to
look at, which for some roles is more.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, cast

from common import Row, median_time, row
from py_arkworks_bls12381 import G1Point, Scalar
from troth_biscotti import Size

from troth import streams
from troth.charter.loading import load_text
from troth.compute import Compute
from troth.crypto import certificates, signatures, vrf
from troth.crypto.certificates import CertificateKey
from troth.crypto.field import random_elements
from troth.crypto.g1 import scalars
from troth.crypto.signatures import SigningKey
from troth.crypto.vrf import VrfKey
from troth.data.root import data_root
from troth.engines.engine import Engine
from troth.engines.local import InlineEngine
from troth.errors import PeerError
from troth.ids import NodeId, SimulatedSeconds
from troth.privacy.noise import SimulatedSecret
from troth.protocols.biscotti.ledger.context import MAX_AUDITED
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.setting import Setting
from troth.protocols.biscotti.state import PeerState
from troth.roles.effects import Effect, Perform, Report, Save
from troth.roles.node import Node, Role
from troth.wire import Message
from troth.worlds.mailbox import Envelope
from troth.worlds.simulated.runtime import Runtime
from troth.worlds.simulated.stage import prepare
from troth.worlds.simulated.world import SimulatedWorld

TARGET_MS = 1000.0
RUNS = 9
ACCEPTED = 37
"""Of 70 updates, by the authors' rule."""

NOT_BY_LOT = 0.2
"""Of the slots that contributors are given, those that are not their lot, and so need a noiser's
signature: 62 of 307 with three slots for 1.75 requests on average."""

ROLES = {
    "leader": "open_sum",
    "aggregator": "check_shares",
    "verifier": "check_masked",
    "contributor": "mask_update",
}
"""By the computation that nobody else asks for; who asks for none of them is an onlooker."""

Work = Callable[[], object]


class Book:
    """Seconds, and kinds of computation, of each peer in each round."""

    def __init__(self) -> None:
        self.round: dict[NodeId, int] = {}
        self.spent_s: dict[tuple[NodeId, int], float] = defaultdict(float)
        self.labels: dict[tuple[NodeId, int], set[str]] = defaultdict(set)
        self.asked_by: dict[int, NodeId] = {}
        self.stepped: NodeId | None = None

    def charge(self, peer: NodeId, seconds: float) -> None:
        self.spent_s[peer, self.round.get(peer, 0)] += seconds

    def by_role(self, rounds: int) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in (*ROLES, "onlooker")}
        for (peer, round), seconds in self.spent_s.items():
            if 1 <= round <= rounds:
                labels = self.labels[peer, round]
                role = next((name for name, label in ROLES.items() if label in labels), "onlooker")
                found[role].append(seconds)
        return found


class TimedCoroutine:
    """A role's coroutine, its steps charged to its peer."""

    def __init__(self, coroutine: Any, peer: NodeId, book: Book) -> None:
        self._coroutine, self._peer, self._book = coroutine, peer, book

    def send(self, value: Any) -> Effect[Any]:
        book, peer = self._book, self._peer
        book.stepped = peer
        began = time.process_time()
        try:
            effect: Effect[Any] = self._coroutine.send(value)
        finally:
            book.charge(peer, time.process_time() - began)
        if isinstance(effect, Save) and isinstance(effect.state, PeerState):
            # A peer saves when it begins a round; after the last one there is nothing to charge.
            over = effect.state.head.height == effect.state.begun
            book.round[peer] = 0 if over else effect.state.begun
        elif isinstance(effect, Perform):
            book.asked_by[id(effect.request)] = peer
        return effect

    def close(self) -> None:
        self._coroutine.close()


class TimedEngine(Engine):
    """Computes for each peer alone, and charges it."""

    name = "timed"
    share_checks = False

    def __init__(self, inner: InlineEngine, book: Book) -> None:
        super().__init__()
        inner.share_checks = False
        self._inner, self._book = inner, book

    def _run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        return [self._one(request) for request in requests]

    def _one(self, request: Compute[Any, Any]) -> Any:
        book = self._book
        peer = book.asked_by.pop(id(request))
        book.labels[peer, book.round.get(peer, 0)].add(request.label)
        began = time.process_time()
        (value,) = self._inner.run([request])
        book.charge(peer, time.process_time() - began)
        return value


class TimedWorld(SimulatedWorld):
    """Each receiver of a broadcast decodes it itself."""

    book: Book

    def _deliver(self, runtime: Runtime, time_s: float, envelope: Envelope) -> None:
        began = time.process_time()
        self.codec.decode(envelope.data, sender=envelope.sender)
        self.book.charge(runtime.id, time.process_time() - began)
        super()._deliver(runtime, time_s, envelope)


class Nobody:
    """Watches a run and keeps nothing."""

    def report(self, node: NodeId, report: Report, simulated_s: SimulatedSeconds) -> None:
        pass

    def refused(self, receiver: NodeId, error: PeerError) -> None:  # noqa: ARG002
        raise error


def measure_roles(size: Size) -> list[Row]:
    """Rows of part `roles`."""
    book = Book()
    text = size.scenario()
    loaded = load_text(text, path=Path("scenario.toml"), base=Path.cwd())
    stage = prepare(loaded.scenario, base=loaded.base, root=data_root())
    stage.engine.close()
    scenario = loaded.scenario
    timed = {peer: timed_role(role, book) for peer, role in stage.cast.roles.items()}
    world = TimedWorld(
        replace(stage.cast, roles=timed),
        engine=TimedEngine(InlineEngine(stage.bench), book),
        parties=stage.parties,
        stream=streams.world(scenario.seed),
        learning=streams.learning(scenario.seed),
        secret=streams.secret(scenario.seed),
        observer=Nobody(),
        network=scenario.network,
        churn=scenario.churn,
        faults=scenario.faults,
        cost=scenario.cost,
    )
    world.book = book
    encode = world.codec.encode

    def timed_encode(message: Message) -> bytes:
        began = time.process_time()
        data = encode(message)
        assert book.stepped is not None
        book.charge(book.stepped, time.process_time() - began)
        return data

    world.codec.encode = timed_encode  # type: ignore[method-assign]
    world.start()
    # A node computes in threads, where no table of multiples is made. Here all would share one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(world.run).result()
    assert isinstance(stage.brought, Members)
    points = points_of(stage.brought.rules.setting, size)
    checks = checks_of(size)
    sides = {f"points of {role}": work for role, work in points.items()}
    sides |= {f"checks of {role}": work for role, work in checks.items()}
    timings = median_time({name: partial(cpu_s, work) for name, work in sides.items()}, runs=RUNS)
    rows = []
    for role, spent in book.by_role(size.rounds).items():
        case = f"roles: {role}, {len(spent)} times in {size.rounds} rounds"
        points_ms, checks_ms = (
            1e3 * timings[f"{what} of {role}"].median_s for what in ("points", "checks")
        )
        mean_ms = 1e3 * mean(spent)
        rows += [
            row(f"{case}: mean CPU, beside its points", "ms", mean_ms, points_ms),
            row(f"{case}: beside its points and checks", "ms", mean_ms, points_ms + checks_ms),
            row(f"{case}: largest CPU, beside the target", "ms", 1e3 * max(spent), TARGET_MS),
        ]
    return rows


def cpu_s(work: Work) -> float:
    """CPU seconds that one call takes, whatever else the machine does."""
    began = time.process_time()
    work()
    return time.process_time() - began


def timed_role(role: Role, book: Book) -> Role:
    """The role, with its steps charged."""

    def begin(node: Node) -> Any:
        return TimedCoroutine(role(node), node.id, book)

    return begin


def points_of(setting: Setting, size: Size) -> Mapping[str, Work]:
    """The multi-exponentiations that each role needs.

    Everybody: the block's sum. A contributor: its update, and its noisers' noise, jointly. A
    verifier: all masked updates, jointly. An aggregator: one opened slot of noise, for it checks
    one, but not its block a second time. The leader: also the sum that it opens.
    """
    rows = setting.layout.rows
    block = joint(setting, 1, ACCEPTED * setting.bound)
    return {
        "leader": both(block, block, single(setting, setting.noise_bound)),
        "aggregator": both(block, single(setting, setting.noise_bound)),
        "verifier": both(block, joint(setting, size.updates, setting.masked_bound)),
        "contributor": both(
            block,
            single(setting, setting.bound),
            joint(setting, size.noisers, setting.noise_bound, points=rows * size.noisers),
        ),
        "onlooker": block,
    }


def checks_of(size: Size) -> Mapping[str, Work]:
    """The bare checks of signatures, VRF proofs and certificates that each role has to make.

    Everybody: those of the block. A contributor: its noise and its verdicts. A verifier: each
    update, how its noisers were drawn, and noise that is not by lot. An aggregator: verdicts,
    shares, and what the leader shows of the set: verdicts, acknowledgements, votes. The leader:
    besides, acknowledgements, votes and sums as they come.
    """
    v, m = size.verifiers, size.aggregators
    block = ACCEPTED + v + m + MAX_AUDITED
    aggregator = block + v + ACCEPTED + v + m + m
    signed = {
        "leader": aggregator + 3 * m,
        "aggregator": aggregator,
        "verifier": block + round(size.updates * (1 + NOT_BY_LOT * size.noisers)),
        "contributor": block + size.noisers + v,
        "onlooker": block,
    }
    proofs = {role: 1 + (size.updates if role == "verifier" else 0) for role in signed}
    text = bytes(200)
    signer, prover, certifier = (
        SigningKey(bytes(32)), VrfKey(bytes(32)), CertificateKey.from_seed(bytes(32)),
    )  # fmt: skip
    me = NodeId("me")
    signature, proof = signer.sign("bench", text), prover.prove(text)
    known = certificates.check_possession(certifier.public, certifier.prove_possession(), owner=me)
    aggregate = certificates.combine([known], text, {me: certifier.sign(text)})

    def work(role: str) -> None:
        for _ in range(signed[role]):
            signatures.verify(signer.public, "bench", text, signature, signer=me)
        for _ in range(proofs[role]):
            vrf.verify(prover.public, text, proof, prover=me)
        certificates.verify_aggregate([known], text, aggregate, sender=me)

    return {role: partial(work, role) for role in signed}


def joint(setting: Setting, claims: int, bound: int, *, points: int | None = None) -> Work:
    """The two multi-exponentiations of a joint check of openings."""
    rows = setting.layout.rows
    bits = 128 + (2 * bound).bit_length() + (claims * rows).bit_length()
    return both(
        bare(setting, setting.layout.columns, bits), bare(setting, points or rows * claims, 128)
    )


def single(setting: Setting, bound: int) -> Work:
    """Those of committing to one vector."""
    each = bare(setting, setting.layout.columns, (2 * bound).bit_length())
    return both(*[each] * setting.layout.rows)


def bare(setting: Setting, count: int, bits_each: int) -> Work:
    """One multi-exponentiation by uniform scalars of so many bits."""
    known = [cast("G1Point", point) for point in setting.key.generators.coordinates_L]
    points = (known * -(-count // len(known)))[:count]
    bits = SimulatedSecret(streams.secret(2)).bits()
    drawn = [Scalar(int(value) % 2**bits_each) for value in scalars(random_elements(bits, count))]
    return partial(G1Point.multiexp_unchecked, points, drawn)


def both(*works: Work) -> Work:
    """All of them, one after the other."""

    def run() -> None:
        for work in works:
            work()

    return run
