"""The simulated network: when a message arrives, if it does.

What happens to the n-th message of a sender depends on the seed, the sender and n alone, so it
stays the same whatever order the world happens to process nodes in, and after a resume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from troth.charter.world import (
    ConstantLatency,
    LatencySpec,
    LogNormalLatency,
    Network,
    NetworkPartition,
    floor_s,
)
from troth.ids import NodeId
from troth.streams import Stream

_BLOCK = 64
"""Messages whose fate is drawn together; drawing one at a time costs twenty times more."""

_DRAWS = 6
"""Per message: loss, duplication, reordering, extra delay (uniform); delay, delay of the copy
(normal)."""


def _delay_s(latency: LatencySpec, normal: float) -> float:
    if isinstance(latency, ConstantLatency):
        return latency.seconds
    if isinstance(latency, LogNormalLatency):
        delay = latency.median_s * float(np.exp(latency.sigma * normal))
    else:
        delay = latency.mean_s + latency.std_s * normal
    return max(delay, floor_s(latency))


def _cut(partition: NetworkPartition, a: NodeId, b: NodeId) -> bool:
    def group(node: NodeId) -> int:
        for index, members in enumerate(partition.groups):
            if node in members:
                return index
        return -1

    return group(a) != group(b)


def _steady_delay_s(spec: Network) -> float | None:
    if not isinstance(spec.latency, ConstantLatency) or spec.latency_of:
        return None
    if spec.upload_bytes_per_s is not None:
        return None
    if spec.loss or spec.duplication or spec.reordering or spec.partitions:
        return None
    return spec.latency.seconds


class SimulatedNetwork:
    """Decides delays and losses.

    Its only state is what queues hold: when each uplink and downlink is free again, and the last
    arrival on each link that keeps its order.
    """

    def __init__(self, spec: Network, stream: Stream) -> None:
        self._spec = spec
        self._stream = stream
        self._blocks: dict[tuple[NodeId, int], np.ndarray] = {}
        self.steady_delay_s = _steady_delay_s(spec)
        """What every message takes, whatever becomes of others; None where they differ."""
        self.uplink_free_s: dict[NodeId, float] = {}
        self.downlink_free_s: dict[NodeId, float] = {}
        self.last_arrival_s: dict[tuple[NodeId, NodeId], float] = {}

    @property
    def lookahead_s(self) -> float:
        """No message arrives sooner than this after it was sent."""
        return min(floor_s(spec) for spec in (self._spec.latency, *self._spec.latency_of.values()))

    @property
    def limits_download(self) -> bool:
        """Whether arrivals queue at the receiver."""
        return self._spec.download_bytes_per_s is not None

    def _fate(self, sender: NodeId, number: int) -> Sequence[float]:
        key = (sender, number // _BLOCK)
        block = self._blocks.get(key)
        if block is None:
            generator = self._stream.child("link", *key).generator()
            block = np.concatenate(
                [generator.random((_BLOCK, 4)), generator.standard_normal((_BLOCK, _DRAWS - 4))],
                axis=1,
            )
            self._blocks.pop((sender, key[1] - 1), None)
            self._blocks[key] = block
        row: list[float] = block[number % _BLOCK].tolist()
        return row

    def arrivals_s(
        self, sender: NodeId, to: NodeId, *, number: int, size_bytes: int, now_s: float
    ) -> list[float]:
        """When the copies of `sender`'s message `number` reach `to`: none, one or two times.

        With a limited uplink the sender's messages leave one after another.
        """
        spec = self._spec
        if self.steady_delay_s is not None:
            return [now_s + self.steady_delay_s]
        if spec.upload_bytes_per_s is not None:
            start_s = max(now_s, self.uplink_free_s.get(sender, 0.0))
            now_s = start_s + size_bytes / spec.upload_bytes_per_s
            self.uplink_free_s[sender] = now_s
        lost, copied, reordered, extra, normal, copy_normal = self._fate(sender, number)
        if lost < spec.loss:
            return []
        for partition in spec.partitions:
            if partition.from_s <= now_s < partition.until_s and _cut(partition, sender, to):
                return []
        latency = spec.latency_of.get(to) or spec.latency_of.get(sender) or spec.latency
        delay_s = _delay_s(latency, normal)
        arrival_s = now_s + delay_s
        if reordered < spec.reordering:
            arrival_s += 2.0 * extra * delay_s
        else:
            arrival_s = max(arrival_s, self.last_arrival_s.get((sender, to), 0.0))
            self.last_arrival_s[sender, to] = arrival_s
        if copied < spec.duplication:
            return [arrival_s, now_s + _delay_s(latency, copy_normal)]
        return [arrival_s]

    def received_s(self, to: NodeId, *, size_bytes: int, arrival_s: float) -> float:
        """When the last byte of a message whose first arrives at `arrival_s` is in, on a limited
        downlink."""
        assert self._spec.download_bytes_per_s is not None
        start_s = max(arrival_s, self.downlink_free_s.get(to, 0.0))
        done_s = start_s + size_bytes / self._spec.download_bytes_per_s
        self.downlink_free_s[to] = done_s
        return done_s
