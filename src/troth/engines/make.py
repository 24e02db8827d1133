"""From the `[engine]` table to an engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from troth.engines.engine import Engine
from troth.engines.local import BatchedEngine, InlineEngine
from troth.engines.spec import EngineSpec
from troth.errors import CharterError
from troth.learning.models import Beginning
from troth.learning.workbench import Workbench


def make_engine(spec: EngineSpec, bench: Workbench, make_bench: Callable[[], Workbench]) -> Engine:
    """The engine that `spec` names.

    Args:
      bench: for the engines that compute in this process.
      make_bench: builds the same bench in a worker process; it can be pickled.
    """
    engine = _made(spec, bench, make_bench)
    engine.share_checks = spec.share_checks
    return engine


def _made(spec: EngineSpec, bench: Workbench, make_bench: Callable[[], Workbench]) -> Engine:
    match spec.name:
        case "inline":
            return InlineEngine(bench)
        case "batched":
            return BatchedEngine(bench)
        case "processes":
            if bench.device.type != "cpu":
                raise CharterError(
                    "computes on the CPU only",
                    key="engine.name",
                    value=spec.name,
                    hint='set name = "batched" for a GPU',
                )
            from troth.engines.processes import ProcessesEngine

            begins = bench.model.begins()
            return ProcessesEngine(partial(_same, make_bench, begins), workers=spec.workers)


def _same(make_bench: Callable[[], Workbench], begins: Beginning | None) -> Workbench:
    bench = make_bench()
    bench.model.check_begins(begins)
    return bench
