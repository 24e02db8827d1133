"""One node of a real run: steps its role under asyncio and carries out the role's effects.

The host knows no network. What arrives is given to `accept`, what is to leave lies in the outboxes
of its links; `hub` and `spoke` carry it. So a role does the same here as in the simulated world.

A node that serves strangers has guests beside its links (`guests`). At the other end is an
`Inquiry`, by which a node asks one question at a time.

**Restarting.** `Save` writes one checkpoint of state, waiting messages and outboxes, and returns
when it is on the disk. Only then may the role go on, so nothing that depends on a state leaves
before the state is safe; and only then are peers told that what they sent is durable here. Where
all are guests, the role goes on at once and its answers are held instead (`commits`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from troth.compute import Compute
from troth.engines.engine import Engine
from troth.errors import PeerError, RoundFailedError, UnreachableError, VerificationError
from troth.ids import NodeId
from troth.roles.effects import (
    Access,
    Collect,
    Collected,
    Effect,
    Load,
    Now,
    Perform,
    Receive,
    Report,
    Save,
    Send,
    SendBytes,
    Sleep,
)
from troth.roles.node import Node, Role
from troth.wire import Codec, Float32s, Message
from troth.worlds.mailbox import Envelope, Mailbox
from troth.worlds.real.commits import Commits
from troth.worlds.real.deadline import AdaptiveDeadline
from troth.worlds.real.guests import GUEST, GUESTS, OVER, Guests
from troth.worlds.real.inquiry import Inquiry
from troth.worlds.real.journal import Checkpoint, Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Link, Refusal
from troth.worlds.states import decode_state, encode_state

T = TypeVar("T")

CHECK_S = 1.0
"""How often a role that waits without a deadline is checked for peers that are not there."""


AT_ONCE_S = 0.001
"""How long a computation may take for which messages wait. No other thread is asked for it."""

STEPS_OF_A_QUESTION = 3
"""Of the event loop, from the socket to the mailbox: read, its task begins, it has its body."""


PROCESS_BYTES = 8


class Tally(msgspec.Struct):
    """What was sent and taken: messages and bytes, by peer and message type."""

    sent: dict[NodeId, dict[str, tuple[int, int]]] = {}
    received: dict[NodeId, dict[str, tuple[int, int]]] = {}
    rounds: int = 0
    """The last round that the role has reported."""
    clock_s: float = 0.0
    """The latest time that the role was told."""


class Observer(Protocol):
    """Watches a node. It is called from another thread than the host's, one call at a time."""

    def report(self, report: Report, tally: Tally) -> None:
        """The role says that a round is over."""

    def refused(self, error: PeerError) -> None:
        """A peer sent something that was thrown away."""


class NumberedEnvelope(Envelope):
    """A message and its number on its link."""

    __slots__ = ("number",)

    def __init__(self, sender: NodeId, number: int, data: bytes) -> None:
        super().__init__(sender, data)
        self.number = number


