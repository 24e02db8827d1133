"""What a protocol says of its chain, so that `troth.chain` can read and check a file of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from troth.chain.block import SealedBlock
from troth.chain.sealed import Sealed
from troth.chain.store import Facts
from troth.ids import NodeId
from troth.wire import Message


class AnyGenesis(Protocol):
    """A genesis that was read and checked by itself."""

    @property
    def record(self) -> Sealed[Message]:
        """Its record; the digest of it is the chain's id."""


class AnyBlock(Protocol):
    """A block that was read, and not checked."""

    @property
    def block(self) -> Sealed[Message]:
        """The record that the block seals: its content and hash."""

    @property
    def certificate(self) -> Message | None:
        """Signatures under its hash, if it has any."""

    @property
    def sealed(self) -> SealedBlock:
        """The block as a chain keeps it, with the height and the previous hash that the record
        says."""


G = TypeVar("G", bound=AnyGenesis)
B = TypeVar("B", bound=AnyBlock)


@dataclass(frozen=True)
class ChainKind(Generic[G, B]):
    """Chains of one protocol.

    Args:
      genesis: the class of a genesis' record; errors name its fields.
      block: the class of a block's record; errors name its fields.
      read_genesis: reads the genesis in a file's facts, checks it by itself, and checks that the
        charter and the model beside it are those that it names. Raises `GenesisError`.
      read_block: reads a block, and checks nothing but its encoding. Raises `BlockError` of the
        field `encoding` or `certificate`; the culprit is the node that is given as `sender`.
      signers: the peers that signed a block's certificate, ascending; none where it has no
        certificate. It is asked for checked blocks only.
      explained: fields of the genesis that `read_genesis` can say more of than that they were
        altered, as they hold signatures.
    """

    genesis: type[Message]
    block: type[Message]
    read_genesis: Callable[[Facts, NodeId], G]
    read_block: Callable[[SealedBlock, NodeId], B]
    signers: Callable[[G, B], tuple[NodeId, ...]]
    explained: frozenset[str] = frozenset()
