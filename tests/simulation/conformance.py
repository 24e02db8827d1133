"""What the conformance suite asks of a protocol (`Case`), and what its checks share.

`conformance_cases.py` has a case for each protocol, `test_conformance.py` the checks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import numpy as np

from troth.attacks.roles import ColludingUpdates
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.protocol import Protocol
from troth.roles.effects import Collected, Effect, Received, Send, SendBytes
from troth.roles.interception import intercept
from troth.roles.node import Node, Role
from troth.wire import Codec, Float32s, Message

Run = Any
"""What the fixture `simulated` gives: a world that has been set up."""

Models = Sequence[Float32s | Mapping[NodeId, Float32s]]
"""After each round: one model of shape (D,) for all, or one for each node."""

Watch = Callable[[Run, frozenset[NodeId]], Callable[[], None]]
"""Given a run before it starts and who follows the protocol: watches it, and gives what is to be
called after its end. Both raise `AssertionError` where the protocol breaks a promise."""

TEXT = """
name = "conformance"
seed = {seed}

[task]
kind = "classification"
data = {{ source = "named", name = "digits", rows = 240, test_rows = 100 }}
model = "softmax"

[training]
rounds = {rounds}
{training}

[protocol]
name = "{name}"
{protocol}

[parties]
count = {parties}
{own}

{world}
"""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A small scenario.

    Args:
      protocol: keys of its `[protocol]` table besides the name.
      world: its other tables.
      own: keys of `[parties]` besides the count.
    """

    protocol: str = ""
    world: str = ""
    training: str = "learning_rate = 0.5"
    parties: int = 6
    rounds: int = 4
    own: str = ""

    def write(self, folder: Path, name: str, *, seed: int = 1) -> Path:
        """The scenario of the protocol of that name as a file."""
        path = folder / "conformance.toml"
        text = TEXT.format(
            name=name, seed=seed, rounds=self.rounds, training=self.training, own=self.own,
            protocol=self.protocol, parties=self.parties, world=self.world,
        )  # fmt: skip
        path.write_text(text)
        return path


def nobody_watches(_: Run, __: frozenset[NodeId]) -> Callable[[], None]:
    """For a protocol without `claims.py`."""
    return lambda: None


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the suite has to be told of one protocol. There is no default for what a protocol must
    not go without.

    Args:
      record: the protocol's own.
      calm: scenarios in which nothing goes wrong, and which have its ideal's outcome.
      ideal: that outcome, of a run that is over.
      rough: scenarios with as much going wrong as the protocol bears.
      engines: those of them that engines are compared on; None: all. Where the last digits of an
        update decide how long something takes, another engine gives another run.
      faults: the same, one thing at a time, under so many `seeds`.
      watch: checkers of what the protocol promises under faults.
      hostile: one party says whatever it likes; None where nothing is sent.
      nothing: no update is ever accepted; None where nothing is sent.
      launched: nodes as processes of their own; None where there are no real nodes.
      as_simulated: whether `launched` ends with every number of the simulation.
      check_launched: what else holds of the folder of `launched`.
      counted: scenarios of `calm` that send in each round what `traffic` of the record says: as
        many messages of each type, and as many bytes within `bytes_within`, a share of them.
      uncounted: message types that it does not count, with the reason.
      estimated: types of which it counts more or fewer than are sent, with the reason; up to twice
        or half as many.
    """

    record: Protocol[Any]
    calm: Mapping[str, Setup]
    ideal: Callable[[Run], Models]
    rough: Mapping[str, Setup]
    faults: Mapping[str, Setup]
    seeds: int
    watch: Watch
    hostile: Setup | None
    nothing: Setup | None
    launched: Setup | None
    as_simulated: bool
    engines: Mapping[str, Setup] | None = None
    check_launched: Callable[[Path, Path], None] | None = None
    counted: tuple[str, ...] = ()
    bytes_within: float = 0.01
    uncounted: Mapping[str, str] = field(default_factory=dict)
    estimated: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def compared(self) -> Mapping[str, Setup]:
        """What engines are compared on."""
        return self.rough if self.engines is None else self.engines


# ------------------------------------------------------------------ what a run came to


def results(run: Run) -> dict[NodeId, Float32s]:
    """The models that the leading roles have ended with."""
    return {id: run.world.nodes[id].result for id in run.stage.cast.leading}


def assert_same_models(ours: Mapping[NodeId, Float32s], theirs: Mapping[NodeId, Float32s]) -> None:
    """Bit for bit."""
    assert ours.keys() == theirs.keys() != set()
    for id, model_D in ours.items():
        np.testing.assert_array_equal(model_D, theirs[id], err_msg=id)


def story(records: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Everything about rounds but the wall-clock time."""
    return [
        (r.round, r.metrics, r.accepted, r.rejected, r.missing, r.bytes_sent, r.simulated_s)
        for r in records
    ]


