"""A second kind of chain: blocks are notes, and a certificate is a list of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from troth.chain.block import SealedBlock, VerifiedBlock
from troth.chain.errors import BlockError, GenesisError
from troth.chain.kind import ChainKind
from troth.chain.sealed import Sealed, seal, unseal
from troth.chain.store import ChainStore, Facts
from troth.errors import PeerError
from troth.ids import NodeId
from troth.wire import Codec, Message

ANN, BOB, CAT = NodeId("ann"), NodeId("bob"), NodeId("cat")
CHARTER = b'{"name":"notes"}'


class Beginning(Message, frozen=True):
    title: str


class Note(Message, frozen=True):
    height: int
    previous: bytes
    text: bytes


class Names(Message, frozen=True):
    signers: tuple[NodeId, ...]


CODEC = Codec([Beginning, Note, Names], max_bytes=2**16)


@dataclass(frozen=True)
class Start:
    record: Sealed[Beginning]


@dataclass(frozen=True)
class SignedNote:
    block: Sealed[Note]
    certificate: Names | None

    @property
    def sealed(self) -> SealedBlock:
        note, names = self.block.content, self.certificate
        return SealedBlock(
            self.block.digest,
            note.height,
            note.previous,
            self.block.index,
            self.block.data,
            None if names is None else CODEC.encode(names),
        )


def read_genesis(facts: Facts, source: NodeId) -> Start:
    if facts.charter != CHARTER:
        raise GenesisError("charter", "is not that of the notes")
    return Start(unseal(CODEC, Beginning, facts.genesis, sender=source))


def read_note(block: SealedBlock, sender: NodeId) -> SignedNote:
    try:
        record, names = unseal(CODEC, Note, block.data, sender=sender), None
        if block.certificate is not None:
            names = unseal(CODEC, Names, block.certificate, sender=sender).content
        return SignedNote(record, names)
    except PeerError as error:
        raise BlockError(block.height, "encoding", error.message, sender=sender) from None


def signers(_: Start, note: SignedNote) -> tuple[NodeId, ...]:
    return () if note.certificate is None else note.certificate.signers


NOTES = ChainKind(Beginning, Note, read_genesis, read_note, signers)
START = Start(seal(CODEC, Beginning("notes")))
CHAIN = START.record.digest


def note(
    text: bytes, below: VerifiedBlock | None = None, by: Sequence[NodeId] = (ANN, BOB)
) -> VerifiedBlock:
    """A note on top of another one; it has no certificate if nobody signs it."""
    height, previous = (1, CHAIN) if below is None else (below.height + 1, below.hash)
    record = seal(CODEC, Note(height, previous, text))
    return VerifiedBlock(SignedNote(record, Names(tuple(by)) if by else None).sealed)


def notes(*texts: bytes) -> list[VerifiedBlock]:
    """A branch of notes, ascending."""
    found: list[VerifiedBlock] = []
    for text in texts:
        found.append(note(text, found[-1] if found else None))
    return found


def open_notes(path: Path) -> ChainStore:
    record = START.record
    return ChainStore(path, Facts(record.data, record.index, record.digest, CHARTER, b""))


def write_notes(path: Path, blocks: Sequence[VerifiedBlock]) -> Path:
    with open_notes(path) as store:
        for block in blocks:
            store.append(block)
    return path
