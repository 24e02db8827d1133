"""How a run starts and ends, whichever way it ends.

Whoever watches a run, in its folder or on its display, is told by the same few lines whether nodes
are simulated, launched or real: that it runs, each round, and once that it has finished, failed or
was interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from troth.errors import LocalError
from troth.ids import NodeId
from troth.records import RoundRecord, Status, Summary
from troth.report.folder import RunFolder
from troth.report.progress import Display
from troth.wire import Float32s

Models = Mapping[str, Float32s] | Mapping[NodeId, Float32s]
"""As in `RunFolder.write_model`; empty where there is none."""


@dataclass(frozen=True)
class Life:
    """One start of a run and its end.

    Args:
      summary: what can be said of the run at any moment, with this status.
      folder: where it is written down; None if it leaves nothing.
      problem: what a folder says of an error that is nobody's bug.
    """

    summary: Callable[[Status], Summary]
    progress: Display
    folder: RunFolder | None
    problem: Callable[[LocalError], str] = str

    @contextmanager
    def running(self) -> Iterator[None]:
        """The run goes on within this context, which ends with `finish`, or with an error that
        folder and display are told of before it is raised again."""
        running = self.summary("running")
        if self.folder is not None:
            self.folder.write_summary(running)
        self.progress.start(running)
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        status: Status = "failed"
        problem = self.problem(error) if isinstance(error, LocalError) else repr(error)
        # asyncio cancels what runs in it when the process is interrupted.
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            status = problem = "interrupted"
        summary = msgspec.structs.replace(self.summary(status), problem=problem)
        if self.folder is not None:
            self.folder.finish(summary)
        self.progress.finish(summary)

    def round(self, record: RoundRecord, *, again: bool = False) -> None:
        """Tell folder and display that a round is over, which this is the record of.

        Args:
          again: the folder has a record of it, from before the run was started again.
        """
        if self.folder is not None:
            (self.folder.replace_round if again else self.folder.append_round)(record)
        self.progress.round(record)

    def finish(
        self, summary: Summary, models: Models, *, seal: Callable[[bytes], None] | None = None
    ) -> None:
        """The run has come to its end.

        Args:
          seal: given the digest of what the folder will hold, before that says `finished`.
        """
        if self.folder is not None:
            write_outcome(self.folder, summary, models, seal=seal)
        self.progress.finish(summary)


def write_outcome(
    folder: RunFolder,
    summary: Summary,
    models: Models,
    *,
    seal: Callable[[bytes], None] | None = None,
) -> None:
    """Write what came of a run. The summary comes last, so that whoever reads `finished` in it
    finds everything else.

    Args:
      seal: given `RunFolder.outcome_digest` before that.
    """
    if summary.privacy is not None:
        folder.write_privacy(summary.privacy)
    if models:
        folder.write_model(models, summary.charter_digest)
    if seal is not None:
        seal(folder.outcome_digest(summary))
    folder.finish(summary)
