"""Effects: the only things a role may await.

A role is an `async def`. What it awaits is plain data that says what it wants; a world carries it
out and sends the result back. So the same role runs in virtual time under test and over TLS in
earnest, and a protocol needs neither clock, socket nor event loop.

| effect    | gives                                 | blocks until                               |
|-----------|---------------------------------------|--------------------------------------------|
| `Send`    | nothing                               | -                                          |
| `Receive` | `Received`, or None at the deadline   | a message of these types (from `sender`)   |
| `Collect` | `Collected`                           | `enough` senders, or the deadline          |
| `Sleep`   | nothing                               | the time has passed                        |
| `Now`     | seconds on the node's clock           | -                                          |
| `Perform` | the computation's value               | the engine has computed it                 |
| `Save`    | nothing                               | the state would survive a crash            |
| `Load`    | the last saved state, or None         | -                                          |
| `Access`  | what the node's store gives           | a change would survive a crash             |
| `Report`  | nothing                               | -                                          |

**Restarting.** A role that was stopped (crash, or a resumed run) is called again from the top and
`Load`s what it last `Save`d. It must then do what it would have done after that `Save`, and
nothing else; a world may check this, and a role that breaks it cannot be resumed.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from troth.compute import Compute
from troth.ids import NodeId, Round
from troth.records import Rejection
from troth.roles.messages import RoundMessage
from troth.roles.stores import StoreRequest
from troth.wire import Float32s, Message

T = TypeVar("T")
M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)
R = TypeVar("R", bound=RoundMessage)
S = TypeVar("S", bound=msgspec.Struct)


class Effect(msgspec.Struct, Generic[T], frozen=True):
    """Something a role awaits; `T` is what it gets back."""

    def __await__(self) -> Generator[Effect[T], T, T]:
        return (yield self)


class Send(Effect[None], frozen=True):
    """Send one message to each of `to`. Delivery is not promised."""

    to: tuple[NodeId, ...]
    message: Message


class SendBytes(Effect[None], frozen=True):
    """Send bytes that no codec has seen. Only attackers have a use for it."""

    to: tuple[NodeId, ...]
    data: bytes


class Received(msgspec.Struct, Generic[M_co], frozen=True):
    """A message and who sent it. It is decoded, not verified."""

    sender: NodeId
    message: M_co


class Receive(Effect[Received[M] | None], frozen=True):
    """The next message of one of these types in order of arrival; None when `deadline_s` has
    passed."""

    types: tuple[type[M], ...]
    sender: NodeId | None = None
    deadline_s: float | None = None


class Collected(msgspec.Struct, Generic[R], frozen=True):
    """What a `Collect` gathered: the first message of each sender, in ascending sender order."""

    messages: Mapping[NodeId, R]


class Collect(Effect[Collected[R]], frozen=True):
    """Messages of one type and round from `expected` senders.

    Returns when `enough` of them have arrived or `deadline_s` has passed, whichever is first.
    Later copies from the same sender, and messages of earlier rounds, are dropped.
    """

    type: type[R]
    round: Round
    expected: frozenset[NodeId]
    enough: int
    deadline_s: float | None = None


class Sleep(Effect[None], frozen=True):
    """The node does nothing for `seconds`."""

    seconds: float


class Now(Effect[float], frozen=True):
    """Seconds on this node's own clock, for a role that serves many at once and owes each of them
    another deadline. Only differences mean something; a restart does not turn it back."""


class Perform(Effect[T], frozen=True):
    """A pure computation, for the engine."""

    request: Compute[Any, T]


class Save(Effect[None], frozen=True):
    """Make `state` the state that survives, in place of the last one. Nothing that is sent or
    reported afterwards leaves before it is safe."""

    state: msgspec.Struct


class Load(Effect[S | None], frozen=True):
    """The state that survived, or None."""

    type: type[S]


class Access(Effect[T], frozen=True):
    """A change or a reading of this node's store. A reading that is asked for again gives the same,
    so nobody logs it."""

    request: StoreRequest[Any, T]


class Report(Effect[None], frozen=True):
    """A round is over: what became of it, and the model as it is now.

    `missing` are the nodes that were asked and did not answer in time.
    """

    round: Round
    params_D: Float32s
    accepted: tuple[NodeId, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    missing: tuple[NodeId, ...] = ()
