"""What a node must not forget, in SQLite with a write-ahead log.

One transaction per `Save` of the role: its state, the messages received and not taken yet, the
messages sent and not durable at their receivers, and how far each peer was heard. After a kill at
any point the node finds all of it as it was at one `Save`; whatever it had received since then,
its peers still have, as it was never told to be durable here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from troth.errors import UsageError, VerificationError, reason_of
from troth.ids import NodeId

SCHEMA = """
CREATE TABLE IF NOT EXISTS node (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS peers (peer TEXT PRIMARY KEY, received INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS inbox (
  peer TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (peer, number)
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
  peer TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (peer, number)
) STRICT;
"""

SECRET_BYTES = 32

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

    @property
    def finished(self) -> bool:
        """Whether the role has returned."""
        return self.result is not None


class Journal:
    """A node's journal. One process has it open at a time.

    Args:
      path: made where there is none.
      node: whose it is.
      run: what tells this run from others; a journal goes on with the same run only.

    Raises:
      UsageError: another process has it open, or it cannot be written.
      VerificationError: it is no journal, or one of another node or run.
    """

    def __init__(self, path: Path, *, node: NodeId, run: str) -> None:
        self.path = path
        # A save goes on in its thread when whoever waits for it is cancelled; SQLite crashes if the
        # database is closed meanwhile.
        self._in_use = Lock()
        try:
            # It holds the node's secrets, so nobody else may read it; SQLite gives its log the
            # same mode.
            path.touch(mode=0o600)
            self._database = sqlite3.connect(
                path, timeout=0.0, isolation_level=None, check_same_thread=False
            )
            try:
                self._open(node, run)
            except BaseException:
                self._database.close()
                raise
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {reason_of(error)}") from None
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def _open(self, node: NodeId, run: str) -> None:
        # Exclusive, so a node that is started twice is noticed; full, so that a power cut loses
        # nothing that was said to be durable.
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        for key, value in (("id", node), ("run", run)):
            kept = self._get(key)
            if kept is not None and kept != value.encode():
                raise VerificationError(
                    f"{self.path}: belongs to another {'node' if key == 'id' else 'run'}",
                    hint="give this node a folder of its own",
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

    def start_above(self, starts: int) -> None:
        """Count at least so many starts: this node has had another journal, which is lost, and its
        peers know the numbers of messages that were given then (`troth.worlds.real.link`).

        Raises:
          UsageError: the disk does not take it.
        """
        self.starts = max(self.starts, starts)
        try:
            self._set("starts", str(self.starts).encode())
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None

    def load(self) -> Checkpoint:
        """The checkpoint that was last saved; before the first, one without a state."""
        return Checkpoint(
            state=self._get("state"),
            tally=self._get("tally") or b"",
            received=dict(self._database.execute("SELECT peer, received FROM peers")),
            inbox=self._messages("inbox", order="rowid"),
            outbox=self._messages("outbox", order="number"),
            result=self._get("result"),
        )

    def save(self, checkpoint: Checkpoint) -> None:
        """Make `checkpoint` what survives; it does once this returns.

        Raises:
          UsageError: the disk does not take it.
        """
        try:
            with self._in_use, closing(self._database.cursor()) as cursor:
                cursor.execute("BEGIN IMMEDIATE")
                try:
                    self._write(checkpoint)
                    cursor.execute("COMMIT")
                except BaseException:
                    cursor.execute("ROLLBACK")
                    raise
        except sqlite3.DatabaseError as error:
            raise self._failed(error) from None
        self._kept = {"inbox": set(checkpoint.inbox), "outbox": set(checkpoint.outbox)}

    def close(self) -> None:
        """Give the file back, as soon as a save that is under way has ended."""
        with self._in_use:
            self._database.close()

    def _write(self, checkpoint: Checkpoint) -> None:
        if checkpoint.state is not None:
            self._set("state", checkpoint.state)
        self._set("tally", checkpoint.tally)
        if checkpoint.result is not None:
            self._set("result", checkpoint.result)
        self._database.executemany(
            "INSERT OR REPLACE INTO peers VALUES (?, ?)", checkpoint.received.items()
        )
        for table, messages in (("inbox", checkpoint.inbox), ("outbox", checkpoint.outbox)):
            kept = self._kept[table]
            self._database.executemany(
                f"DELETE FROM {table} WHERE peer = ? AND number = ?",
                sorted(kept - messages.keys()),
            )
            self._database.executemany(
                f"INSERT INTO {table} VALUES (?, ?, ?)",
                ((*key, data) for key, data in messages.items() if key not in kept),
            )

    def _messages(self, table: str, *, order: str) -> dict[Key, bytes]:
        rows = self._database.execute(f"SELECT peer, number, data FROM {table} ORDER BY {order}")
        return {(NodeId(peer), number): data for peer, number, data in rows}

    def _get(self, key: str) -> bytes | None:
        row = self._database.execute("SELECT value FROM node WHERE key = ?", (key,)).fetchone()
        value: bytes | None = None if row is None else row[0]
        return value

    def _set(self, key: str, value: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (key, value))

    def _failed(self, error: sqlite3.DatabaseError) -> UsageError | VerificationError:
        if isinstance(error, sqlite3.OperationalError):
            if "locked" in str(error):
                return UsageError(
                    f"{self.path}: another process runs this node",
                    hint="stop it first, or give this node a folder of its own",
                )
            return UsageError(f"{self.path}: cannot be written: {error}")
        return VerificationError(
            f"{self.path}: is not a journal: {error}",
            hint="give this node a new folder; without its journal it cannot go on",
        )
