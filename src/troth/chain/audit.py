"""Checking a chain file that somebody else wrote, from the file alone.

Two passes over the blocks, by height. The first compares all bytes with the digests beside them, so
what was altered after it was written is named by block and field. The second follows the links and
has the protocol check each block on top of the one below it. Up to a block that somebody trusted
has named by its hash, less is enough: see `Trusted`.

What a file cannot show by itself: that it is the chain of the right genesis, and that its last
blocks were not cut off. For this compare the chain's id and the hash of its tip with what peers
say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from troth.chain.block import SealedBlock
from troth.chain.errors import BlockError, GenesisError
from troth.chain.kind import AnyBlock, AnyGenesis, B, ChainKind, G
from troth.chain.sealed import ENTRY_BYTES, altered_field, field_names, index_digest, index_of
from troth.chain.store import ChainFile, Facts, Row, Tip, first_tip
from troth.errors import PeerError, VerificationError
from troth.ids import NodeId
from troth.wire import Message, check_elements

S = TypeVar("S")
G_contra = TypeVar("G_contra", bound=AnyGenesis, contravariant=True)
B_contra = TypeVar("B_contra", bound=AnyBlock, contravariant=True)


class Follow(Protocol[G_contra, B_contra, S]):
    """The protocol's checks of a block on top of another one."""

    def __call__(self, genesis: G_contra, below: S, block: B_contra, /, *, sender: NodeId) -> S:
        """The protocol's state after a block.

        Args:
          below: its state after the block below.

        Raises:
          BlockError: names the field that is wrong; the culprit is `sender`.
          PeerError: it is wrong in another way.
        """


@dataclass(frozen=True)
class Trusted(Generic[G, B, S]):
    """A block that somebody trusted has named: what is in it and below it is taken on their word,
    as its hash binds it.

    Args:
      hash: of a certified block of the winning chain.
      follow: what is left of the protocol's checks up to there.
    """

    hash: bytes
    follow: Follow[G, B, S]


class BadChainError(VerificationError):
    """A chain file is not what it claims to be.

    Args:
      height: of the first block that is wrong; 0 is the genesis.
      field: of it.
      problem: what is wrong with it.
    """

    def __init__(self, file: Path, height: int, field: str, problem: str) -> None:
        place = "genesis" if height == 0 else f"block {height}"
        super().__init__(
            f"{file}: {place}: {field}: {problem}",
            hint="ask another peer for its chain; blocks below this one are sound"
            if height
            else "ask another peer for its chain",
        )
        self.height, self.field = height, field


@dataclass(frozen=True)
class DoubleSignature:
    """Peers that signed two blocks of one height, and so have broken the protocol."""

    height: int
    blocks: tuple[bytes, bytes]
    """Hashes, in the file's order."""
    peers: tuple[NodeId, ...]


@dataclass(frozen=True)
class Audit(Generic[G, B, S]):
    """What a sound chain file holds."""

    kind: ChainKind[G, B]
    genesis: G
    tip: Tip
    """The last block of the winning chain."""
    state: S
    """The protocol's state after that block."""
    branch: tuple[bytes, ...]
    """Hashes of the winning chain's blocks, ascending by height."""
    blocks: int
    """How many blocks are in the file, on all branches."""
    branches: int
    """How many branches are in the file."""
    double_signatures: tuple[DoubleSignature, ...]


@dataclass(frozen=True)
class _End(Generic[S]):
    """Where a branch stands after a block."""

    tip: Tip
    state: S


def audit(
    file: ChainFile,
    kind: ChainKind[G, B],
    *,
    begin: Callable[[G, Facts], S],
    follow: Follow[G, B, S],
    trusted: Trusted[G, B, S] | None = None,
) -> Audit[G, B, S]:
    """Check a chain file, replaying it through its protocol's checks.

    Args:
      begin: gives the protocol's state before the first block, and may raise a `PeerError`.
      follow: checks each block.
      trusted: up to which block `trusted.follow` checks in the place of `follow`; None: `follow`
        checks all of them.

    Raises:
      BadChainError: names the first block and field that are wrong.
      VerificationError: the file is damaged as a database, or `trusted` is no certified block of
        its winning chain.
    """
    path, chain = file.path, file.facts.id
    file.check_pages()
    genesis = _genesis(path, kind, file.facts)
    links: dict[bytes, bytes] = {}
    for row in file.rows():
        _check_row(path, kind, row.block)
        links[row.block.hash] = row.block.previous
    try:
        root = _End(first_tip(chain), begin(genesis, file.facts))
    except PeerError as error:
        raise BadChainError(path, 0, "contents", f"are refused: {error.message}") from None
    # Each hash was compared with the block's bytes, which name the one below.
    vouched = set() if trusted is None else _vouched(path, links, trusted.hash)
    tips = {chain: root}
    witness = _Witness()
    # Of one height; what the height below left is all that the next one needs.
    below, here, height = {chain: root}, dict[bytes, _End[S]](), 1
    for row in file.rows():
        block = row.block
        if block.height != height:
            below, here, height = here, {}, height + 1
        parent = below.get(block.previous)
        if parent is None or block.height != height:
            raise BadChainError(path, block.height, "previous", "is no block of this file")
        checks = follow if trusted is None or block.hash not in vouched else trusted.follow
        decoded = _decoded(path, kind, block)
        state = _checked(path, genesis, parent, decoded, checks)
        end = _End(_tip(path, parent.tip, row), state)
        if trusted is not None and block.hash == trusted.hash and block.certificate is None:
            raise VerificationError(
                f"{path}: block {block.height} has no certificate, so it cannot be trusted",
                hint="name the last block below it that has one",
            )
        here[block.hash] = end
        tips.pop(block.previous, None)
        tips[block.hash] = end
        witness.see(block, kind.signers(genesis, decoded))
    best = max(tips.values(), key=lambda end: end.tip.preference())
    branch = _branch(links, best.tip)
    if trusted is not None and trusted.hash not in branch:
        raise not_on_the_chain(path, trusted.hash.hex())
    return Audit(
        kind=kind,
        genesis=genesis,
        tip=best.tip,
        state=best.state,
        branch=branch,
        blocks=len(links),
        branches=len(tips),
        double_signatures=tuple(witness.doubles),
    )


