"""Which masked updates a verifier accepts (section 4.5 of the paper).

The paper's rule is Multi-Krum: the n - f updates nearest to their neighbours. Any rule of
`troth.robustness` will do: one that weighs whole updates accepts those it gives weight; one that
works on coordinates gives a centre, and the n - f updates nearest to it are accepted.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from troth.compute import Compute
from troth.crypto.fixed_point import FixedPoint
from troth.protocols.biscotti.hiding.masking import from_wire
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.robustness.aggregation import aggregate
from troth.robustness.bounds import byzantine_of, violation
from troth.robustness.spec import AggregationSpec
from troth.streams import Stream
from troth.wire import Float32s, UInt32s


class Selection(msgspec.Struct, frozen=True):
    """Which of the updates that were given are accepted, by their places, ascending."""

    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SelectUpdates(Compute[object, Selection]):
    """The computation that applies the charter's rule to masked updates, by ascending contributor.

    Args:
      fixed: the grid that updates are on.
      spec: the rule.
      values: the masked updates as they travel, each of shape (D,).
      stream: the same for all verifiers of a round, so that a rule that draws draws alike.
    """

    fixed: FixedPoint
    spec: AggregationSpec
    values: tuple[UInt32s, ...]
    stream: Stream
    base: Path | None = None

    label: ClassVar[str] = "select_updates"

    def run(self, bench: object) -> Selection:  # noqa: ARG002  (the contract's name)
        updates = [
            self.fixed.decode(from_wire(values_D)).astype(np.float32) for values_D in self.values
        ]
        return Selection(accepted(self.spec, updates, self.stream, self.base))

    def memo_key(self) -> tuple[str, bytes]:
        hashed = sha256(repr((self.stream, self.spec)).encode())
        for values_D in self.values:
            hashed.update(sha256(values_D.tobytes()).digest())
        return self.label, hashed.digest()


def accepted(
    spec: AggregationSpec, updates: Sequence[Float32s], stream: Stream, base: Path | None
) -> tuple[int, ...]:
    """The places of the updates that the rule accepts; none where there are too few for it.

    Raises:
      LocalError: a rule of the user's own cannot be found, or failed.
    """
    count = len(updates)
    if not count or violation(spec, count) is not None:
        return ()
    # Biscotti, section 4.5, rule 1: "For every peer i, the verifier calculates a score s(i) which
    # is the sum of Euclidean distances of i's update to the closest R - f - 2 updates."; rule 2:
    # "The R - f peers with the lowest scores are selected while the rest are rejected." `share_P`
    # is above 0 for these; the scores are in `troth.robustness`.
    result = aggregate(spec, updates, [1] * count, generator=stream.generator(), base=base)
    if result.share_P is not None:
        return tuple(int(place) for place in np.flatnonzero(result.share_P > 0))
    distances = [float(np.sum(np.square(update - result.update_D))) for update in updates]
    kept = count - byzantine_of(spec, count)
    # Stable, so that verifiers with the same updates accept the same.
    nearest = sorted(range(count), key=lambda place: (distances[place], place))[:kept]
    return tuple(sorted(nearest))


def rule_stream(context: RoundContext) -> Stream:
    """The stream that a rule draws from in a round, the same for all its verifiers."""
    # Biscotti, section 6.1: "all verifiers deterministically sampled the same set of updates by
    # using the last block hash as the random seed".
    return Stream(int.from_bytes(context.below.seed), ("biscotti", "rule", context.round))