def labels_seen(run: Run) -> set[str]:
    """What the computations of a run are called, besides those of attackers."""
    seen = {label for runtime in run.world.nodes.values() for label in runtime.work}
    return seen - {ColludingUpdates.label}


# ------------------------------------------------------------------ who says what

Said = list[tuple[NodeId, tuple[NodeId, ...], Message]]
"""Who, to whom, and what."""


def listen(run: Run) -> Said:
    """What all roles send from now on is added to the list as they do."""
    said: Said = []
    for runtime in run.world.nodes.values():
        runtime.role = partial(_heard, role=runtime.role, said=said)
    return said


async def _heard(node: Node, *, role: Role, said: Said) -> Float32s | None:
    def before(effect: Effect[Any]) -> None:
        if isinstance(effect, Send):
            said.append((node.id, effect.to, effect.message))

    async def after(_: Effect[Any], value: Any) -> Any:
        return value

    return await intercept(role, node, before=before, after=after)


# ------------------------------------------------------------------ hostile bytes


class HostileBytes:
    """Bytes that a peer may send: of no protocol, or made of the protocol's own messages.

    Args:
      messages: encoded messages; more may be added while the bytes are drawn.
    """

    def __init__(self, messages: list[bytes], seed: int) -> None:
        self.messages = messages
        self._draw = random.Random(seed)

    def next(self) -> bytes:
        draw = self._draw
        message = bytearray(draw.choice(self.messages))
        match draw.randrange(8):
            case 0:
                return draw.randbytes(draw.choice([0, 1, 20, 2000]))
            case 1:
                return bytes(message[: draw.randrange(len(message))])
            case 2:
                return bytes(message) + draw.randbytes(5)
            case 3:
                at = draw.randrange(len(message))
                return bytes(message[:at] + draw.randbytes(3) + message[at:])
            case 4:
                return bytes(message)
            case 5:
                # An array that says it is as long as can be, and arrays inside arrays.
                return bytes(message[:2]) + draw.choice([b"\xdd\xff\xff\xff\xff", b"\x91" * 5000])
            case _:
                # Near its beginning are names, rounds and lengths; further on mostly numbers.
                for _ in range(draw.choice([1, 3])):
                    at = draw.randrange(draw.choice([min(40, len(message)), len(message)]))
                    message[at] ^= 1 << draw.randrange(8)
                return bytes(message)


def attack(run: Run, attacker: NodeId, made: HostileBytes) -> None:
    """`attacker` does its part, and after each thing that it does sends every other node something
    out of `made`, to which it adds what it says and hears."""
    others = [id for id in run.world.nodes if id != attacker]
    codec = Codec(run.stage.cast.messages)
    honest = run.world.nodes[attacker].role

    def before(effect: Effect[Any]) -> None:
        if isinstance(effect, Send):
            made.messages.append(bytes(codec.encode(effect.message)))

    async def after(_: Effect[Any], value: Any) -> Any:
        match value:
            case Received(message=message):
                made.messages.append(bytes(codec.encode(message)))
            case Collected(messages=messages):
                made.messages.extend(bytes(codec.encode(each)) for each in messages.values())
        for other in others:
            await SendBytes((other,), made.next())
        return value

    async def role(node: Node) -> Float32s | None:
        return await intercept(honest, node, before=before, after=after)

    run.world.nodes[attacker].role = role


