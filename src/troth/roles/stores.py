"""Stores: what a node keeps beside the state that it saves, such as the blocks of a chain.

A role never touches its node's store. It awaits a request, which is plain data as a computation is
(`troth.compute`), and the world has the store carry it out. So a protocol brings its own store and
its own requests, and no world knows what is in either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Protocol, TypeVar

from troth.ids import NodeId

Store = TypeVar("Store", contravariant=True)
Value = TypeVar("Value", covariant=True)


class StoreRequest(ABC, Generic[Store, Value]):
    """One change or one reading of a node's store. Implementations are frozen dataclasses.

    After a crash a role is called again from its last `Save` (see `roles.effects`), and makes the
    changes and readings since then again. In a resumed run it does so, too, but the world leaves
    out the changes, as they are in the store already. So stores and their requests promise:

    | promise                                     | what breaks otherwise                        |
    |---------------------------------------------|----------------------------------------------|
    | what was changed when `run` returns         | after a crash a role builds on what its      |
    | survives a crash                            | store has forgotten                          |
    | a change that is made again changes nothing | a node that crashed makes a change twice     |
    | a change gives nothing                      | a resumed role is given None in its place    |
    | a reading gives the same for ever, whatever | a role that is resumed takes another way, or |
    | changes since: it names what it reads by a  | is refused as one that does something else   |
    | hash or a version, never as the latest      | than before                                  |
    """

    @abstractmethod
    def run(self, store: Store) -> Value:
        """Carry the request out; in a real node in a thread of its own, one at a time."""

    def change(self) -> tuple[bytes, ...] | None:
        """What the trace says of the change that it makes: a word for it, then what tells it from
        other changes. None if it only reads, of which the trace says nothing."""
        return None


class Stores(Protocol):
    """The stores of all nodes of one simulated world."""

    def of(self, node: NodeId) -> Any:
        """The node's own store, the same whenever it is asked for."""

    def contents(self) -> object:
        """What all of them hold, for a snapshot: structs, dataclasses and builtin types, which
        msgspec can write as MessagePack. What several nodes hold should stand in it once."""

    def restore(self, contents: object) -> None:
        """Hold what `contents` gave, in stores that hold nothing yet.

        Args:
          contents: as msgspec reads it without knowing its type.
        """
