"""The simulated world: steps role coroutines in virtual time from one seeded scheduler.

**Order.** Events are taken by time; events of one instant in the order in which they came about.
What comes about together, the starts of all roles, the receivers of a broadcast and the
computations of a batch, is put into an order shuffled by the seed, so no protocol can lean on a
lucky one. Everything random is named by its node and a count, never by global order. Messages of
one instant on one link keep the order they were sent in.

**Batching.** A node that computes is set aside. Other nodes go on while nothing they see could
depend on it: until its computation is over in simulated time, plus the least delay of the network
(`lookahead_s`; the conservative rule of parallel discrete-event simulation, Chandy & Misra 1979).
Then all computations set aside go to the engine together. A node itself only ever moves forward in
time.

**Messages.** A large message is handed on as the sender's own object, if nobody can tell: see
`troth.pieces`. So the update of a party, the message that carries it, the state that the party
keeps and what the server aggregates are one array in memory.

**Trace.** Each node chains a digest over what it sent, received, changed in its store and reported,
when it went down and up, and the time of each; the trace digest covers all chains in order of node.
Same scenario and seed give the same digest. It guards against accident, not against malice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from xxhash import xxh3_128

from troth.charter.world import Churn, CostSpec, Faults, Network, ZeroCost
from troth.engines.engine import Engine
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, PartyId, SimulatedSeconds
from troth.pieces import PieceWriter
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
from troth.roles.node import Cast, Node
from troth.streams import Stream
from troth.wire import Codec
from troth.worlds.mailbox import fits_collect, fits_receive
from troth.worlds.simulated.cost import known_cost_s, run_at_cost
from troth.worlds.simulated.envelope import EnvelopeOfPieces, SimulatedEnvelope
from troth.worlds.simulated.faults import Outage, RandomChurn, scheduled
from troth.worlds.simulated.network import SimulatedNetwork
from troth.worlds.simulated.queue import Event, EventQueue, Kind
from troth.worlds.simulated.runtime import Runtime
from troth.worlds.states import KeptState, decode_state

TRACE_VERSION = 2
"""Raised when the same run gives another trace digest: 2 since fingerprints are XXH3-128."""

IDLE_OUTAGES = 100_000
"""Outages in a row without any message or timer after which a run counts as stuck."""


T = TypeVar("T")

_BLOCKING = frozenset({Receive, Collect, Sleep, Now})

EVENTS_BETWEEN_CHECKPOINTS = 64
"""How often `checkpoint` is offered; the clock is not asked before every event."""


class Observer(Protocol):
    """Watches a run; it can neither see nor touch what roles keep to themselves."""

    def report(self, node: NodeId, report: Report, simulated_s: SimulatedSeconds) -> None:
        """A node says that a round is over."""

    def refused(self, receiver: NodeId, error: PeerError) -> None:
        """`receiver` threw a message away."""


class SimulatedWorld:
    """Runs a cast to its end.

    Args:
      cast: who plays what.
      engine: carries out computations.
      parties: the nodes that random churn concerns.
      stream: the run's `world` stream; roles get the run's `learning` stream, by node.
      learning: see above.
      secret: the run's `secret` stream; each role gets a part of its own.
      observer: told about rounds and refusals.
      checkpoint: called now and then at a moment when `snapshot.take` may be.
    """

    def __init__(
        self,
        cast: Cast,
        *,
        engine: Engine,
        parties: Sequence[PartyId],
        stream: Stream,
        learning: Stream,
        secret: Stream,
        observer: Observer,
        network: Network,
        churn: Churn,
        faults: Faults,
        cost: CostSpec,
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        self.cast = cast
        self.codec = Codec(cast.messages)
        self.network = SimulatedNetwork(network, stream)
        self.stores = None if cast.stores is None else cast.stores()
        self.nodes = {
            id: Runtime(
                Node(id, learning.child("node", id), secret.child("node", id)),
                role,
                None if self.stores is None else self.stores.of(id),
            )
            for id, role in sorted(cast.roles.items())
        }
        self.events = EventQueue()
        self._pieces = PieceWriter(self.codec)
        self.traffic: Counter[str] = Counter()
        self.traffic_bytes: Counter[str] = Counter()
        self._engine = engine
        self._cost = cost
        self._costs_nothing = isinstance(cost, ZeroCost)
        self._observer = observer
        self._checkpoint = checkpoint
        self._churn = RandomChurn(churn, parties, stream)
        # A party that was not admitted is not in the cast.
        self._outages = [o for o in scheduled(faults, churn) if o.node in self.nodes]
        self._order = stream.child("order")
        self._lookahead_s = self.network.lookahead_s
        self._pending: list[tuple[Runtime, Perform[Any]]] = []
        self._safe_until_s = float("inf")
        self._idle_outages = 0
        self._steps_to_checkpoint = EVENTS_BETWEEN_CHECKPOINTS
        self._leading_left = set(cast.leading)
        self._carriers: dict[type[Effect[Any]], Callable[[Runtime, Any], Any]] = {
            Send: self._send_message,
            SendBytes: self._send_bytes,
            Save: self._save,
            Load: self._load,
            Access: self._access,
            Report: self._report,
        }

    # ---------------------------------------------------------------- running

    def start(self) -> None:
        """Schedule the outages, and start every role at time 0."""
        for outage in self._outages:
            self._schedule(self.nodes[outage.node], outage.from_s, Kind.DOWN, outage)
        for party in self._churn.parties:
            self._next_churn(self.nodes[party], 0.0)
        starts: list[Event] = [(Kind.UP, runtime, None) for runtime in self.nodes.values()]
        self.events.add_all(0.0, self._shuffled(starts, "start"))

    def run(self) -> SimulatedSeconds:
        """Go on until every leading role has returned; how long that took in simulated time.

        Raises:
          RoundFailedError: a deadlock (it says who waits for what), or a role that gave up.
        """
        while self._leading_left:
            if self._pending and self.events.next_s > self._safe_until_s:
                self._flush()
            if not self.events or (self._idle_outages > IDLE_OUTAGES and self._only_outages()):
                raise self._deadlock()
            if self._checkpoint is not None and not self._pending:
                self._steps_to_checkpoint -= 1
                if self._steps_to_checkpoint <= 0:
                    self._steps_to_checkpoint = EVENTS_BETWEEN_CHECKPOINTS
                    self._checkpoint()
            time_s, event = self.events.take()
            kind, runtime, payload = event
            if kind is Kind.BROADCAST:
                self._deliver_all(runtime, time_s, *payload)
                continue
            if runtime.set_aside and self._must_wait(runtime, time_s):
                self.events.add_first(time_s, event)
                self._flush()
                continue
            self._handle(runtime, time_s, kind, payload)
        return SimulatedSeconds(max(self.nodes[id].clock_s for id in self.cast.leading))

    def leave(self, id: NodeId) -> None:
        """Do not wait for this node any more: its role has returned."""
        self._leading_left.discard(id)

    def trace_digest(self) -> str:
        """Digest of all nodes' traces so far, with the version of the way it is made."""
        digest = xxh3_128()
        for id, runtime in self.nodes.items():
            digest.update(id.encode() + b"\0" + runtime.chain)
        return f"trace-{TRACE_VERSION}:{digest.hexdigest()}"

    def _must_wait(self, runtime: Runtime, time_s: float) -> bool:
        """Whether the node's computation must be carried out before this event touches the node."""
        assert isinstance(runtime.waiting, Perform)
        return time_s > runtime.clock_s + self._cost_s(runtime.waiting)

    def _handle(self, runtime: Runtime, time_s: float, kind: Kind, payload: Any) -> None:
        if kind in (Kind.DOWN, Kind.UP):
            self._idle_outages += 1
            if not runtime.finished:
                self._outage(runtime, time_s, kind, payload)
            return
        self._idle_outages = 0
        if not runtime.up or runtime.finished:
            return
        if kind is Kind.DELIVER:
            self._deliver(runtime, time_s, payload)
        elif kind is Kind.ARRIVE:
            done_s = self.network.received_s(runtime.id, size_bytes=payload.size, arrival_s=time_s)
            self._schedule(runtime, done_s, Kind.DELIVER, payload)
        elif payload != runtime.wait_number:
            return
        elif kind is Kind.RESUME:
            self._wake(runtime, time_s, runtime.ready)
        else:
            value = None
            if isinstance(runtime.waiting, Collect):
                value = self._collected(runtime)
            self._wake(runtime, time_s, value)

    def _outage(self, runtime: Runtime, time_s: float, kind: Kind, outage: Outage | None) -> None:
        if kind is Kind.UP:
            if outage is None and runtime.outages:
                return
            runtime.outages -= outage is not None
            if runtime.outages == 0:
                runtime.up = True
                runtime.clock_s = max(runtime.clock_s, time_s)
                runtime.note(b"up")
                runtime.coroutine = runtime.role(runtime.node)
                self._advance(runtime, None)
            return
        assert outage is not None
        if runtime.set_aside:
            self._pending = [entry for entry in self._pending if entry[0] is not runtime]
            self._safe_until_s = min(
                (self._safe_after(*entry) for entry in self._pending), default=float("inf")
            )
        runtime.outages += 1
        runtime.up = False
        runtime.clock_s = max(runtime.clock_s, time_s)
        runtime.stop()
        runtime.note(b"down")
        if outage.until_s is not None:
            self._schedule(runtime, outage.until_s, Kind.UP, outage)
            if outage.reason == "churn":
                self._next_churn(runtime, outage.until_s)

    def _next_churn(self, runtime: Runtime, after_s: float) -> None:
        outage = self._churn.next_outage(PartyId(runtime.id), runtime.churned, after_s)
        runtime.churned += 1
        self._schedule(runtime, outage.from_s, Kind.DOWN, outage)

    def _schedule(self, runtime: Runtime, time_s: float, kind: Kind, payload: Any) -> None:
        self.events.add(time_s, (kind, runtime, payload))

    def _shuffled(self, items: Sequence[T], *names: str | int) -> list[T]:
        """The items in an order that follows from the seed and the names."""
        if len(items) < 2:
            return list(items)
        order = self._order.child(*names).generator().permutation(len(items))
        return [items[place] for place in order.tolist()]

    # ---------------------------------------------------------------- messages

    def _send(
        self, runtime: Runtime, to: Sequence[NodeId], envelope: SimulatedEnvelope, name: str
    ) -> None:
        size, count = envelope.size, len(to)
        runtime.performed += 1
        runtime.note(b"send", envelope.mark, *map(str.encode, to))
        first = runtime.messages_sent
        runtime.messages_sent = first + count
        if count == 1:
            self._dispatch(runtime, self.nodes[to[0]], envelope, first)
        elif count:
            receivers = [(self.nodes[id], first + place) for place, id in enumerate(to)]
            receivers = self._shuffled(receivers, runtime.id, first)
            delay_s = self.network.steady_delay_s
            if delay_s is None or self.network.limits_download:
                for receiver, number in receivers:
                    self._dispatch(runtime, receiver, envelope, number)
            else:
                everybody = [receiver for receiver, _ in receivers]
                event: Event = (Kind.BROADCAST, runtime, (everybody, envelope))
                self.events.add(runtime.clock_s + delay_s, event)
        size *= count
        runtime.bytes_sent += size
        messages, sent = runtime.sent.get(name, (0, 0))
        runtime.sent[name] = (messages + count, sent + size)
        self.traffic[name] += count
        self.traffic_bytes[name] += size

    def _dispatch(
        self, runtime: Runtime, receiver: Runtime, envelope: SimulatedEnvelope, number: int
    ) -> None:
        """Put a message on its way: the sender's message `number`, to one receiver."""
        kind = Kind.ARRIVE if self.network.limits_download else Kind.DELIVER
        delay_s = self.network.steady_delay_s
        if delay_s is not None:
            self.events.add(runtime.clock_s + delay_s, (kind, receiver, envelope))
            return
        for time_s in self.network.arrivals_s(
            runtime.id,
            receiver.id,
            number=number,
            size_bytes=envelope.size,
            now_s=runtime.clock_s,
        ):
            self.events.add(time_s, (kind, receiver, envelope))

    def _deliver_all(
        self,
        sender: Runtime,
        time_s: float,
        receivers: Sequence[Runtime],
        envelope: SimulatedEnvelope,
    ) -> None:
        """Deliver one message to all that it reaches at this instant."""
        self._idle_outages = 0
        for place, receiver in enumerate(receivers):
            if not self._leading_left:
                return
            if not receiver.up or receiver.finished:
                continue
            if receiver.set_aside and self._must_wait(receiver, time_s):
                rest: Event = (Kind.BROADCAST, sender, (receivers[place:], envelope))
                self.events.add_first(time_s, rest)
                self._flush()
                return
            self._deliver(receiver, time_s, envelope)

    def _deliver(self, runtime: Runtime, time_s: float, envelope: SimulatedEnvelope) -> None:
        runtime.bytes_received += envelope.size
        waiting = runtime.waiting
        if time_s > runtime.clock_s and type(waiting) is not Perform:
            runtime.clock_s = time_s
        runtime.note(b"receive", envelope.mark)
        try:
            envelope.open(self.codec)
            if type(waiting) is Receive and fits_receive(waiting, envelope):
                self._wake(runtime, time_s, envelope.received)
            elif type(waiting) is Collect and fits_collect(waiting, envelope):
                runtime.gathered.setdefault(envelope.sender, envelope)
                if len(runtime.gathered) >= waiting.enough:
                    self._wake(runtime, time_s, self._collected(runtime))
            else:
                runtime.mailbox.put(envelope)
        except PeerError as error:
            self._observer.refused(runtime.id, error)

    @staticmethod
    def _collected(runtime: Runtime) -> Collected[Any]:
        gathered, runtime.gathered = runtime.gathered, {}
        return Collected({id: gathered[id].message for id in sorted(gathered)})

    # ---------------------------------------------------------------- stepping

    def _wake(self, runtime: Runtime, time_s: float, value: Any) -> None:
        """Give a waiting role what it waited for."""
        assert runtime.waiting is not None
        if time_s > runtime.clock_s:
            runtime.clock_s = time_s
        runtime.log.append((type(runtime.waiting).__name__, value))
        runtime.waiting = None
        runtime.ready = None
        runtime.wait_number += 1
        self._advance(runtime, value)

    def _advance(self, runtime: Runtime, value: Any) -> None:
        """Step a role until it waits or returns."""
        assert runtime.coroutine is not None
        step = runtime.coroutine.send
        try:
            while True:
                effect = step(value)
                if type(effect) is Perform:
                    self._set_aside(runtime, effect)
                    return
                kind = type(effect)
                if kind in _BLOCKING:
                    done, value = self._try_now(runtime, effect)  # type: ignore[arg-type]  # as it says
                    if not done:
                        return
                    runtime.log.append((kind.__name__, value))
                else:
                    value = self._carriers[kind](runtime, effect)
        except StopIteration as stop:
            runtime.finished = True
            self.leave(runtime.id)
            runtime.result = stop.value
            runtime.coroutine = None
        except PeerError as error:
            raise RoundFailedError(
                f"{runtime.id} could not go on: {', '.join(error.culprits)} {error.message}"
            ) from error

    # What is done for effects that do not block.

    def _send_message(self, runtime: Runtime, effect: Send) -> None:
        message = effect.message
        pieces = self._pieces.write(message)
        envelope: SimulatedEnvelope
        if pieces is None:
            envelope = SimulatedEnvelope(runtime.id, self.codec.encode(message))
        else:
            envelope = EnvelopeOfPieces(runtime.id, message, pieces)
        self._send(runtime, effect.to, envelope, type(message).__name__)

    def _send_bytes(self, runtime: Runtime, effect: SendBytes) -> None:
        envelope = SimulatedEnvelope(runtime.id, effect.data)
        self._send(runtime, effect.to, envelope, "(raw bytes)")

    def _save(self, runtime: Runtime, effect: Save) -> None:
        runtime.kept = KeptState(effect.state)
        runtime.log.clear()
        runtime.performed = 0

    def _load(self, runtime: Runtime, effect: Load[Any]) -> Any:
        durable = runtime.durable
        return None if durable is None else decode_state(effect.type, durable)

    def _access(self, runtime: Runtime, effect: Access[Any]) -> Any:
        assert runtime.store is not None, f"{runtime.id} has no store"
        change = effect.request.change()
        if change is not None:
            runtime.performed += 1
            runtime.note(*change)
        return effect.request.run(runtime.store)

    def _report(self, runtime: Runtime, effect: Report) -> None:
        runtime.performed += 1
        runtime.note(b"report", effect.round.to_bytes(8), effect.params_D.tobytes())
        self._observer.report(runtime.id, effect, SimulatedSeconds(runtime.clock_s))

    def _try_now(
        self, runtime: Runtime, effect: Receive[Any] | Collect[Any] | Sleep | Now
    ) -> tuple[bool, Any]:
        """Whether the effect is satisfied at once, and by what; otherwise the node waits."""
        deadline_s: float | None
        if isinstance(effect, Now):
            return True, runtime.clock_s
        if isinstance(effect, Receive):
            received = runtime.mailbox.take(effect)
            if received is not None:
                return True, received
            deadline_s = effect.deadline_s
        elif isinstance(effect, Collect):
            runtime.gathered = runtime.mailbox.gather(effect)
            if len(runtime.gathered) >= effect.enough:
                return True, self._collected(runtime)
            deadline_s = effect.deadline_s
        else:
            deadline_s = effect.seconds
        runtime.waiting = effect
        if deadline_s is not None:
            self._schedule(runtime, runtime.clock_s + deadline_s, Kind.TIMER, runtime.wait_number)
        return False, None

    # ---------------------------------------------------------------- computing

    def _set_aside(self, runtime: Runtime, effect: Perform[Any]) -> None:
        runtime.waiting = effect
        runtime.set_aside = True
        self._pending.append((runtime, effect))
        safe_s = self._safe_after(runtime, effect)
        if safe_s < self._safe_until_s:
            self._safe_until_s = safe_s

    def _safe_after(self, runtime: Runtime, effect: Perform[Any]) -> float:
        """Until when other nodes cannot notice that this computation is not carried out yet."""
        return runtime.clock_s + self._cost_s(effect) + self._lookahead_s

    def _cost_s(self, effect: Perform[Any]) -> float:
        """Seconds that a computation takes at least: all of them, where they are known."""
        if self._costs_nothing:
            return 0.0
        return known_cost_s(self._cost, effect.request) or 0.0

    def checkpoint_soon(self) -> None:
        """Offer a checkpoint at the next moment at which one may be."""
        self._steps_to_checkpoint = 0

    def _flush(self) -> None:
        """Have the engine compute everything set aside, and schedule what follows."""
        # In order of node: where a request stands in a batch may show in its last digits.
        pending = sorted(self._pending, key=lambda entry: entry[0].id)
        self._pending, self._safe_until_s = [], float("inf")
        # Computing may take minutes: it is always worth asking for the time afterwards.
        self._steps_to_checkpoint = 0
        requests = [effect.request for _, effect in pending]
        values, costs_s = run_at_cost(self._engine, requests, self._cost)
        done: list[tuple[float, Event]] = []
        for (runtime, effect), value, cost_s in zip(pending, values, costs_s, strict=True):
            label, units = effect.request.label, effect.request.units()
            work, work_s = runtime.work, runtime.work_s
            work[label] = work.get(label, 0.0) + units
            work_s[label] = work_s.get(label, 0.0) + cost_s
            runtime.ready = value
            runtime.set_aside = False
            resume: Event = (Kind.RESUME, runtime, runtime.wait_number)
            done.append((runtime.clock_s + cost_s, resume))
        first = pending[0][0]
        for time_s, event in self._shuffled(done, "computed", first.id, first.wait_number):
            self.events.add(time_s, event)

    def _only_outages(self) -> bool:
        """Whether nothing but further outages will ever happen; if not, counting begins again."""
        self._idle_outages = 0
        return not self._pending and all(
            kind in (Kind.DOWN, Kind.UP) for _, (kind, _, _) in self.events
        )

    def _deadlock(self) -> RoundFailedError:
        unfinished = [runtime for runtime in self.nodes.values() if not runtime.finished]
        unfinished.sort(key=lambda runtime: (runtime.id not in self.cast.leading, runtime.id))
        lines = [f"{runtime.id} {runtime.describe_wait()}" for runtime in unfinished[:8]]
        if len(unfinished) > 8:
            lines.append(f"and {len(unfinished) - 8} more")
        clock_s = max(runtime.clock_s for runtime in self.nodes.values())
        return RoundFailedError(
            f"deadlock at {clock_s:g} simulated seconds: " + "; ".join(lines),
            hint="messages can be lost or parties absent: set a deadline in [protocol]",
        )