def holds_floats(kind: type[Message]) -> bool:
    return any(hint == Float32s for hint in get_type_hints(kind).values())


def send_spoilt(run: Run, attacker: NodeId, value: float) -> list[Message]:
    """`attacker` does its part, but `value` stands somewhere in each array of numbers that it
    sends. What it spoils is added to the list as it does."""
    spoilt: list[Message] = []
    honest = run.world.nodes[attacker].role

    def spoil(effect: Effect[Any]) -> Effect[Any]:
        if not isinstance(effect, Send):
            return effect
        changed = {}
        for name in effect.message.__struct_fields__:
            array = getattr(effect.message, name)
            if isinstance(array, np.ndarray) and array.dtype == np.float32 and len(array):
                changed[name] = array = array.copy()
                array[len(spoilt) % len(array)] = value
        if not changed:
            return effect
        spoilt.append(effect.message)
        return Send(effect.to, msgspec.structs.replace(effect.message, **changed))

    async def role(node: Node) -> Float32s | None:
        inner, value = honest(node), None
        while True:
            try:
                effect = inner.send(value)
            except StopIteration as stop:
                result: Float32s | None = stop.value
                return result
            value = await spoil(effect)

    run.world.nodes[attacker].role = role
    return spoilt


@contextmanager
def refusals(run: Run) -> Iterator[list[tuple[NodeId, PeerError]]]:
    """Which node threw a message away, and why, while the run goes on."""
    found: list[tuple[NodeId, PeerError]] = []
    told = run.recorder.refused

    def refused(receiver: NodeId, error: PeerError) -> None:
        found.append((receiver, error))
        told(receiver, error)

    run.recorder.refused = refused
    try:
        yield found
    finally:
        del run.recorder.refused


def encoded(run: Run, said: Said, *, most_of_a_type: int = 4) -> list[bytes]:
    """A few messages of each type as bytes, from all parts of a run."""
    of_type: dict[type[Message], list[Message]] = {}
    for _, _, message in said:
        of_type.setdefault(type(message), []).append(message)
    codec = Codec(run.stage.cast.messages)
    return [
        bytes(codec.encode(message))
        for messages in of_type.values()
        for message in messages[:: -(-len(messages) // most_of_a_type)]
    ]


# ------------------------------------------------------------------ records


def keys_of(table: type[Any]) -> set[str]:
    """The keys of a table, and of tables inside it: `noise`, `noise.mask`."""
    found: set[str] = set()

    def walk(type_: Any, prefix: str) -> None:
        match type_:
            case msgspec.inspect.StructType(fields=keys):
                for each in keys:
                    found.add(prefix + each.encode_name)
                    walk(each.type, f"{prefix}{each.encode_name}.")
            case msgspec.inspect.UnionType(types=types):
                for each in types:
                    walk(each, prefix)
            case msgspec.inspect.ListType(item_type=item):
                walk(item, prefix)
            case _:
                pass

    walk(msgspec.inspect.type_info(table), "")
    return found


def references_of(record: Protocol[Any]) -> dict[str, str]:
    """All references of a record, by the field that they stand in."""
    found: dict[str, str] = {}
    parts = {"": record, "brings.": record.brings, "operation.": record.operation}
    for prefix, part in parts.items():
        for each in () if part is None else fields(part):
            if "Reference" not in str(each.type):
                continue
            value = getattr(part, each.name)
            many = value if isinstance(value, tuple) else (value,)
            found |= {
                f"{prefix}{each.name}[{at}]": reference
                for at, reference in enumerate(many)
                if reference is not None
            }
    return found
