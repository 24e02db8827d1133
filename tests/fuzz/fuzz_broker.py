"""Coverage-guided fuzzing of what a broker does with a question: any body gets an answer, or blames
its sender, and the state stays one that the broker can go on from.

Run it with the `fuzz` extra installed (`make fuzz` does):

    python tests/fuzz/fuzz_broker.py -max_total_time=60 corpus

The first byte of an input says in which form the rest is a question: 0 MessagePack, else JSON. The
broker is one in the middle of a training; every input meets the same one.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

try:
    import atheris  # type: ignore[import-untyped]  # ships no types
except ImportError:
    sys.exit(
        "error: atheris is not installed for this Python\n"
        "hint: pip install 'troth[fuzz]'; it has wheels for CPython on Linux, and a few months late"
    )

with atheris.instrument_imports(
    include=["troth.wire", "troth.crypto", "troth.protocols.tormentor", "troth.worlds.real.api"]
):
    from troth.protocols.tormentor import joining, roles, rounds
    from troth.worlds.real.api import forms

import msgspec
import numpy as np

from troth import streams
from troth.crypto.puzzles import SolvePuzzle
from troth.crypto.signatures import SigningKey
from troth.errors import PeerError
from troth.ids import NodeId
from troth.learning.training import Training
from troth.protocols.tormentor.messages import (
    MESSAGES,
    QUESTIONS,
    Delivery,
    Fetch,
    GradientUpdate,
    Join,
    Leave,
    Solve,
    Status,
)
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.state import BrokerState, Deposit, Plan, Secret
from troth.roles.effects import Load, Now, Receive, Received, Report, Save, Send
from troth.roles.messages import Answer, Question
from troth.roles.node import Node
from troth.wire import Codec, Message
from troth.worlds.states import decode_state, encode_state

MODEL_ID = "sha256:" + "0" * 64
D = 4
GUEST = NodeId("guest-1-1")
CODEC = Codec(MESSAGES, max_bytes=2**16)
PLAN = Plan(
    (),
    np.zeros(D, np.float32),
    Training(rounds=3, learning_rate=0.5),
    Tormentor(difficulty=0, admission_difficulty=0, verifiers=[], min_providers=1),
    MODEL_ID,
)
CURATOR, ANN, BOB = (SigningKey(name * 32) for name in (b"c", b"a", b"b"))
KINDS = {kind.__name__: kind for kind in QUESTIONS}


def solve(state: BrokerState, key: SigningKey) -> Solve:
    puzzle = joining.admission(state, PLAN, Join(MODEL_ID, key.public), sender=GUEST).puzzle
    solved = SolvePuzzle(PLAN.parameters.puzzle, puzzle, None).run(None)
    signature = key.sign(joining.JOIN, puzzle.challenge())
    return Solve(MODEL_ID, puzzle, solved.solution, signature)


def begin() -> BrokerState:
    """A broker that one provider has joined."""
    curation = joining.curation(MODEL_ID, CURATOR, Deposit())
    state = joining.begin(PLAN, Secret(b"s" * 32), curation.curator, GUEST, 0.0)
    admitted = joining.admit(state, PLAN, solve(state, ANN), sender=GUEST, now_s=0.0)
    assert isinstance(admitted, BrokerState)
    return rounds.release(rounds.settle(joining.sent(admitted), PLAN, 0.0), PLAN, 0.0)


STATE = begin()
(CONNECTION,) = STATE.connections.values()
assert CONNECTION.puzzle is not None
SEEDS: tuple[Question, ...] = (
    joining.curation(MODEL_ID, CURATOR, Deposit()),
    Join(MODEL_ID, BOB.public),
    solve(STATE, BOB),
    GradientUpdate(
        MODEL_ID, CONNECTION.token, CONNECTION.puzzle.nonce, b"", 0, np.ones(D, np.float32)
    ),
    Leave(MODEL_ID, CONNECTION.token),
    Status(MODEL_ID),
    Fetch(MODEL_ID, CURATOR.sign(joining.FETCH, MODEL_ID.encode())),
    Delivery(MODEL_ID, CURATOR.sign(joining.DELIVERY, MODEL_ID.encode())),
)
"""Every question there is, each as it ought to be asked."""
assert {type(seed) for seed in SEEDS} == set(QUESTIONS)


def as_input(question: Question, form: int) -> bytes:
    if form == 0:
        return b"\0" + CODEC.encode(question)
    return b"\1" + bytes(forms.encode(question, forms.JSON, CODEC))


def decoded(data: bytes) -> Question:
    """The question in an input, as the server would find it.

    Raises:
      PeerError: there is none.
    """
    body = bytearray(data[1:])
    if data[:1] == b"\0":
        message = forms.decode(Message, body, forms.MSGPACK, CODEC)
        if not isinstance(message, Question):
            raise PeerError("sent no question", culprits=(forms.STRANGER,))
        return message
    for name, kind in KINDS.items():
        if f'"{name}"'.encode() in body:
            return forms.decode(kind, body, forms.JSON, CODEC)
    return forms.decode(Status, body, forms.JSON, CODEC)


def answered(question: Question) -> list[Message]:
    """What the broker's role sends when it is asked this."""
    stream = streams.learning(1)
    coroutine = roles.broker(Node(BROKER, stream, stream.child("secret")), PLAN)
    said: list[Message] = []
    asked = False
    value: object = None
    try:
        while True:
            effect = coroutine.send(value)
            value = None
            match effect:
                case Load():
                    value = STATE
                case Now():
                    value = 1.0
                case Send(message=message):
                    if asked:
                        said.append(message)
                case Save(state=state):
                    # It can be kept, and come back.
                    decode_state(BrokerState, encode_state(state))
                case Receive():
                    if asked:
                        return said
                    asked, value = True, Received(GUEST, question)
                case Report():
                    pass
                case _:
                    raise AssertionError(f"the broker wants {effect!r}")
    except StopIteration:
        return said
    finally:
        coroutine.close()


