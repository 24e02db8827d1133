"""What a node must not forget, in SQLite with a write-ahead log.

One transaction per `Save` of the role: its state, the messages received and not taken yet, the
messages sent and not durable at their receivers, and how far each peer was heard. After a kill at
any point the node finds all of it as it was at one `Save`; whatever it had received since then,
its peers still have, as it was never told to be durable here.

**Damage.** A row holds the digest of all others and is written in their transaction, so no value
can be altered. SQLite drops whatever follows the first frame of its log that does not hold, and
says nothing of it; what it then finds is whole, but of an earlier moment. So a second file, the
mark, says how many transactions there have been. It is written after each one, and before anybody
is told; a journal that has had fewer has lost some. It is not synced to the disk each time: after
a power cut it may know of fewer transactions than the journal, which is no harm.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Protocol

from troth.errors import UsageError, VerificationError, reason_of
from troth.ids import NodeId

TABLES = (
    "CREATE TABLE node (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    "CREATE TABLE peers (peer TEXT PRIMARY KEY, received INTEGER NOT NULL) STRICT",
    "CREATE TABLE inbox "
    "(peer TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (peer, number)) STRICT",
    "CREATE TABLE outbox "
    "(peer TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (peer, number)) STRICT",
)

SECRET_BYTES = 32
DIGEST_BYTES = 32
COUNT_BYTES = 8

LOST = (
    "restore the node's whole folder from one moment; else keep it as it is, and go on in a new "
    "folder as docs/deployment.md says of lost folders"
)
"""What to do where a journal knows less than there was."""

Key = tuple[NodeId, int]
"""A peer, and the number of a message from or to it."""


@dataclass(frozen=True)
class Checkpoint:
    """What is to survive. `result` is what the role returned, encoded; None until it has."""

    state: bytes | None
    tally: bytes
    received: Mapping[NodeId, int] = field(default_factory=dict)
    inbox: Mapping[Key, bytes] = field(default_factory=dict)
    """Messages that wait for the role, by sender and number, in order of arrival."""
    outbox: Mapping[Key, bytes] = field(default_factory=dict)
    result: bytes | None = None
    beside: bytes | None = None
    """The digest of what lies beside the journal (`Beside`), as it is with this state."""

    @property
    def finished(self) -> bool:
        """Whether the role has returned."""
        return self.result is not None


class Beside(Protocol):
    """What lies beside a journal and belongs to it: the record of the rounds."""

    def digest(self) -> bytes:
        """The digest of what it is now; asked when a checkpoint is made, while the role waits."""

    def sync(self) -> None:
        """Put at least what `digest` was of on the disk; asked before a checkpoint is saved, and in
        any thread."""


class Journal:
    """A node's journal. One process has it open at a time.

    Args:
      path: made where there is none.
      node: whose it is.
      run: what tells this run from others; a journal goes on with the same run only.
      known: what its folder knows without it (`knows of round 3`), so that there must have been a
        journal; None if it may be a new one.

    Raises:
      UsageError: another process has it open, or it cannot be written.
      VerificationError: it is no journal, or one of another node or run; it was altered, or knows
        less than it did.
    """

    def __init__(self, path: Path, *, node: NodeId, run: str, known: str | None = None) -> None:
        self.path = path
        # A save goes on in its thread when whoever waits for it is cancelled; SQLite crashes if the
        # database is closed meanwhile.
        self._in_use = Lock()
        self._mark = path.with_name(f"{path.name}-mark")
        self._marking: FileIO | None = None
        """The file `_mark`, open from the first save on."""
        self._leaves: dict[tuple[str | int | bytes, ...], bytes] = {}
        """Digests of all rows but that of the digest, by table and key."""
        self._values: dict[str, bytes] = {}
        """What the transaction writes into the table `node`."""
        self._saves = 0
        """Transactions so far."""
        self.beside: Beside | None = None
        """Put on the disk before each save."""
        if known is not None and not path.exists():
            raise self._less(f"is not there, and its folder {known}")
        if known is not None and path.is_file() and not path.stat().st_size:
            raise self._less(f"is empty, and its folder {known}")
        try:
            # It holds the node's secrets, so nobody else may read it; SQLite gives its log the
            # same mode.
            path.touch(mode=0o600)
            self._database = sqlite3.connect(
                path, timeout=0.0, isolation_level=None, check_same_thread=False
            )
            self._database.text_factory = _text
            try:
                self._open(node, run, known)
            except BaseException:
                self._close()
                raise
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {reason_of(error)}") from None
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def _open(self, node: NodeId, run: str, known: str | None) -> None:
        # Exclusive, so a node that is started twice is noticed; full, so that a power cut loses
        # nothing that was said to be durable.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._database.execute(f"PRAGMA {pragma}")
        with self._transaction():
            self._database.execute("BEGIN IMMEDIATE")
            if self._database.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
                self._begin(known)
            else:
                self._check()
            for key, value in (("id", node), ("run", run)):
                kept = self._get(key)
                if kept is not None and kept != value.encode():
                    raise VerificationError(
                        f"{self.path}: belongs to another {'node' if key == 'id' else 'run'}",
                        hint="give this node a folder of its own; a run goes on with the "
                        "scenario, data and code that it began with",
                    )
                self._set(key, value.encode())
            self.starts = int(self._get("starts") or b"0") + 1
            """How often this node was started, this time included."""
            self._set("starts", str(self.starts).encode())
            secret = self._get("secret") or os.urandom(SECRET_BYTES)
            self._set("secret", secret)
        self.secret_seed = int.from_bytes(secret)
        """Of the node's `secret` stream: from the operating system, the same after a restart."""
        last = self.load()
        self._kept = {"inbox": set(last.inbox), "outbox": set(last.outbox)}

    def _begin(self, known: str | None) -> None:
        """Make the tables of a new journal. The mark comes first: a journal without one has lost
        it."""
        count, _ = self._marked() or (0, b"")
        if count or known is not None:
            raise self._less(f"is empty, and {known or f'there were {count} saves in it'}")
        with self._mark.open("wb") as file:
            file.write(_mark(0, bytes(DIGEST_BYTES)))
            file.flush()
            os.fsync(file.fileno())
        self._mark.chmod(0o600)
        for statement in TABLES:
            self._database.execute(statement)

    def _check(self) -> None:
        """Compare all that is stored with its digest, and with the mark.

        Raises:
          VerificationError: something was altered, or is missing.
        """
        try:
            said = self._database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            tables = self._database.execute(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
            )
            if said != "ok":
                # SQLite says it in several lines.
                raise self._altered(f"does not pass SQLite's check: {' '.join(said[:200].split())}")
            if [row[0] for row in tables] != list(TABLES):
                raise self._altered("has other tables")
            for table, keys in (("node", 1), ("peers", 1), ("inbox", 2), ("outbox", 2)):
                for row in self._database.execute(f"SELECT * FROM {table}"):
                    self._leaves[table, *row[:keys]] = _leaf(table, row)
            digest = self._get("digest")
            self._leaves.pop(("node", "digest"), None)
            if digest is None or digest != self._digest():
                raise self._altered("does not have its digest")
            self._saves = int(self._get("saves") or b"0")
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise self._altered(f"cannot be read: {error}") from None
        marked = self._marked()
        if marked is None:
            raise self._altered(f"has no {self._mark.name} beside it that holds")
        count, marked_digest = marked
        if count > self._saves:
            raise self._less(
                f"knows less than it did: of {self._saves} saves, and there were {count}"
            )
        if count == self._saves and marked_digest != digest:
            raise self._altered(f"is not what {self._mark.name} says")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written within this context is written at once, with its digest."""
        with self._in_use:
            leaves = dict(self._leaves)
            self._values.clear()
            try:
                yield
                saves = self._saves + 1
                self._set("saves", str(saves).encode())
                digest = self._digest()
                # Python lets other threads go on while a statement runs, and has to wait for them
                # after each, so there is one for all values; alone it is a transaction.
                values = {**self._values, "digest": digest}
                rows = ", ".join(["(?, ?)"] * len(values))
                self._database.execute(
                    f"INSERT OR REPLACE INTO node VALUES {rows}",
                    [each for item in values.items() for each in item],
                )
                if self._database.in_transaction:
                    self._database.execute("COMMIT")
            except BaseException:
                self._leaves = leaves
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            self._saves = saves
            try:
                # In place and not synced, see above; it is far smaller than what the system
                # writes at once.
                if self._marking is None:
                    self._marking = self._mark.open("r+b", buffering=0)
                os.pwrite(self._marking.fileno(), _mark(saves, digest), 0)
            except OSError as error:
                raise UsageError(f"{self._mark}: cannot be written: {reason_of(error)}") from None

    def _digest(self) -> bytes:
        # Each leaf covers its key, so their order says nothing.
        joined = b"".join(sorted(self._leaves.values()))
        return blake2b(joined, digest_size=DIGEST_BYTES).digest()

    def _marked(self) -> tuple[int, bytes] | None:
        """What the mark says: how many saves, and the digest of the last; None if it does not
        hold."""
        try:
            data = self._mark.read_bytes()
        except FileNotFoundError:
            return None
        count, digest = int.from_bytes(data[:COUNT_BYTES]), data[COUNT_BYTES:][:DIGEST_BYTES]
        if len(data) < COUNT_BYTES or data != _mark(count, digest):
            return None
        return count, digest

    def _altered(self, what: str) -> VerificationError:
        return VerificationError(f"{self.path}: is damaged: it {what}", hint=LOST)

    def _less(self, what: str) -> VerificationError:
        return VerificationError(f"{self.path}: was lost: it {what}", hint=LOST)

    def start_above(self, starts: int) -> None:
        """Count at least so many starts: this node has had another journal, which is lost, and its
        peers know the numbers of messages that were given then (`troth.worlds.real.link`).

        Raises:
          UsageError: the disk does not take it.
        """
        self.starts = max(self.starts, starts)
        try:
            with self._transaction():
                self._set("starts", str(self.starts).encode())
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def load(self) -> Checkpoint:
        """The checkpoint that was last saved; before the first, one without a state."""
        with self._in_use:
            return Checkpoint(
                state=self._get("state"),
                tally=self._get("tally") or b"",
                received=dict(self._database.execute("SELECT peer, received FROM peers")),
                inbox=self._messages("inbox", order="rowid"),
                outbox=self._messages("outbox", order="number"),
                result=self._get("result"),
            )

    def kept_beside(self) -> bytes | None:
        """`Checkpoint.beside` of the last save; None before the first."""
        return self._get("beside")

    def save(self, checkpoint: Checkpoint) -> None:
        """Make `checkpoint` what survives; it does once this returns.

        Raises:
          UsageError: the disk does not take it.
        """
        if self.beside is not None:
            self.beside.sync()
        try:
            with self._transaction():
                self._write(checkpoint)
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None
        self._kept = {"inbox": set(checkpoint.inbox), "outbox": set(checkpoint.outbox)}

    def seal(self, outcome: bytes) -> None:
        """Keep the digest of what the node leaves, before that is whole; see `sealed`.

        Raises:
          UsageError: the disk does not take it.
        """
        try:
            with self._transaction():
                self._set("outcome", outcome)
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Give the file back, as soon as a save that is under way has ended."""
        with self._in_use:
            self._close()

    def _close(self) -> None:
        self._database.close()
        if self._marking is not None:
            self._marking.close()

    def _write(self, checkpoint: Checkpoint) -> None:
        if checkpoint.state is not None:
            self._set("state", checkpoint.state)
        self._set("tally", checkpoint.tally)
        if checkpoint.result is not None:
            self._set("result", checkpoint.result)
        if checkpoint.beside is not None:
            self._set("beside", checkpoint.beside)
        for peer, received in checkpoint.received.items():
            self._put("INSERT OR REPLACE", "peers", peer, received, keys=1)
        for table, messages in (("inbox", checkpoint.inbox), ("outbox", checkpoint.outbox)):
            kept = self._kept[table]
            for key in sorted(kept - messages.keys()):
                self._change(f"DELETE FROM {table} WHERE peer = ? AND number = ?", key)
                del self._leaves[table, *key]
            for key, data in messages.items():
                if key not in kept:
                    self._put("INSERT", table, *key, data, keys=2)

    def _put(self, how: str, table: str, *row: str | int | bytes, keys: int) -> None:
        """Write one row, unless it stands there, and what it counts for in the digest."""
        key, leaf = (table, *row[:keys]), _leaf(table, row)
        if self._leaves.get(key) == leaf:
            return
        places = ", ".join("?" for _ in row)
        self._change(f"{how} INTO {table} VALUES ({places})", row)
        self._leaves[key] = leaf

    def _change(self, statement: str, values: Sequence[str | int | bytes]) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(statement, values)

    def _messages(self, table: str, *, order: str) -> dict[Key, bytes]:
        rows = self._database.execute(f"SELECT peer, number, data FROM {table} ORDER BY {order}")
        return {(NodeId(peer), number): data for peer, number, data in rows}

    def _get(self, key: str) -> bytes | None:
        row = self._database.execute("SELECT value FROM node WHERE key = ?", (key,)).fetchone()
        value: bytes | None = None if row is None else row[0]
        return value

    def _set(self, key: str, value: bytes) -> None:
        """Have the transaction write a value at its end."""
        self._values[key] = value
        self._leaves["node", key] = _leaf("node", (key, value))

    def _failed(self, error: sqlite3.DatabaseError) -> UsageError | VerificationError:
        if isinstance(error, sqlite3.OperationalError):
            if "locked" in str(error):
                return UsageError(
                    f"{self.path}: another process runs this node",
                    hint="stop it first, or give this node a folder of its own",
                )
            return UsageError(f"{self.path}: cannot be written: {error}")
        return VerificationError(
            f"{self.path}: is not a journal, or it was lost: {error}",
            hint=LOST,
        )


