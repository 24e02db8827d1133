"""The engines that compute in this process: plain loop, and grouped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from troth.compute import Compute
from troth.engines.engine import Engine, run_grouped
from troth.learning.workbench import Workbench


class InlineEngine(Engine):
    """One request after another, each by its plain version: slow, and the one to debug with."""

    name = "inline"

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench

    def _run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        return [request.run(self._bench) for request in requests]


class BatchedEngine(InlineEngine):
    """Requests of a kind together: one vectorised step for a thousand parties."""

    name = "batched"

    def _run(self, requests: Sequence[Compute[Any, Any]]) -> list[Any]:
        return run_grouped(requests, self._bench)