class Host:
    """Runs one role to its end.

    Args:
      node: where the role runs.
      role: what it does.
      peers: whom it may send to and receive from by links.
      inquiry: what it asks a broker, if it is a stranger to others.
      codec: of the protocol, with `limits.body_bytes` as its bound.
      engine: carries out computations, on a bench that holds this node's rows only.
      journal: where what must survive is kept.
      observer: told about rounds and refusals.
      store: takes the role's `Access` requests, in other threads; None if the role has none.
      lossy: the protocol bears that messages are lost, and repeats what must arrive. So a crash
        loses those that are on their way to or from this node or wait here, and they need not be
        written to the disk. What was received is not sent again even so.
      charter: the digest of what is run, which peers have to run, too; nothing where it is empty.
    """

    def __init__(
        self,
        node: Node,
        role: Role,
        *,
        peers: Sequence[NodeId],
        codec: Codec,
        engine: Engine,
        journal: Journal,
        observer: Observer,
        limits: Limits,
        inquiry: Inquiry | None = None,
        store: Any = None,
        lossy: bool = False,
        charter: str = "",
    ) -> None:
        self.node = node
        self.charter = charter
        self.process = os.urandom(PROCESS_BYTES).hex()
        """Tells this process from all others of the same node."""
        self.codec = codec
        self.limits = limits
        self.links = {
            peer: Link(peer, starts=journal.starts, limits=limits) for peer in sorted(peers)
        }
        self.inquiry = inquiry
        self.tally = Tally()
        self.finished = False
        """The role has returned; peers may still fetch what it sent last."""
        self._role = role
        self._engine = engine
        self._journal = journal
        self._observer = observer
        self._took_s: dict[str, float] = {}
        """What the last computation took, by its label."""
        self._store = store
        self.lossy = lossy
        self._mailbox = Mailbox()
        self._arrived = asyncio.Event()
        self._told = asyncio.Event()
        self._estranged: set[NodeId] = set()
        self._lost = asyncio.Event()
        self._deadline = AdaptiveDeadline(limits.patience)
        self._asked: tuple[object, float] = (None, 0.0)
        self._state: bytes | None = None
        self._result: bytes | None = None
        # What leaves by a link is part of the checkpoint, so it is there before it leaves.
        self._commits = None if peers or inquiry else Commits(journal, failed=self._arrived.set)
        self._guests = Guests(
            self._mailbox, starts=journal.starts, limits=limits, commits=self._commits
        )
        self._restore()

    def _restore(self) -> None:
        kept = self._journal.load()
        if kept.tally:
            self.tally = decode_state(Tally, kept.tally)
        self._state, self._result, self.finished = kept.state, kept.result, kept.finished
        for peer, link in self.links.items():
            link.restore(
                received=kept.received.get(peer, 0),
                outbox={number: data for (to, number), data in kept.outbox.items() if to == peer},
            )
        for (peer, number), data in kept.inbox.items():
            envelope = NumberedEnvelope(peer, number, data)
            envelope.open(self.codec)
            self._mailbox.put(envelope)

    # ---------------------------------------------------------------- running

    async def run(self) -> Float32s | None:
        """What the role returns. A role that had returned before is not run again.

        Raises:
          RoundFailedError: the role gave up. UnreachableError: peers that it waits for are not
            there.
        """
        try:
            return await self._run()
        finally:
            if self._commits is not None:
                await self._commits.close()

    async def _run(self) -> Float32s | None:
        if self.finished:
            assert self._result is not None
            result: Float32s | None = decode_state(Float32s | None, self._result)
        else:
            result = await self._run_role()
            await self._settled()
            self._result = encode_state(result)
            self._mailbox.clear()
            self.finished = True
            self._guests.end()
            await self._save()
        for link in self.links.values():
            link.changed.set()
        return result

    async def _run_role(self) -> Float32s | None:
        coroutine = self._role(self.node)
        value: Any = None
        try:
            while True:
                effect = coroutine.send(value)
                value = await self._carry_out(effect)
        except StopIteration as stop:
            result: Float32s | None = stop.value
            return result
        except PeerError as error:
            raise RoundFailedError(
                f"{self.node.id} could not go on: {', '.join(error.culprits)} {error.message}"
            ) from error
        finally:
            coroutine.close()

    async def drain(self) -> list[NodeId]:
        """Wait, at most `linger_s`, until peers hold all that was sent to them, and the last
        question was answered; those that do not."""

        def pending() -> list[NodeId]:
            return [peer for peer, link in self.links.items() if link.outbox]

        try:
            async with asyncio.timeout(self.limits.linger_s):
                if self.inquiry is not None:
                    await self.inquiry.settled.wait()
                while pending():
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            pass
        return pending()

    def peer_holds(self, link: Link, *, received: int, durable: int) -> None:
        """A peer says what it has of ours.

        One that has messages which this process never gave has them from another process of this
        node, or from before its journal was lost. It would take its next messages for replayed, and
        everybody would wait. One peer alone may lie, so it takes more than half of them to end this
        node: then `watch_journal` raises.

        Raises:
          VerificationError: it holds messages that this process knows nothing of.
        """
        if received > link.last_given:
            self._estranged.add(link.peer)
            if 2 * len(self._estranged) > len(self.links):
                self._lost.set()
            raise self._lost_journal(link.peer)
        self._estranged.discard(link.peer)
        link.peer_holds(received=received, durable=durable)
        self.told()

    async def watch_journal(self) -> None:
        """Never return.

        Raises:
          VerificationError: more than half of all peers hold messages that this process knows
            nothing of.
        """
        await self._lost.wait()
        raise self._lost_journal(*sorted(self._estranged))

    def _lost_journal(self, *peers: NodeId) -> VerificationError:
        hold = "holds" if len(peers) == 1 else "hold"
        shown = ", ".join(peers[:5]) + (" and others" if len(peers) > 5 else "")
        return VerificationError(
            f"{self.node.id} has lost its journal, or runs a second time: {shown} {hold} messages "
            "of it that this process knows nothing of",
            hint="start it with the folder that it had, in one process; without that folder "
            "see what docs/deployment.md says of lost folders",
        )

    def told(self) -> None:
        """A peer has told what it holds."""
        self._told.set()

    # ---------------------------------------------------------------- what arrives

    def room(self, link: Link, size_bytes: int) -> None:
        """Whether this node can hold another message of a peer.

        Raises:
          Refusal: it would have more waiting here than one peer may.
        """
        messages, waiting_bytes = self._mailbox.load_of(link.peer)
        if (
            messages >= self.limits.waiting_messages
            or waiting_bytes + size_bytes > self.limits.waiting_bytes
        ):
            raise Refusal(429, f"{messages} messages wait here already, try again later")

    async def accept(self, link: Link, number: int, previous: int, data: bytes) -> None:
        """A message from a peer.

        Raises:
          Refusal: it is not its next message, not a message of this protocol, or there is no room.
        """
        link.check(number, previous)
        if self.finished:
            link.received = link.durable = number
            return
        self.room(link, len(data))
        envelope = NumberedEnvelope(link.peer, number, data)
        try:
            envelope.open(self.codec)
        except PeerError as error:
            await self.blame(error)
            raise Refusal(400, error.message) from None
        self._mailbox.put(envelope)
        link.received = number
        if self.lossy:
            link.durable = number
        _count(self.tally.received, link.peer, type(envelope.message).__name__, len(data))
        self._arrived.set()

    async def ask(
        self, message: Message, size_bytes: int, answer: asyncio.Future[Message | None]
    ) -> Message | None:
        """A stranger's question, and the role's answer to it, whenever that comes.

        Whoever cancels this takes the question back, if the role has not taken it yet. So does
        whoever answers it first: what is set in `answer` before the role's is what comes of it.

        Args:
          size_bytes: memory that the question takes up while it waits.
          answer: takes the role's answer; new, and of this loop.

        Raises:
          Refusal: there is no room, or the role has returned.
        """
        if self.finished:
            raise OVER
        with self._guests.asking(message, size_bytes, answer):
            _count(self.tally.received, GUESTS, type(message).__name__, size_bytes)
            self._arrived.set()
            return await answer

    def answered(self, data: bytes) -> None:
        """Take in the answer of whoever is asked by `inquiry`.

        Raises:
          PeerError: it is not a message of this protocol.
        """
        assert self.inquiry is not None
        envelope = Envelope(self.inquiry.peer, data)
        envelope.open(self.codec)
        if self.finished:
            return
        self._mailbox.put(envelope)
        _count(self.tally.received, self.inquiry.peer, type(envelope.message).__name__, len(data))
        self._arrived.set()

    async def blame(self, error: PeerError) -> None:
        """A peer did something that concerns its link only."""
        await asyncio.to_thread(self._observer.refused, error)

    # ---------------------------------------------------------------- effects

    async def _carry_out(self, effect: Effect[Any]) -> Any:
        match effect:
            case Send(to=to, message=message):
                self._send(to, message)
            case SendBytes(to=to, data=data):
                self._send_data(to, data, "(raw bytes)")
            case Receive():
                return await self._receive(effect)
            case Collect():
                return await self._collect(effect)
            case Sleep(seconds=seconds):
                await asyncio.sleep(seconds)
            case Now():
                # Restarts and steps of the system's clock must not turn the role's clock back.
                self.tally.clock_s = max(self.tally.clock_s, time.time())
                return self.tally.clock_s
            case Perform(request=request):
                return await self._compute(request)
            case Save(state=state):
                self._state = encode_state(state)
                if self._commits is None:
                    await self._save()
                else:
                    self._commits.put(self._checkpoint())
            case Load(type=type_):
                return None if self._state is None else decode_state(type_, self._state)
            case Access(request=request):
                assert self._store is not None, f"{self.node.id} has no store"
                await self._settled()
                return await asyncio.to_thread(request.run, self._store)
            case Report(round=round):
                # What it is reported of need not be on the disk: after a crash the round is
                # reported again, and its new record takes the place of this one.
                self.tally.rounds = round
                # Who reads what it shows may stand still, so it is told in another thread.
                await asyncio.to_thread(self._observer.report, effect, self.tally)
            case _:
                raise AssertionError(f"{effect!r} is not an effect")
        return None

    async def _compute(self, request: Compute[Any, Any]) -> Any:
        """The request's value. What is over at once is computed here: to have another thread do it
        takes longer."""

        def run() -> Any:
            began_s = time.perf_counter()
            (value,) = self._engine.run([request])
            self._took_s[request.label] = time.perf_counter() - began_s
            return value

        took_s = self._took_s.get(request.label)
        if request.steady and took_s is not None and took_s < AT_ONCE_S:
            return run()
        return await asyncio.to_thread(run)

    def _send(self, to: Sequence[NodeId], message: Message) -> None:
        known: list[NodeId] = []
        for id in to:
            if id.startswith(GUEST):
                self._guests.answer(id, message)
            else:
                known.append(id)
        if known:
            self._send_data(known, self.codec.encode(message), type(message).__name__)

    def _send_data(self, to: Sequence[NodeId], data: bytes, name: str) -> None:
        for id in to:
            if self.inquiry is not None and id == self.inquiry.peer:
                self.inquiry.ask(data)
            else:
                assert id in self.links, f"{self.node.id} sends to {id}, which is no peer of it"
                self.links[id].send(data)
            _count(self.tally.sent, id, name, len(data))

    async def _receive(self, effect: Receive[Any]) -> Any:
        senders = tuple(self.links) if effect.sender is None else (effect.sender,)
        # Guests come when they like: where nobody else is expected, nobody is missing.
        needed = min(1, len(senders))
        return await self._until(
            lambda: self._mailbox.take(effect), effect.deadline_s, lambda: (senders, needed)
        )

    async def _collect(self, effect: Collect[Any]) -> Collected[Any]:
        question = (effect.type, effect.round)
        if self._asked[0] != question:
            # A repeated question goes on being timed from its first time (Karn's rule would throw
            # the answer away, and never learn that everybody is slow).
            self._asked = (question, time.monotonic())
        gathered: dict[NodeId, Envelope] = {}

        def enough() -> bool | None:
            for sender, envelope in self._mailbox.gather(effect).items():
                if sender not in gathered:
                    gathered[sender] = envelope
                    self._deadline.answered(time.monotonic() - self._asked[1])
            return True if len(gathered) >= effect.enough else None

        await self._until(
            enough,
            effect.deadline_s,
            lambda: (effect.expected - gathered.keys(), effect.enough - len(gathered)),
        )
        return Collected({sender: gathered[sender].message for sender in sorted(gathered)})

    async def _until(
        self,
        look: Callable[[], T | None],
        deadline_s: float | None,
        missing: Callable[[], tuple[Collection[NodeId], int]],
    ) -> T | None:
        """What `look` finds, as soon as it finds something; None after the deadline.

        `missing` tells whom it waits for, and how many of them it needs.
        """
        if deadline_s is not None and deadline_s <= 0:
            return await self._at_once(look)
        ends_s = (
            None if deadline_s is None else time.monotonic() + self._deadline.wait_s(deadline_s)
        )
        check_s = time.monotonic() + CHECK_S
        while True:
            if self._commits is not None:
                self._commits.check()
            found = look()
            if found is not None:
                return found
            self._arrived.clear()
            try:
                async with asyncio.timeout((ends_s or check_s) - time.monotonic()):
                    await self._arrived.wait()
            except TimeoutError:
                if ends_s is not None:
                    return look()
                self.check_reached(*missing())
                check_s = time.monotonic() + CHECK_S

    async def _at_once(self, look: Callable[[], T | None]) -> T | None:
        """What `look` finds without waiting. What has come to this machine already is taken in
        meanwhile."""
        for _ in range(STEPS_OF_A_QUESTION):
            found = look()
            if found is not None:
                return found
            await asyncio.sleep(0)
        return look()

    def check_reached(self, missing: Collection[NodeId], needed: int) -> None:
        """Check that so many of the `missing` may still be there.

        Raises:
          UnreachableError: too many were not heard of for `unreachable_s`.
        """
        limit_s = self.limits.unreachable_s
        now_s = time.monotonic()
        silent = sorted(id for id in missing if now_s - self._heard_s(id) > limit_s)
        if len(missing) - len(silent) < needed:
            shown = ", ".join(silent[:5]) + (" and others" if len(silent) > 5 else "")
            raise UnreachableError(
                f"{self.node.id} has not heard of {shown} for {limit_s:g} s",
                hint="see that they run and can connect; this node goes on when started again",
            )

    def _heard_s(self, peer: NodeId) -> float:
        if self.inquiry is not None and peer == self.inquiry.peer:
            return self.inquiry.heard_s
        return self.links[peer].heard_s

    async def _settled(self) -> None:
        """Wait until every state so far is on the disk."""
        if self._commits is not None:
            await self._commits.settled()

    async def _save(self) -> None:
        checkpoint = self._checkpoint()
        await asyncio.to_thread(self._journal.save, checkpoint)
        for peer, link in self.links.items():
            # More may have come meanwhile, and need no save.
            link.durable = max(link.durable, checkpoint.received[peer])

    def _checkpoint(self) -> Checkpoint:
        inbox: dict[tuple[NodeId, int], bytes] = {}
        outbox: dict[tuple[NodeId, int], bytes] = {}
        if not self.lossy:
            for envelope in self._mailbox.waiting:
                if isinstance(envelope, NumberedEnvelope):
                    inbox[envelope.sender, envelope.number] = envelope.data
            for peer, link in self.links.items():
                outbox |= {(peer, number): data for number, data in link.outbox.items()}
        return Checkpoint(
            state=self._state,
            tally=encode_state(self.tally),
            received={peer: link.received for peer, link in self.links.items()},
            inbox=inbox,
            outbox=outbox,
            result=self._result,
            beside=None if self._journal.beside is None else self._journal.beside.digest(),
        )


def _count(
    tally: dict[NodeId, dict[str, tuple[int, int]]], peer: NodeId, name: str, size_bytes: int
) -> None:
    of_peer = tally.setdefault(peer, {})
    messages, total = of_peer.get(name, (0, 0))
    of_peer[name] = (messages + 1, total + size_bytes)
