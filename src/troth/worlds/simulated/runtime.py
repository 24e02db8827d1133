"""One node of a simulated world: its coroutine, what it waits for, and what it would survive
with."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_type_hints

from xxhash import xxh3_128_digest

from troth.compute import Compute
from troth.errors import LocalError
from troth.ids import NodeId
from troth.roles.effects import (
    Access,
    Collect,
    Effect,
    Load,
    Now,
    Perform,
    Receive,
    Save,
    Sleep,
)
from troth.roles.node import Node, Role, RoleCoroutine
from troth.wire import Float32s
from troth.worlds.mailbox import Envelope, Mailbox
from troth.worlds.states import KeptState, decode_state

_pack_time = struct.Struct("<d").pack

Blocking = Receive[Any] | Collect[Any] | Sleep | Perform[Any] | Now
"""What gives a role something it could not work out itself, and is therefore logged."""


@cache
def value_type(request_type: type[Compute[Any, Any]]) -> Any:
    """What `run` of this kind of request returns, by its annotation."""
    return get_type_hints(request_type.run)["return"]


@dataclass(slots=True)
class Runtime:
    """A node's volatile and durable state.

    `log` holds what blocking effects gave since the last `Save` (or the start), and `performed`
    counts the other effects since then. Together with `kept` they bring a fresh coroutine to the
    same place.
    """

    node: Node
    role: Role
    store: Any = None
    id: NodeId = field(init=False)
    coroutine: RoleCoroutine | None = None
    clock_s: float = 0.0
    waiting: Blocking | None = None
    wait_number: int = 0
    gathered: dict[NodeId, Envelope] = field(default_factory=dict)
    mailbox: Mailbox = field(default_factory=Mailbox)
    set_aside: bool = False
    """It computes, and the engine has not been asked yet."""
    ready: Any = None
    """The value of a finished computation whose simulated time is not over yet."""
    kept: KeptState | bytes | None = None
    """What was last saved; bytes where they come from a snapshot."""
    log: list[tuple[str, Any]] = field(default_factory=list)
    performed: int = 0
    up: bool = True
    finished: bool = False
    result: Float32s | None = None
    messages_sent: int = 0
    outages: int = 0
    churned: int = 0
    bytes_sent: int = 0
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Messages and bytes by message type."""
    bytes_received: int = 0
    work: dict[str, float] = field(default_factory=dict)
    """Units of computation by label, whatever they cost here."""
    work_s: dict[str, float] = field(default_factory=dict)
    """Simulated seconds that they took, by label."""
    chain: bytes = b""

    def __post_init__(self) -> None:
        self.id = self.node.id

    def note(self, kind: bytes, *parts: bytes) -> None:
        """Add an event to this node's trace, with the time it happened at."""
        event = b"".join((kind, _pack_time(self.clock_s), *parts))
        self.chain = xxh3_128_digest(self.chain + event)

    @property
    def durable(self) -> bytes | None:
        """The bytes of what was last saved."""
        return self.kept.whole() if isinstance(self.kept, KeptState) else self.kept

    def stop(self) -> None:
        """Lose everything that was not saved."""
        if self.coroutine is not None:
            self.coroutine.close()
        self.coroutine = None
        self.waiting = None
        self.wait_number += 1
        self.gathered = {}
        self.mailbox.clear()
        self.set_aside = False
        self.ready = None
        self.log.clear()
        self.performed = 0

    def describe_wait(self) -> str:
        """What this node is doing, for a deadlock report."""
        if self.finished:
            return "has finished"
        if not self.up:
            return "is down"
        match self.waiting:
            case Receive(types=types, sender=sender):
                names = " or ".join(type_.__name__ for type_ in types)
                return f"waits for {names}" + (f" from {sender}" if sender else "")
            case Collect(type=type_, round=round, expected=expected, enough=enough):
                absent = sorted(expected - self.gathered.keys())
                shown = ", ".join(absent[:5]) + (" and others" if len(absent) > 5 else "")
                return (
                    f"waits for {enough - len(self.gathered)} more {type_.__name__} "
                    f"of round {round}, from {shown}"
                )
            case Now():
                return "reads its clock"
            case Sleep(seconds=seconds):
                return f"sleeps for {seconds} s"
            case Perform(request=request):
                return f"computes {request.label}"
            case None:
                return "has not started"

    def replay(self, log: Sequence[tuple[str, Callable[[Blocking], Any]]]) -> None:
        """Bring a fresh coroutine to where this node was, from `durable` and what its effects gave.

        Raises:
          LocalError: the role does something else than it did before (see `roles.effects`).
        """
        self.coroutine = self.role(self.node)
        self.log = []
        performed = 0
        value: Any = None
        while True:
            try:
                effect: Effect[Any] = self.coroutine.send(value)
            except StopIteration:
                raise self._diverged("return") from None
            value = None
            if isinstance(effect, Load):
                if self.durable is not None:
                    value = decode_state(effect.type, self.durable)
            elif isinstance(effect, Access) and effect.request.change() is None:
                value = effect.request.run(self.store)
            elif isinstance(effect, Receive | Collect | Sleep | Perform | Now):
                if len(self.log) == len(log):
                    break
                kind, value_of = log[len(self.log)]
                if kind != type(effect).__name__:
                    raise self._diverged(f"{type(effect).__name__} instead of {kind}")
                value = value_of(effect)
                self.log.append((kind, value))
            elif isinstance(effect, Save):
                raise self._diverged("Save")
            else:
                performed += 1
        if performed != self.performed:
            raise self._diverged(f"{performed} effects instead of {self.performed}")
        self.waiting = effect

    def _diverged(self, what: str) -> LocalError:
        return LocalError(
            f"{self.id} cannot be resumed: restarted from its saved state, its role did {what}",
            hint="after a restart a role must do what it would have done after its last save",
        )
