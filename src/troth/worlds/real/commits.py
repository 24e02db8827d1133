"""Checkpoints that are written while the role goes on: one commit for all that came meanwhile.

A node that answers strangers is asked by many at once, and each answer waits for the disk. If the
role waited, too, it would stand still for most of the time. So it goes on, its answers are held
until what they depend on is on the disk, and the checkpoints that it makes meanwhile are written as
one, the last. A crash loses states that nobody has been told of, as if what led to them had never
arrived. Databases call this group commit (DeWitt et al., "Implementation techniques for main memory
database systems", SIGMOD 1984, section 5.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from troth.worlds.real.journal import Checkpoint, Journal


class Commits:
    """Writes checkpoints into `journal`, one at a time and in their order.

    Args:
      failed: called when one could not be written; `check` raises from then on.
    """

    def __init__(self, journal: Journal, *, failed: Callable[[], None]) -> None:
        self._journal = journal
        self._failed = failed
        self._writing: asyncio.Task[None] | None = None
        self._next: Checkpoint | None = None
        """The newest checkpoint of which nothing is written yet."""
        self._after_this: list[Callable[[], None]] = []
        """What is done when the checkpoint is on the disk that is being written."""
        self._after_next: list[Callable[[], None]] = []
        """What is done when `_next` is."""

    def put(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint written as soon as the one before it is.

        Raises:
          LocalError: one of those before could not be written.
        """
        self.check()
        self._next = checkpoint
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    def when_safe(self, do: Callable[[], None]) -> None:
        """Do something when all checkpoints that were put so far are on the disk; at once if they
        are."""
        if self._next is not None:
            self._after_next.append(do)
        elif self._writing is not None and not self._writing.done():
            self._after_this.append(do)
        else:
            do()

    async def settled(self) -> None:
        """Wait until all that was put is on the disk.

        Raises:
          LocalError: it could not be written.
        """
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def check(self) -> None:
        """Check that all could be written so far.

        Raises:
          LocalError: one could not.
        """
        if self._writing is not None and self._writing.done():
            self._writing.result()

    async def close(self) -> None:
        """Write no more. What is being written now goes on in its thread, and nobody is told."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(BaseException):
                await self._writing

    async def _write(self) -> None:
        try:
            while self._next is not None:
                checkpoint, self._next = self._next, None
                self._after_this, self._after_next = self._after_next, []
                await asyncio.to_thread(self._journal.save, checkpoint)
                done, self._after_this = self._after_this, []
                for do in done:
                    do()
        except BaseException:
            self._failed()
            raise
