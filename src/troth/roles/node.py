"""A role's view of the node it runs on: its name, its random stream, and verbs for the effects."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import msgspec

from troth.compute import Compute
from troth.ids import NodeId, Round
from troth.records import Rejection
from troth.roles import effects
from troth.roles.effects import Collected, Effect, Received
from troth.roles.messages import RoundMessage
from troth.roles.stores import StoreRequest, Stores
from troth.streams import Stream
from troth.wire import Float32s, Message

M = TypeVar("M", bound=Message)
M2 = TypeVar("M2", bound=Message)
M3 = TypeVar("M3", bound=Message)
R = TypeVar("R", bound=RoundMessage)
S = TypeVar("S", bound=msgspec.Struct)
V = TypeVar("V")


@dataclass(frozen=True)
class Node:
    """Where a role runs. Everything here is the same after a restart.

    Args:
      stream: the node's part of the run's `learning` stream.
      secret: the node's own secrets (keys, nonces); in a real run seeded by the operating system.
    """

    id: NodeId
    stream: Stream
    secret: Stream

    def send(self, to: NodeId, message: Message) -> Effect[None]:
        """Send `message` to one node."""
        return effects.Send((to,), message)

    def broadcast(self, to: Iterable[NodeId], message: Message) -> Effect[None]:
        """Send `message` to each of `to`, in the order given."""
        return effects.Send(tuple(to), message)

    def receive_any(
        self, types: tuple[type[Message], ...], *, deadline_s: float | None = None
    ) -> Effect[Received[Message] | None]:
        """The next message of one of `types`, or None after `deadline_s`."""
        return effects.Receive(types, None, deadline_s)

    @overload
    def receive(
        self, first: type[M], /, *, sender: NodeId | None = None, deadline_s: float | None = None
    ) -> Effect[Received[M] | None]: ...

    @overload
    def receive(
        self,
        first: type[M],
        second: type[M2],
        /,
        *,
        sender: NodeId | None = None,
        deadline_s: float | None = None,
    ) -> Effect[Received[M | M2] | None]: ...

    @overload
    def receive(
        self,
        first: type[M],
        second: type[M2],
        third: type[M3],
        /,
        *,
        sender: NodeId | None = None,
        deadline_s: float | None = None,
    ) -> Effect[Received[M | M2 | M3] | None]: ...

    def receive(
        self,
        *types: type[Message],
        sender: NodeId | None = None,
        deadline_s: float | None = None,
    ) -> Effect[Any]:
        """The next message of one of `types` (one to three), or None after `deadline_s`."""
        return effects.Receive(types, sender, deadline_s)

    def collect(
        self,
        type: type[R],
        round: Round,
        *,
        expected: Iterable[NodeId],
        enough: int,
        deadline_s: float | None = None,
    ) -> Effect[Collected[R]]:
        """The first message of this type and round from each of `expected`, until `enough` have
        come."""
        return effects.Collect(type, round, frozenset(expected), enough, deadline_s)

    def sleep(self, seconds: float) -> Effect[None]:
        """Waits so many seconds, of simulated or of real time, and does nothing meanwhile."""
        return effects.Sleep(seconds)

    def now(self) -> Effect[float]:
        """Seconds on this node's clock; only differences mean something."""
        return effects.Now()

    def compute(self, request: Compute[Any, V]) -> Effect[V]:
        """Have the engine compute `request`."""
        return effects.Perform(request)

    def save(self, state: msgspec.Struct) -> Effect[None]:
        """Make `state` survive a crash, before anything that depends on it is sent."""
        return effects.Save(state)

    def load(self, type: type[S]) -> Effect[S | None]:
        """What was last saved, or None."""
        return effects.Load(type)

    def access(self, request: StoreRequest[Any, V]) -> Effect[V]:
        """Have this node's store carry out `request`."""
        return effects.Access(request)

    def report(
        self,
        round: Round,
        params_D: Float32s,
        *,
        accepted: Iterable[NodeId] = (),
        rejected: Iterable[Rejection] = (),
        missing: Iterable[NodeId] = (),
    ) -> Effect[None]:
        """Say that `round` is over."""
        return effects.Report(round, params_D, tuple(accepted), tuple(rejected), tuple(missing))


RoleCoroutine = Coroutine[Effect[Any], Any, Float32s | None]
Role = Callable[[Node], RoleCoroutine]
"""A role with its parameters bound. It returns the model it ends with, or None if it has none."""


@dataclass(frozen=True)
class Cast:
    """Who plays what in a run.

    Args:
      roles: a role for every node.
      leading: the run is over when all of these have returned.
      messages: every message type of the protocol, for the codec.
      own_models: every leading node ends with a model of its own, instead of one model for all.
      stores: makes the nodes' stores for one simulated world; None where the protocol has none.
    """

    roles: Mapping[NodeId, Role]
    leading: tuple[NodeId, ...]
    messages: tuple[type[Message], ...]
    own_models: bool = False
    stores: Callable[[], Stores] | None = None