def sealed(path: Path) -> bytes | None:
    """The digest that a node which has ended has sealed its outcome with; None if it has sealed
    none.

    Raises:
      UsageError: a process has the journal open.
      VerificationError: the journal is damaged, or not there.
    """
    if not path.is_file():
        raise VerificationError(f"{path}: was lost: it is not there", hint=LOST)
    try:
        with closing(sqlite3.connect(path)) as database:
            database.text_factory = _text
            rows = dict(database.execute("SELECT key, value FROM node WHERE key IN ('id', 'run')"))
            node, run = rows["id"].decode(), rows["run"].decode()
    except (sqlite3.DatabaseError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise VerificationError(f"{path}: is damaged, or was lost: {error}", hint=LOST) from None
    with closing(Journal(path, node=NodeId(node), run=run)) as journal:
        return journal._get("outcome")


def _leaf(table: str, row: Sequence[str | int | bytes]) -> bytes:
    """The digest of one row."""
    *small, last = row
    said = repr((table, *small)).encode()
    value = last if isinstance(last, bytes) else repr(last).encode()
    key = blake2b(said, digest_size=DIGEST_BYTES).digest()
    return blake2b(value, digest_size=DIGEST_BYTES, key=key).digest()


def _mark(count: int, digest: bytes) -> bytes:
    said = count.to_bytes(COUNT_BYTES) + digest
    return said + blake2b(said, digest_size=DIGEST_BYTES).digest()


def _text(data: bytes) -> str:
    """Damaged text is no reason to stop: the digest covers it."""
    return data.decode(errors="replace")