def one_input(data: bytes) -> None:
    """Ask what `data` asks."""
    try:
        question = decoded(data)
    except PeerError as error:
        blamed = error
        question = None
    if question is None:
        assert str(blamed).isprintable()
        return
    for message in answered(question):
        assert isinstance(message, Answer)
        assert question.answered_by[message.status] is type(message)
        for form in forms.MEDIA_TYPES:
            assert forms.encode(message, form, CODEC)


ODD: tuple[object, ...] = (
    *(None, True, 0, 1, -1, 2**31, 2**32, 2**53, 2**63, 2**64 - 1, 0.5, float("nan")),
    *("", "x", "A" * 43 + "=", "A" * 86 + "==", "A" * 400, b"", bytes(32), bytes(64), [], {}),
    *(msgspec.msgpack.Ext(code, bytes(size)) for code in (0, 1, 4) for size in (0, 4, 8, 16)),
    msgspec.msgpack.Ext(1, np.array([np.nan, np.inf, 3e38, 0], "<f4").tobytes()),
)
"""What may stand where something else is expected; JSON takes its part of it."""


def bent(question: Question, form: int, draw: random.Random) -> bytes:
    """A question as it ought to be, but for one field."""
    first, body = as_input(question, form)[:1], as_input(question, form)[1:]
    tree = msgspec.json.decode(body) if form else msgspec.msgpack.decode(body[1:])
    inner: Any = tree
    while True:
        place = draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not (isinstance(inner[place], list | dict) and inner[place] and draw.random() < 0.8):
            break
        inner = inner[place]
    if form:
        inner[place] = draw.choice([odd for odd in ODD if not isinstance(odd, NOT_JSON)])
        return first + json.dumps(tree).encode()
    inner[place] = draw.choice(ODD)
    return first + body[:1] + msgspec.msgpack.encode(tree)


NOT_JSON = (bytes, msgspec.msgpack.Ext)


def grow(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's mutations, of what it has or of a question as it ought to be; or such a question
    with one field replaced, which those would take long to come to."""
    draw = random.Random(seed)
    if draw.random() < 0.3:
        return bent(draw.choice(SEEDS), draw.randrange(2), draw)[:max_size]
    if draw.random() < 0.2:
        data = as_input(draw.choice(SEEDS), draw.randrange(2))
    mutated: bytes = atheris.Mutate(data[1:], max_size - 1)
    return data[:1] + mutated


if __name__ == "__main__":
    for question in SEEDS:
        for form in range(2):
            one_input(as_input(question, form))
    atheris.Setup(sys.argv, one_input, custom_mutator=grow)
    atheris.Fuzz()
