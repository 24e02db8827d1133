"""Checking a chain file that somebody else wrote, from the file alone.

Two passes over the blocks, by height. The first compares all bytes with the digests beside them, so
what was altered after it was written is named by block and field. The second follows the links and
checks what `chain.link` does, and whatever the protocol's own `verify` adds to it. Up to a block
that somebody trusted has named by its hash, less is enough: see `Trusted`.

What a file cannot show by itself: that it is the chain of the right genesis, and that its last
blocks were not cut off. For this compare the chain's id and the hash of its tip with what peers
say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from troth.chain.sealed import ENTRY_BYTES, altered_field, field_names, index_digest, index_of
from troth.chain.store import ChainFile, Facts, Row, Tip, first_tip
from troth.errors import PeerError, VerificationError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import (
    Block,
    CertifiedBlock,
    read_block,
    read_certificate,
)
from troth.protocols.biscotti.ledger.genesis import (
    CheckedGenesis,
    Genesis,
    GenesisError,
    check_named,
    read_genesis,
)
from troth.protocols.biscotti.ledger.link import (
    BlockError,
    ChainState,
    check_link,
    check_outline,
    first_state,
    signers_of,
)
from troth.wire import Message, check_elements

S = TypeVar("S")

Verify = Callable[[CertifiedBlock, ChainState, S], S]
"""The protocol's checks of a block: given the block, the chain's state below it and its own state
there, gives its own state after it, or raises a `PeerError`."""


@dataclass(frozen=True)
class Trusted(Generic[S]):
    """A block that somebody trusted has named: what is in it and below it is taken on their word,
    as its hash binds it.

    Args:
      hash: of a certified block of the winning chain.
      accept: what is left of the protocol's checks up to there; as `Verify`.
    """

    hash: bytes
    accept: Verify[S]


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
    """Peers that signed two blocks of one round, and so have broken the protocol."""

    round: Round
    blocks: tuple[bytes, bytes]
    """Hashes, in the file's order."""
    peers: tuple[NodeId, ...]


@dataclass(frozen=True)
class Audit(Generic[S]):
    """What a sound chain file holds."""

    genesis: CheckedGenesis
    tip: Tip
    """Of the winning chain."""
    state: ChainState
    """There."""
    protocol_state: S
    """There, as `verify` left it."""
    line: tuple[bytes, ...]
    """Hashes of the winning chain's blocks, ascending."""
    blocks: int
    """In the file, on all branches."""
    branches: int
    double_signatures: tuple[DoubleSignature, ...]


@dataclass(frozen=True)
class _Branch(Generic[S]):
    tip: Tip
    state: ChainState
    protocol_state: S


def audit_structure(file: ChainFile) -> Audit[None]:
    """Check a chain file without any protocol: see `chain.link` for what that covers.

    Raises:
      BadChainError: names the first block and field that are wrong.
      VerificationError: the file is damaged as a database.
    """
    return audit(file, begin=_nothing, verify=_nothing)


