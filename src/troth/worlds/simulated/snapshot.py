"""Writing a simulated world down, and bringing it back to the same state.

A coroutine cannot be written down. But a role is a pure function of what its effects gave it, so
each node keeps the results since its last `Save`, and is replayed from there (`Runtime.replay`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from troth.errors import VerificationError
from troth.ids import NodeId
from troth.roles.effects import Collected, Now, Perform, Received
from troth.wire import Float32s, decode_array, decode_extension
from troth.worlds.mailbox import Envelope
from troth.worlds.simulated.envelope import SimulatedEnvelope
from troth.worlds.simulated.faults import Outage
from troth.worlds.simulated.queue import Event, Kind
from troth.worlds.simulated.runtime import Blocking, value_type
from troth.worlds.simulated.world import SimulatedWorld
from troth.worlds.states import decode_state, encode_state

SNAPSHOT_VERSION = 6


class _Letter(msgspec.Struct, array_like=True):
    """A message by its place in the snapshot's table of bytes."""

    sender: NodeId
    data: int


class _Event(msgspec.Struct, array_like=True):
    time_s: float
    kind: int
    node: NodeId
    wait_number: int | None
    letter: _Letter | None
    outage: Outage | None
    receivers: list[NodeId] | None


class _Entry(msgspec.Struct, array_like=True):
    """One result in a node's log."""

    kind: str
    letters: list[_Letter] | None = None
    value: bytes | None = None


class _NodeState(msgspec.Struct):
    clock_s: float
    wait_number: int
    gathered: list[_Letter]
    mailbox: list[_Letter]
    ready: bytes | None
    durable: bytes | None
    log: list[_Entry]
    performed: int
    started: bool
    up: bool
    finished: bool
    result: Float32s | None
    messages_sent: int
    outages: int
    churned: int
    bytes_sent: int
    sent: dict[str, tuple[int, int]]
    bytes_received: int
    work: dict[str, float]
    work_s: dict[str, float]
    chain: bytes


_OTHERWISE = {"durable", "gathered", "mailbox", "ready", "log", "started"}
_AS_IT_IS = tuple(name for name in _NodeState.__struct_fields__ if name not in _OTHERWISE)
"""What stands in a node's state as it stands in its `Runtime`, by the same name."""


class _Snapshot(msgspec.Struct):
    version: int
    scenario_digest: str
    table: list[bytes]
    events: list[_Event]
    nodes: dict[NodeId, _NodeState]
    stores: Any
    """What `Stores.contents` gave when the snapshot was taken."""
    uplink_free_s: dict[NodeId, float]
    downlink_free_s: dict[NodeId, float]
    last_arrival_s: list[tuple[NodeId, NodeId, float]]
    traffic: dict[str, int]
    traffic_bytes: dict[str, int]
    observer: bytes


