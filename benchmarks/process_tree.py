"""Memory of a command together with every process that it starts, from /proc (Linux)."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

MARK = "TROTH_BENCH_RUN"
SAMPLE_EVERY_S = 0.25


class TreeMemory:
    """Samples the memory of all processes whose environment has this object's mark.

    Start the command with `environment`: its children inherit the mark, also those that leave its
    process group as Ray's do. Memory shared between processes is divided among them (PSS), so that
    nothing is counted twice.

    Attributes:
      peak_bytes: largest sum seen so far; a peak between two samples is missed.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._mark = f"{MARK}={uuid.uuid4()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        name, _, value = self._mark.partition("=")
        return {**os.environ, name: value}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            total = sum(_pss_bytes(process) for process in self._processes())
            self.peak_bytes = max(self.peak_bytes, total)

    def _processes(self) -> list[Path]:
        mark = self._mark.encode()
        return [
            process
            for process in Path("/proc").glob("[0-9]*")
            if mark in _read(process / "environ").split(b"\0")
        ]


def _read(path: Path) -> bytes:
    """The file, or nothing where the process has ended or belongs to somebody else."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _pss_bytes(process: Path) -> int:
    for line in _read(process / "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0