def audit(
    file: ChainFile,
    *,
    begin: Callable[[CheckedGenesis, Facts], S],
    verify: Verify[S],
    trusted: Trusted[S] | None = None,
) -> Audit[S]:
    """Check a chain file, replaying it through the protocol's own checks.

    Args:
      begin: gives the protocol's state before the first block, and may raise a `PeerError`.
      verify: see `Verify`.
      trusted: up to which block the expensive checks are left out; None checks everything.

    Raises:
      BadChainError: names the first block and field that are wrong.
      VerificationError: the file is damaged as a database, or `trusted` is no certified block of
        its winning chain.
    """
    path = file.path
    file.check_pages()
    genesis = _genesis(path, file.facts)
    links: dict[bytes, bytes] = {}
    for row in file.rows():
        _check_row(path, row)
        links[row.hash] = row.previous
    root = _root(path, genesis, file.facts, begin)
    # Each hash was compared with the block's bytes, which name the one below.
    vouched = set() if trusted is None else _vouched(path, links, trusted.hash)
    tips = {genesis.id: root}
    witness = _Witness(genesis)
    # Of one height; what the height below left is all that the next one needs.
    below, here, height = {genesis.id: root}, dict[bytes, _Branch[S]](), 1
    for row in file.rows():
        if row.height != height:
            below, here, height = here, {}, height + 1
        block = _certified(path, row)
        parent = below.get(row.previous)
        if parent is None or row.height != height:
            raise BadChainError(path, row.height, "previous", "is no block of this file")
        if trusted is not None and row.hash in vouched:
            after = _follow(path, genesis, parent, block, row, check_outline, trusted.accept)
        else:
            after = _follow(path, genesis, parent, block, row, check_link, verify)
        if trusted is not None and row.hash == trusted.hash and block.certificate is None:
            raise VerificationError(
                f"{path}: block {row.height} has no certificate, so it cannot be trusted",
                hint="name the last block below it that has one",
            )
        here[row.hash] = after
        tips.pop(row.previous, None)
        tips[row.hash] = after
        witness.see(block)
    best = max(tips.values(), key=lambda branch: branch.tip.preference())
    line = _line(links, best.tip)
    if trusted is not None and trusted.hash not in line:
        raise not_on_the_chain(path, trusted.hash.hex())
    return Audit(
        genesis=genesis,
        tip=best.tip,
        state=best.state,
        protocol_state=best.protocol_state,
        line=line,
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

    def __init__(self, genesis: CheckedGenesis) -> None:
        self.doubles: list[DoubleSignature] = []
        self._genesis = genesis
        self._seen: dict[Round, list[tuple[bytes, frozenset[NodeId]]]] = {}

    def see(self, block: CertifiedBlock) -> None:
        """Take note of a block whose certificate was checked."""
        round, signers = block.block.content.round, frozenset(signers_of(self._genesis, block))
        others = self._seen.setdefault(round, [])
        self.doubles += [
            DoubleSignature(round, (other, block.hash), tuple(sorted(both)))
            for other, before in others
            if (both := before & signers)
        ]
        others.append((block.hash, signers))


def _line(links: Mapping[bytes, bytes], tip: Tip) -> tuple[bytes, ...]:
    """The hashes from the genesis, left out, to the tip."""
    line: list[bytes] = []
    while len(line) < tip.height:
        line.append(links[line[-1]] if line else tip.hash)
    return tuple(reversed(line))


def _root(
    path: Path,
    genesis: CheckedGenesis,
    facts: Facts,
    begin: Callable[[CheckedGenesis, Facts], S],
) -> _Branch[S]:
    try:
        return _Branch(first_tip(genesis), first_state(genesis), begin(genesis, facts))
    except PeerError as error:
        raise BadChainError(path, 0, "contents", f"are refused: {error.message}") from None


def _nothing(*_: object) -> None:
    """No protocol's state."""


def _follow(
    path: Path,
    genesis: CheckedGenesis,
    below: _Branch[S],
    certified: CertifiedBlock,
    row: Row,
    check: Callable[..., ChainState],
    verify: Verify[S],
) -> _Branch[S]:
    """Check one block on top of its parent.

    Args:
      check: `check_link`, or `check_outline`.
    """
    height = row.height
    try:
        state = check(genesis, below.state, certified, sender=NodeId(path.name))
        protocol_state = verify(certified, below.state, below.protocol_state)
    except BlockError as error:
        raise BadChainError(path, height, error.field, error.problem) from None
    except PeerError as error:
        raise BadChainError(path, height, "contents", f"are refused: {error.message}") from None
    tip = Tip(
        row.hash,
        height,
        below.tip.certified + (certified.certificate is not None),
        below.tip.anchor if certified.certificate is None else row.hash,
    )
    if row.certified != tip.certified:
        raise BadChainError(path, height, "certified", f"counts {row.certified} certificates")
    if row.anchor != tip.anchor:
        raise BadChainError(path, height, "anchor", "is not the hash of the last certified block")
    return _Branch(tip, state, protocol_state)


def _genesis(path: Path, facts: Facts) -> CheckedGenesis:
    altered = _altered(Genesis, facts.genesis, facts.index, facts.id)
    # Peers have signed their entries, so reading them can say whose it is.
    if altered not in (None, "peers"):
        raise BadChainError(path, 0, altered, "was altered")
    try:
        genesis = read_genesis(facts.genesis, source=NodeId(path.name))
        check_named(genesis, facts.charter, facts.model)
    except GenesisError as error:
        raise BadChainError(path, 0, altered or error.field, error.problem) from None
    if altered is not None:
        raise BadChainError(path, 0, altered, "was altered")
    return genesis


def _check_row(path: Path, row: Row) -> None:
    """Compare a row's bytes with its own digests, and its columns with the block in it."""
    altered = _altered(Block, row.data, row.index, row.hash)
    if altered is not None:
        raise BadChainError(path, row.height, altered, "was altered")
    block = _certified(path, row).block.content
    if block.height != row.height:
        raise BadChainError(path, block.height, "height", f"is filed as {row.height}")
    if block.previous != row.previous:
        raise BadChainError(path, block.height, "previous", "is filed as another block's hash")


def _certified(path: Path, row: Row) -> CertifiedBlock:
    source = NodeId(path.name)
    field = "encoding"
    try:
        block = read_block(row.data, sender=source)
        field = "certificate"
        certificate = (
            None if row.certificate is None else read_certificate(row.certificate, sender=source)
        )
    except PeerError as error:
        raise BadChainError(path, row.height, field, f"is wrong: {error.message}") from None
    return CertifiedBlock(block, certificate)


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