class _Table:
    """Distinct message bytes; a broadcast is kept once."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self._index: dict[bytes, int] = {}

    def letter(self, sender: NodeId, data: bytes) -> _Letter:
        index = self._index.setdefault(data, len(self.data))
        if index == len(self.data):
            self.data.append(data)
        return _Letter(sender, index)


def take(world: SimulatedWorld, *, scenario_digest: str, observer: bytes) -> bytes:
    """The world's whole state. Call it from the world's `checkpoint` only, when nothing is
    computing.

    Args:
      scenario_digest: of the exact scenario, so that a snapshot is not resumed under another.
      observer: the observer's own state.
    """
    table = _Table()

    def entry(kind: str, value: Any) -> _Entry:
        if value is None:
            return _Entry(kind)
        if isinstance(value, Received):
            return _Entry(kind, [table.letter(value.sender, world.codec.encode(value.message))])
        if isinstance(value, Collected):
            return _Entry(
                kind,
                [table.letter(id, world.codec.encode(m)) for id, m in value.messages.items()],
            )
        return _Entry(kind, value=encode_state(value))

    def letter(envelope: Envelope) -> _Letter:
        return table.letter(envelope.sender, envelope.whole())

    def event(time_s: float, item: Event) -> _Event:
        kind, runtime, payload = item
        receivers = None
        if kind is Kind.BROADCAST:
            everybody, payload = payload
            receivers = [receiver.id for receiver in everybody]
        return _Event(
            time_s,
            kind,
            runtime.id,
            payload if isinstance(payload, int) else None,
            letter(payload) if isinstance(payload, Envelope) else None,
            payload if isinstance(payload, Outage) else None,
            receivers,
        )

    nodes = {}
    for id, runtime in world.nodes.items():
        assert not runtime.set_aside
        nodes[id] = _NodeState(
            durable=runtime.durable,
            gathered=[letter(envelope) for envelope in runtime.gathered.values()],
            mailbox=[letter(envelope) for envelope in runtime.mailbox.waiting],
            ready=None if runtime.ready is None else encode_state(runtime.ready),
            log=[entry(kind, value) for kind, value in runtime.log],
            started=runtime.coroutine is not None,
            **{name: getattr(runtime, name) for name in _AS_IT_IS},
        )
    network = world.network
    snapshot = _Snapshot(
        version=SNAPSHOT_VERSION,
        scenario_digest=scenario_digest,
        events=[event(time_s, item) for time_s, item in world.events],
        nodes=nodes,
        stores=None if world.stores is None else world.stores.contents(),
        uplink_free_s=network.uplink_free_s,
        downlink_free_s=network.downlink_free_s,
        last_arrival_s=[(a, b, time_s) for (a, b), time_s in network.last_arrival_s.items()],
        traffic=dict(world.traffic),
        traffic_bytes=dict(world.traffic_bytes),
        observer=observer,
        table=table.data,
    )
    return encode_state(snapshot)


def restore(world: SimulatedWorld, data: bytes, *, scenario_digest: str) -> bytes:
    """Bring a world that was made for the same scenario, and not started, to the snapshot's state.

    Returns:
      The observer's own state.

    Raises:
      VerificationError: these are not a snapshot's bytes, or the snapshot of another scenario or
      version. LocalError: a role does not resume (see `roles.effects`).
    """
    try:
        snapshot: _Snapshot = msgspec.msgpack.decode(
            data, type=_Snapshot, dec_hook=decode_array, ext_hook=decode_extension
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise VerificationError(f"the snapshot cannot be read: {error}") from None
    if snapshot.version != SNAPSHOT_VERSION:
        raise VerificationError(
            f"the snapshot has version {snapshot.version}, not {SNAPSHOT_VERSION}",
            hint="resume with the release of troth that wrote it, or run the scenario again",
        )
    if snapshot.scenario_digest != scenario_digest or snapshot.nodes.keys() != world.nodes.keys():
        raise VerificationError(
            "the snapshot belongs to another scenario",
            hint="the run folder's scenario.toml was changed; run it as a new one",
        )
    envelopes: dict[tuple[NodeId, int], Envelope] = {}

    def envelope(letter: _Letter) -> Envelope:
        key = (letter.sender, letter.data)
        if key not in envelopes:
            envelopes[key] = SimulatedEnvelope(letter.sender, snapshot.table[letter.data])
        return envelopes[key]

    def opened(letter: _Letter) -> Envelope:
        result = envelope(letter)
        result.open(world.codec)
        return result

    for event in snapshot.events:
        payload: Any = event.outage if event.wait_number is None else event.wait_number
        if event.letter is not None:
            payload = envelope(event.letter)
        if event.receivers is not None:
            payload = ([world.nodes[id] for id in event.receivers], payload)
        world.events.add(event.time_s, (Kind(event.kind), world.nodes[event.node], payload))
    if world.stores is not None:
        world.stores.restore(snapshot.stores)
    for id, state in snapshot.nodes.items():
        runtime = world.nodes[id]
        for name in _AS_IT_IS:
            setattr(runtime, name, getattr(state, name))
        runtime.kept = state.durable
        runtime.gathered = {letter.sender: opened(letter) for letter in state.gathered}
        for letter in state.mailbox:
            runtime.mailbox.put(opened(letter))
        if state.started:
            runtime.replay([(item.kind, _value_of(item, opened)) for item in state.log])
            if state.ready is not None:
                assert isinstance(runtime.waiting, Perform)
                runtime.ready = decode_state(value_type(type(runtime.waiting.request)), state.ready)
        if runtime.finished:
            world.leave(id)
    world.network.uplink_free_s.update(snapshot.uplink_free_s)
    world.network.downlink_free_s.update(snapshot.downlink_free_s)
    world.network.last_arrival_s.update({(a, b): s for a, b, s in snapshot.last_arrival_s})
    world.traffic.update(snapshot.traffic)
    world.traffic_bytes.update(snapshot.traffic_bytes)
    return snapshot.observer


def _value_of(entry: _Entry, opened: Callable[[_Letter], Envelope]) -> Callable[[Blocking], Any]:
    """What a logged effect gave. The type of a computed value is known only from the effect
    itself."""

    def value(effect: Blocking) -> Any:
        if entry.value is not None:
            if isinstance(effect, Now):
                return decode_state(float, entry.value)
            assert isinstance(effect, Perform)
            return decode_state(value_type(type(effect.request)), entry.value)
        if entry.letters is None:
            return None
        if entry.kind == "Receive":
            envelope = opened(entry.letters[0])
            return Received(envelope.sender, envelope.message)
        return Collected({letter.sender: opened(letter).message for letter in entry.letters})

    return value
