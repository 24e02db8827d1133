"""Coverage-guided fuzzing of a peer of `biscotti`: whatever bytes anybody sends it, it refuses them
or goes on, and what it holds stays bounded; and whatever is called evidence is judged.

Run it with the `fuzz` extra installed (`make fuzz` does):

    python tests/fuzz/fuzz_biscotti.py -max_total_time=60 corpus

The first byte of an input says who sends the rest, or that the rest is evidence. Every input meets
one of a few peers in the middle of a round, each in another part: leader, aggregator, verifier,
contributor. `corpus` is filled with what peers of a small run say to each other.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

try:
    import atheris  # type: ignore[import-untyped]  # ships no types
except ImportError:
    sys.exit(
        "error: atheris is not installed for this Python\n"
        "hint: pip install 'troth[fuzz]'; it has wheels for CPython on Linux, and a few months late"
    )

with atheris.instrument_imports(include=["troth.wire", "troth.chain", "troth.protocols.biscotti"]):
    from troth.protocols.biscotti import roles
    from troth.protocols.biscotti.blaming import offences

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "simulation"))

import msgspec
from biscotti_runs import set_up

from troth.chain.ledger import MemoryLedger
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.blaming.accusing import MAX_PENDING
from troth.protocols.biscotti.catching_up.stash import most_bytes
from troth.protocols.biscotti.duties.leader import MAX_ACCUSATIONS
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.messages import MESSAGES
from troth.protocols.biscotti.reporting import MAX_REFUSED
from troth.roles.effects import (
    Access,
    Effect,
    Load,
    Now,
    Perform,
    Receive,
    Received,
    Report,
    Save,
    Send,
)
from troth.roles.node import Node
from troth.wire import Codec, Message
from troth.worlds.states import decode_state, encode_state

CODEC = Codec(MESSAGES, max_bytes=2**16)
EVIDENCE = 0xFF
RUN = set_up(seed=1, rounds=2)
RULES = RUN.plan.rules
FIRST = RULES.first(RUN.plan.initial_D)
CONTEXT = RULES.context(FIRST.before)
ROLES = {
    id: runtime.role.keywords["honest"].keywords["honest"]
    for id, runtime in RUN.world.nodes.items()
}  # type: ignore[attr-defined]  # they are partials
PLAYED = (
    CONTEXT.leader,
    CONTEXT.aggregators[1],
    CONTEXT.verifiers[0],
    CONTEXT.contributors[0],
)
RUN.go()
NAMES = tuple(RULES.genesis.content.names())
SAID = [
    (sender, to[0], message)
    for sender, to, message in RUN.said
    if len(CODEC.encode(message)) < 2**13 and getattr(message, "round", 1) <= 2
]
"""What peers of a small run say, in order."""


class Listening:
    """A peer's role, up to where it has nothing left to do but listen."""

    def __init__(self, me: NodeId) -> None:
        runtime = RUN.world.nodes[me]
        self.ledger = MemoryLedger({})
        self.state: bytes | None = None
        self.now_s = 0.0
        self.ended = False
        node: Node = runtime.node
        self.peer = roles.Peer(node, RUN.plan, RUN.keys[me], ROLES[me].keywords["table"])
        self.coroutine = self.peer.run()
        self._until_it_listens(None)

    def hears(self, sender: NodeId, message: Message) -> None:
        self._until_it_listens(Received(sender, message))

    def waits(self, seconds: float) -> None:
        self.now_s += seconds
        self._until_it_listens(None)

    def _until_it_listens(self, value: Any) -> None:
        for _ in range(1000):
            try:
                effect = self.coroutine.send(value)
            except StopIteration:
                # The last round is over, and so is its time to serve others.
                self.ended = True
                return
            if isinstance(effect, Receive):
                return
            value = self._carried_out(effect)
        raise AssertionError("it goes on for ever")

    def _carried_out(self, effect: Effect[Any]) -> Any:
        match effect:
            case Now():
                return self.now_s
            case Perform(request=request):
                return RUN.stage.engine.run([request])[0]
            case Save(state=state):
                self.state = encode_state(state)
            case Load(type=type_):
                return None if self.state is None else decode_state(type_, self.state)
            case Access(request=request):
                return request.run(self.ledger)
            case Send(message=message):
                CODEC.encode(message)
            case Report():
                pass
            case _:
                raise AssertionError(f"the peer wants {effect!r}")
        return None

    def check_bounds(self) -> None:
        """What others can make it hold."""
        peer, peers = self.peer, len(NAMES)
        assert len(peer.stash.held) <= peers
        for held in peer.stash.held.values():
            assert len(held) <= len(MESSAGES)
            assert sum(map(len, held.values())) <= most_bytes(RULES.setting.dimension)
        assert len(peer.catching_up.rumours) <= peers
        assert len(peer.reporter.refused) <= MAX_REFUSED
        assert len(peer.accuser.pending) <= MAX_PENDING
        for duty in peer.duties:
            if isinstance(duty, roles.Leader):
                assert len(duty._unproven) <= MAX_PENDING + peers * MAX_ACCUSATIONS