def not_on_the_chain(path: Path, block_hash: str) -> VerificationError:
    """The winning chain lacks a block that it should have.

    Args:
      block_hash: in hexadecimal digits.
    """
    return VerificationError(
        f"{path}: no block has the hash {block_hash}",
        hint="it may have been cut off, or lie on another branch: ask another peer",
    )


def _vouched(path: Path, links: Mapping[bytes, bytes], block_hash: bytes) -> set[bytes]:
    """A block and those below it."""
    if block_hash not in links:
        raise not_on_the_chain(path, block_hash.hex())
    found: set[bytes] = set()
    while block_hash in links:
        found.add(block_hash)
        block_hash = links[block_hash]
    return found


class _Witness:
    """Remembers who signed what, in bytes rather than blocks."""

    def __init__(self) -> None:
        self.doubles: list[DoubleSignature] = []
        self._seen: dict[int, list[tuple[bytes, frozenset[NodeId]]]] = {}

    def see(self, block: SealedBlock, signers: tuple[NodeId, ...]) -> None:
        """Take note of who signed a block whose certificate was checked."""
        others = self._seen.setdefault(block.height, [])
        self.doubles += [
            DoubleSignature(block.height, (other, block.hash), tuple(sorted(both)))
            for other, before in others
            if (both := before & set(signers))
        ]
        others.append((block.hash, frozenset(signers)))


def _branch(links: Mapping[bytes, bytes], tip: Tip) -> tuple[bytes, ...]:
    """The hashes from the genesis, left out, to the tip."""
    hashes: list[bytes] = []
    while len(hashes) < tip.height:
        hashes.append(links[hashes[-1]] if hashes else tip.hash)
    return tuple(reversed(hashes))


def _checked(path: Path, genesis: G, below: _End[S], block: B, follow: Follow[G, B, S]) -> S:
    """The protocol's state after a block that it has checked on top of the one below."""
    height = below.tip.height + 1
    try:
        return follow(genesis, below.state, block, sender=NodeId(path.name))
    except BlockError as error:
        raise BadChainError(path, height, error.field, error.problem) from None
    except PeerError as error:
        raise BadChainError(path, height, "contents", f"are refused: {error.message}") from None


def _tip(path: Path, below: Tip, row: Row) -> Tip:
    """The branch that ends with a block, compared with what the row says of it."""
    block = row.block
    certified = block.certificate is not None
    tip = Tip(
        block.hash,
        block.height,
        below.certified + certified,
        block.hash if certified else below.anchor,
    )
    if row.certified != tip.certified:
        raise BadChainError(path, block.height, "certified", f"counts {row.certified} certificates")
    if row.anchor != tip.anchor:
        raise BadChainError(
            path, block.height, "anchor", "is not the hash of the last certified block"
        )
    return tip


def _genesis(path: Path, kind: ChainKind[G, B], facts: Facts) -> G:
    altered = _altered(kind.genesis, facts.genesis, facts.index, facts.id)
    if altered is not None and altered not in kind.explained:
        raise BadChainError(path, 0, altered, "was altered")
    try:
        genesis = kind.read_genesis(facts, NodeId(path.name))
    except GenesisError as error:
        raise BadChainError(path, 0, altered or error.field, error.problem) from None
    if altered is not None:
        raise BadChainError(path, 0, altered, "was altered")
    return genesis


def _check_row(path: Path, kind: ChainKind[G, B], block: SealedBlock) -> None:
    """Compare a block's bytes with its own digests, and what stands beside them with the record."""
    altered = _altered(kind.block, block.data, block.index, block.hash)
    if altered is not None:
        raise BadChainError(path, block.height, altered, "was altered")
    found = _decoded(path, kind, block).sealed
    if found.height != block.height:
        raise BadChainError(path, found.height, "height", f"is filed as {block.height}")
    if found.previous != block.previous:
        raise BadChainError(path, block.height, "previous", "is filed as another block's hash")


def _decoded(path: Path, kind: ChainKind[G, B], block: SealedBlock) -> B:
    try:
        return kind.read_block(block, NodeId(path.name))
    except BlockError as error:
        raise BadChainError(path, block.height, error.field, error.problem) from None


def _altered(kind: type[Message], data: bytes, index: bytes, digest: bytes) -> str | None:
    """Which of a stored record's three parts is not what the other two say: a field of the data, an
    entry of the index, or the digest. If several are, one of them."""
    names = field_names(kind)
    place = altered_field(data, index) if len(index) == len(names) * ENTRY_BYTES else None
    if index_digest(index) == digest:
        if len(index) != len(names) * ENTRY_BYTES:
            return "index"
        return None if place is None else names[place]
    try:
        check_elements(data, 1)
        fresh = index_of(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        fresh = b""
    if fresh == index:
        return "hash"
    if index_digest(fresh) == digest or place is None:
        return "index"
    return names[place]
