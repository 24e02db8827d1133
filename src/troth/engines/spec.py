"""The `[engine]` table: where pure computations are carried out."""

from __future__ import annotations

from typing import Literal

from troth.specification import Count, Table


class EngineSpec(Table, frozen=True, kw_only=True):
    """Has no influence on what a run means, only on its speed and its last floating-point
    digits."""

    name: Literal["inline", "batched", "processes"] = "batched"
    """One request after another; many as one vectorised step; or that, spread over processes."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Of learning; `auto` is CUDA where there is one. `processes` computes on the CPU only."""
    workers: Count | None = None
    """Processes of the `processes` engine; absent: one per core."""
    share_checks: bool = True
    """Whether several nodes' checks of the same public bytes are computed once. false: every node
    checks everything itself."""
