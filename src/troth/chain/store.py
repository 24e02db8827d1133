"""A peer's chain in one SQLite file: the genesis, what it names, and every verified block.

Blocks are only ever added, each after the block below it, each in a transaction of its own: after a
kill at any point the file holds a chain, which is at worst short of its last block. One process
writes at a time. A file that was closed stands alone: it can be copied and audited anywhere.

It may hold several branches. The one that wins is the one that peers go on from (`chain.forks`).
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from threading import Lock
from types import NoneType
from typing import Any, Self
from urllib.parse import quote

from troth.chain.block import SealedBlock, VerifiedBlock
from troth.chain.forks import preference
from troth.chain.ledger import fitting
from troth.chain.sealed import altered_field, index_digest
from troth.errors import LocalError, UsageError, VerificationError

FORMAT = b"troth chain 1"
TABLES = (
    "CREATE TABLE facts (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    "CREATE TABLE blocks (hash BLOB PRIMARY KEY, height INTEGER NOT NULL, previous BLOB NOT NULL, "
    'certified INTEGER NOT NULL, anchor BLOB NOT NULL, "index" BLOB NOT NULL, '
    "data BLOB NOT NULL, certificate BLOB) STRICT",
    "CREATE INDEX by_height ON blocks (height, hash)",
    "CREATE INDEX by_previous ON blocks (previous)",
)
_COLUMNS = 'hash, height, previous, certified, anchor, "index", data, certificate'
_BRANCH = (
    "WITH RECURSIVE branch (hash, height, previous) AS ("
    "SELECT hash, height, previous FROM blocks WHERE hash = ?1 UNION ALL "
    "SELECT below.hash, below.height, below.previous FROM blocks AS below "
    "JOIN branch ON below.hash = branch.previous WHERE below.height > ?2) "
)
"""A branch from its tip down to a height."""
_DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a file raises: SQLite's messages quote its text, which need not be text any more."""
CHAIN_LOST = (
    "restore the file from a copy; or move it away, and start with --chain FILE, a copy of "
    "another peer's chain.sqlite"
)
"""What to do where a peer's own chain does not hold."""
MAX_VALUE_BYTES = 2**28
"""Largest value that is read out of a file: somebody else may have written it."""


@dataclass(frozen=True)
class Tip:
    """The last block of one branch; the genesis where there is none."""

    hash: bytes
    height: int
    certified: int
    """Certified blocks from the genesis to it."""
    anchor: bytes
    """Hash of the last of them; the chain's id where there is none."""

    def preference(self) -> tuple[tuple[int, int], int, int]:
        """The fork choice: of two tips, the one with the larger preference. Between branches that
        are one but for empty blocks on top, the longer, then the one with the smaller hash."""
        return preference(self.certified, self.anchor), self.height, -int.from_bytes(self.hash)


def first_tip(chain: bytes) -> Tip:
    """The tip of a chain that has no block yet.

    Args:
      chain: its id.
    """
    return Tip(chain, height=0, certified=0, anchor=chain)


@dataclass(frozen=True)
class Row:
    """A block as it lies in a file: nothing of it was checked."""

    block: SealedBlock
    certified: int
    """Certified blocks from the genesis to it."""
    anchor: bytes
    """Hash of the last of them; the chain's id where there is none."""


@dataclass(frozen=True)
class Facts:
    """What a file says besides its blocks; what is read from somebody else's file was not
    checked."""

    genesis: bytes
    """The genesis' record (`troth.chain.sealed`)."""
    index: bytes
    """The index of that record."""
    id: bytes
    """The digest of that record: the chain's id."""
    charter: bytes
    """The charter of the run, as canonical JSON."""
    model: bytes
    """w_0, in the protocol's encoding."""


class _Database(ABC):
    """A chain's file, open, which `_open` of a subclass looks into first.

    Args:
      place: the file as `sqlite3.connect` takes it.
    """

    def __init__(self, path: Path, place: Path | str, **options: bool) -> None:
        self.path = path
        with _reported(path):
            self._database = sqlite3.connect(place, timeout=0.0, isolation_level=None, **options)
            self._database.text_factory = _text
            try:
                self._open()
            except BaseException:
                self._database.close()
                raise

    @abstractmethod
    def _open(self) -> None:
        """Look into the file, and refuse it if it is not what it should be."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the chain's file; nothing can be read or written after that."""
        self._database.close()


