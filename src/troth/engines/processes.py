"""The engine that spreads requests over worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
import torch.multiprocessing

from troth.compute import Compute
from troth.engines.engine import Engine, run_grouped
from troth.errors import CharterError, LocalError, PeerError, RoundFailedError
from troth.learning.device import repeatable
from troth.learning.parallel import use_cores
from troth.learning.workbench import Workbench
from troth.references import users_error

_bench: Workbench | None = None
"""The worker's own bench; set once, when the worker starts."""

_unmade: LocalError | None = None
"""Why the worker has none. The pool would not tell what its start has raised."""


def _start_worker(make_bench: Callable[[], Workbench]) -> None:
    global _bench, _unmade
    # Ctrl-C, and the end of a terminal or a container, reach every process; only the one that leads
    # says something, and it may need the workers until it has saved.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    use_cores(1)  # the other cores belong to the other workers
    try:
        _bench = make_bench()
    except LocalError as error:
        _unmade = error


def _leave_with_parent() -> None:
    """End this worker when its parent was killed: the pool's queue would never tell it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_chunk(requests: Sequence[Compute[Any, Any]]) -> list[Any]:
    if _unmade is not None:
        raise _unmade
    assert _bench is not None
    with repeatable(torch.device("cpu")):
        try:
            return run_grouped(requests, _bench)
        except (LocalError, PeerError):
            raise
        except BaseException as error:
            # The way back to the leading process takes an error without its lines of code.
            theirs = users_error(error)
            if theirs is None:
                raise
            raise CharterError(theirs) from error


class ProcessesEngine(Engine):
    """Every worker computes its share of a batch, grouped as in `batched`.

    Workers are started fresh (not forked: a fork of a process with OpenMP threads may hang) and
    share the data through shared memory.

    Args:
      make_bench: builds the bench inside a worker; it is pickled, its tensors travel as handles.
      workers: number of processes; None: one per core.
    """

    name = "processes"

    def __init__(self, make_bench: Callable[[], Workbench], *, workers: int | None = None) -> None:
        super().__init__()
        self.workers = workers or os.cpu_count() or 1
        self._pool = ProcessPoolExecutor(
            self.workers,
            mp_context=torch.multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(make_bench,),
        )

    def _run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        share = -(-len(requests) // self.workers)
        chunks = [requests[start : start + share] for start in range(0, len(requests), share or 1)]
        try:
            return [value for values in self._pool.map(_run_chunk, chunks) for value in values]
        except BrokenProcessPool:
            raise RoundFailedError(
                "a worker process of the engine died",
                hint="it may have run out of memory: lower [engine] workers, or use batched",
            ) from None

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
