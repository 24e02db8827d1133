"""Nodes as processes: what each says, when, and how it ends.

They are forked from one process that has imported everything already, so that each costs
milliseconds, and carry out the same command line as `troth` does, with the same signals.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = (
    "sklearn.datasets",
    "troth.cli.root",
    "troth.charter.loading",
    "troth.data.bundled",
    "troth.deployment.node",
)


class NodeProcess:
    """One start of a node.

    Args:
      name: of the node, or of whatever else runs under its name.
      arguments: of `troth`.
      log: where its standard error is added.
      path: where it finds modules that are not installed.
    """

    def __init__(
        self, name: str, arguments: Sequence[object], log: Path, path: Sequence[str] = ()
    ) -> None:
        FORKS.set_forkserver_preload([*PRELOADED])
        self.name = name
        self.log = log
        self._begins = log.stat().st_size if log.exists() else 0
        self.pipe, theirs = FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(
            target=_play,
            args=([*map(str, arguments)], dict(os.environ), [*path], theirs, log),
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._unread = b""
        self.frozen = False
        self.code: int | None = None
        """Its exit code, once `ended` was true; below 0 is a signal."""

    def read(self) -> list[dict[str, Any]]:
        """What it has said, after `pipe` has become readable; nothing at its end."""
        data = os.read(self.pipe.fileno(), 2**20)
        if not data:
            self._process.join()
            self.code = self._process.exitcode
            self.pipe.close()
            return []
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def said(self) -> str:
        """What this start has written to standard error."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._begins :].decode(errors="replace")

    def end(self) -> None:
        """Kill it, if it lives."""
        if self.code is None:
            self._process.kill()
            self._process.join()
            self.code = self._process.exitcode
            self.pipe.close()


def _play(
    arguments: list[str], environ: dict[str, str], path: list[str], out: Pipe, log: Path
) -> None:
    # The fork server has the environment of the test that it was started in.
    os.environ.update(environ)
    sys.path[:0] = path
    os.dup2(out.fileno(), 1)
    out.close()
    with log.open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    # multiprocessing ignores SIGINT in forked servers' children nowhere, and a shell's does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from troth.cli import main

    sys.argv = ["troth", *arguments]
    main()