class ChainStore(_Database):
    """A peer's own chain, open for writing.

    Args:
      path: made where there is none.
      facts: the genesis that the chain stands on, which was checked, and what it names; a file goes
        on with the same facts only.

    Raises:
      UsageError: another process has it open, or it cannot be written.
      VerificationError: it is no chain, or one with another genesis.
    """

    def __init__(self, path: Path, facts: Facts) -> None:
        self.facts = facts
        # Whoever calls may do so from a thread, to go on with something else meanwhile.
        self._in_use = Lock()
        super().__init__(path, path, check_same_thread=False)

    def close(self) -> None:
        """Give the file back, with everything in it and nothing beside it.

        Raises:
          UsageError: the disk does not take it; what was appended is safe all the same.
        """
        try:
            self._rows("PRAGMA journal_mode = DELETE")
        finally:
            with self._in_use:
                self._database.close()

    def append(self, block: VerifiedBlock) -> Tip:
        """Add a block, and give the tip of the chain that then wins. It is on the disk when this
        returns. A block that is there already changes nothing.

        Raises:
          UsageError: the disk does not take it.
          LocalError: the block below it is not here; fetch that first.
        """
        self.keep(block)
        return self.tip()

    def keep(self, block: VerifiedBlock) -> None:
        """The same, for who does not ask which chain wins (`troth.chain.ledger.Ledger`).

        Raises:
          UsageError, LocalError: as `append`.
        """
        below = self._tip(block.previous)
        if below is None or block.height != below.height + 1:
            raise LocalError(f"block {block.height} has no block below it in {self.path}")
        row = (
            block.hash,
            block.height,
            block.previous,
            below.certified + (block.certificate is not None),
            below.anchor if block.certificate is None else block.hash,
            block.index,
            block.data,
            block.certificate,
        )
        self._rows("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def branch(self, tip: bytes, *, above: int, most_bytes: int) -> tuple[SealedBlock, ...]:
        """The first blocks above a height of the branch that ends with block `tip`, ascending, as
        many as fit into `most_bytes`, and at least one (`troth.chain.ledger.Ledger`)."""
        found = (self.get(block_hash) for block_hash in self.hashes(tip, above=above))
        return fitting((block for block in found if block is not None), most_bytes)

    def tip(self) -> Tip:
        """Of the winning chain, by the fork choice above."""
        return max(self.tips(), key=Tip.preference)

    def tips(self) -> tuple[Tip, ...]:
        """Of all branches, by hash."""
        rows = self._rows(
            "SELECT hash, height, certified, anchor FROM blocks AS here WHERE NOT EXISTS "
            "(SELECT 1 FROM blocks WHERE previous = here.hash) ORDER BY hash"
        )
        return tuple(Tip(*row) for row in rows) or (first_tip(self.facts.id),)

    def get(self, block_hash: bytes) -> SealedBlock | None:
        """The block of that hash; None where it is not here.

        Raises:
          VerificationError: its bytes were altered.
        """
        found = self._rows(f"SELECT {_COLUMNS} FROM blocks WHERE hash = ?", block_hash)
        return _own(self.path, found[0]) if found else None

    def check(self, branch: Sequence[bytes]) -> None:
        """Check that a branch still lies here as it was kept.

        Args:
          branch: hashes by height, the chain's id first.

        Raises:
          VerificationError: a block of it is missing, or was altered.
        """
        certified, anchor = 0, self.facts.id
        for height, (below, block_hash) in enumerate(pairwise(branch), start=1):
            found = self._rows(f"SELECT {_COLUMNS} FROM blocks WHERE hash = ?", block_hash)
            if not found:
                raise VerificationError(
                    f"{self.path}: lacks block {height}, which this peer's journal knows",
                    hint=CHAIN_LOST,
                )
            block, row = _own(self.path, found[0]), _row(self.path, found[0])
            if block.certificate is not None:
                certified, anchor = certified + 1, block_hash
            said = (block.height, block.previous, row.certified, row.anchor)
            if said != (height, below, certified, anchor):
                raise VerificationError(
                    f"{self.path}: block {height}: its place in the chain was altered",
                    hint=CHAIN_LOST,
                )

    def hashes(self, tip: bytes, *, above: int = 0) -> tuple[bytes, ...]:
        """The hashes of a branch from its tip down to the first above that height, ascending."""
        found = self._rows(
            _BRANCH + "SELECT hash FROM branch WHERE height > ?2 ORDER BY height", tip, above
        )
        return tuple(row[0] for row in found)

    def _open(self) -> None:
        # Exclusive, so a peer that is started twice is noticed; full, so that a power cut loses
        # nothing that was said to be on the disk.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:  # ends the transaction
            if not self._rows("SELECT 1 FROM sqlite_schema"):
                for statement in TABLES:
                    self._database.execute(statement)
                self._database.executemany(
                    "INSERT INTO facts VALUES (?, ?)",
                    {"format": FORMAT, **asdict(self.facts)}.items(),
                )
        _check_tables(self.path, self._database)
        _check_pages(self.path, self._database)
        if _facts(self.path, self._database) != self.facts:
            raise VerificationError(
                f"{self.path}: is the chain of another genesis",
                hint="give this chain a file of its own",
            )

    def _tip(self, block_hash: bytes) -> Tip | None:
        if block_hash == self.facts.id:
            return first_tip(self.facts.id)
        found = self._rows(
            "SELECT hash, height, certified, anchor FROM blocks WHERE hash = ?", block_hash
        )
        return Tip(*found[0]) if found else None

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with _reported(self.path), self._in_use:
            return self._database.execute(query, values).fetchall()


class ChainFile(_Database):
    """Anybody's chain file, open for reading. Nothing that comes out of it is trusted.

    Raises:
      UsageError: it cannot be read, or the process that writes it has it open.
      VerificationError: it is no chain.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file")
        super().__init__(path, f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)

    def _open(self) -> None:
        self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            self._database.execute(f"PRAGMA {pragma}")
        # One transaction, so that all that is read is of one moment.
        self._database.execute("BEGIN")
        _check_tables(self.path, self._database)
        self.facts = _facts(self.path, self._database)
        """Unchecked, as everything here."""

    def rows(self) -> Iterator[Row]:
        """All blocks, by height and hash, one in memory at a time.

        Raises:
          VerificationError: the file is damaged here.
        """
        query = f"SELECT {_COLUMNS} FROM blocks ORDER BY height, hash"
        with _reported(self.path):
            yield from (_row(self.path, values) for values in self._database.execute(query))

    def check_pages(self) -> None:
        """Check that the file is sound as a database: that no block is hidden in it.

        Raises:
          VerificationError: it is not.
        """
        _check_pages(self.path, self._database)


def _check_pages(path: Path, database: sqlite3.Connection) -> None:
    with _reported(path):
        said = [row[0] for row in database.execute("PRAGMA integrity_check(1)")]
    if said != ["ok"]:
        # SQLite says it in several lines.
        shown = " ".join(" ".join(said)[:200].split())
        raise VerificationError(f"{path}: the file is damaged: {shown}", hint=CHAIN_LOST)


def _text(data: bytes) -> str:
    """Damaged text is no reason to stop: it is compared with what should be there."""
    return data.decode(errors="replace")


def _check_tables(path: Path, database: sqlite3.Connection) -> None:
    """The file holds our tables and nothing else: no view, no trigger."""
    found = [
        row[0]
        for row in database.execute(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
        )
    ]
    if found != list(TABLES):
        raise _not_a_chain(path, "other tables than a chain's")


def _facts(path: Path, database: sqlite3.Connection) -> Facts:
    found = dict(database.execute("SELECT key, value FROM facts"))
    if found.pop("format", None) != FORMAT:
        raise _not_a_chain(path, f"no format {FORMAT.decode()!r}")
    names = [field.name for field in fields(Facts)]
    if found.keys() != set(names) or not all(type(found[name]) is bytes for name in names):
        raise _not_a_chain(path, f"other facts than {', '.join(names)}")
    return Facts(**found)


def _row(path: Path, values: tuple[Any, ...]) -> Row:
    kinds = [bytes, int, bytes, int, bytes, bytes, bytes]
    if [type(value) for value in values[:7]] != kinds or type(values[7]) not in (bytes, NoneType):
        raise _not_a_chain(path, "values of other types than a chain's")
    block_hash, height, previous, certified, anchor, *rest = values
    return Row(SealedBlock(block_hash, height, previous, *rest), certified, anchor)


def _own(path: Path, values: tuple[Any, ...]) -> SealedBlock:
    """One of our own blocks, which was verified before it went in."""
    block = _row(path, values).block
    altered = altered_field(block.data, block.index) is not None
    if altered or index_digest(block.index) != block.hash:
        raise VerificationError(
            f"{path}: block {block.height}: its hash is another one", hint=CHAIN_LOST
        )
    return block


def _not_a_chain(path: Path, found: str) -> VerificationError:
    return VerificationError(f"{path}: is not a chain: it has {found}")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """What SQLite complains of within this context is said as an error of ours."""
    try:
        yield
    except _DAMAGED as error:
        raise _failed(path, error) from None


def _failed(
    path: Path, error: sqlite3.DatabaseError | UnicodeDecodeError
) -> UsageError | VerificationError:
    # Nothing is wrong with our statements, so what this code is said of is the file's contents.
    if (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode != sqlite3.SQLITE_ERROR
    ):
        if "locked" in str(error):
            return UsageError(
                f"{path}: the peer that writes this chain has it open",
                hint="wait until it has ended, or stop it",
            )
        return UsageError(f"{path}: cannot be opened or written: {error}")
    return VerificationError(f"{path}: is not a chain: {error}")