def messages(data: bytes) -> tuple[NodeId, Message] | None:
    """Who sends what, as a world would give it to a peer; None where it blames the sender."""
    sender = NAMES[data[0] % len(NAMES)]
    try:
        return sender, CODEC.decode(data[1:], sender=sender)
    except PeerError as error:
        blamed = error
    assert blamed.culprits == (sender,)
    assert str(blamed).isprintable()
    return None


def judged(data: bytes) -> None:
    """Evidence is judged without harm, and never against somebody who follows the protocol: here,
    all do."""
    try:
        line = msgspec.msgpack.decode(data, type=Evidence)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    proven = True
    try:
        offences.judge(RULES, CONTEXT, line, bytes(32))
    except PeerError:
        proven = False
    assert not proven, f"{line.accused} is framed"


PEERS: list[Listening] = []


def one_input(data: bytes) -> None:
    """Let peers hear `data`, or judge it; when one has come to its end, others begin."""
    if not data:
        return
    if data[0] == EVIDENCE:
        judged(data[1:])
        return
    found = messages(data)
    if found is None:
        return
    if not PEERS:
        PEERS.extend(Listening(me) for me in PLAYED)
    sender, message = found
    global heard
    heard += 1
    for peer in PEERS:
        peer.hears(sender, message)
        if heard % 100 == 0 and not peer.ended:
            peer.waits(1.0)
        peer.check_bounds()
    if any(peer.ended for peer in PEERS):
        PEERS.clear()


heard = 0


def grow(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's mutations, of what it has or of what peers say."""
    draw = random.Random(seed)
    if draw.random() < 0.3:
        data = as_input(*draw.choice(SAID))
    elif draw.random() < 0.2:
        data = bytes([EVIDENCE]) + draw.choice(ACCUSED)
    mutated: bytes = atheris.Mutate(data[1:], max_size - 1)
    return data[:1] + mutated


def as_input(sender: NodeId, _: NodeId, message: Message) -> bytes:
    return bytes([NAMES.index(sender)]) + CODEC.encode(message)


def accusations() -> list[bytes]:
    """Evidence of what honest peers have said: it proves nothing."""
    lines = []
    for sender, to, message in SAID:
        if getattr(message, "round", None) != Round(1):
            continue
        match type(message).__name__:
            case "Masked":
                lines.append(offences.bad_update(sender, message))  # type: ignore[arg-type]  # by its name
            case "Shares":
                lines.append(offences.bad_share(sender, CONTEXT.aggregators.index(to), message))  # type: ignore[arg-type]  # by its name
            case "NoiseGrant":
                lines.append(offences.bad_grant(sender, to, message))  # type: ignore[arg-type]  # by its name
            case "Opened":
                lines.append(offences.bad_opening(message.opening, Round(1)))  # type: ignore[attr-defined]  # by its name
    return [msgspec.msgpack.encode(line) for line in lines]


ACCUSED = accusations()

if __name__ == "__main__":
    for said in SAID:
        one_input(as_input(*said))
    for line in ACCUSED:
        judged(line)
    atheris.Setup(sys.argv, one_input, custom_mutator=grow)
    atheris.Fuzz()
