"""The request by which a role has updates aggregated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from troth.compute import Compute
from troth.robustness.aggregation import aggregate
from troth.robustness.spec import AggregationSpec
from troth.robustness.updates import Aggregate
from troth.streams import Stream
from troth.wire import Float32s


@dataclass(frozen=True, eq=False)
class AggregateUpdates(Compute[object, Aggregate]):
    """One round's updates, by ascending party id, and the examples behind each. Needs no bench."""

    spec: AggregationSpec
    updates: tuple[Float32s, ...]
    examples: tuple[int, ...]
    stream: Stream
    base: Path | None = None

    label: ClassVar[str] = "aggregate"

    def run(self, bench: object) -> Aggregate:  # noqa: ARG002  (the contract's name)
        return aggregate(
            self.spec,
            self.updates,
            self.examples,
            generator=self.stream.generator(),
            base=self.base,
        )
