"""The tables that describe a simulated world: network, churn, faults, cost."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import NonNegative, Positive, Probability, Table


class ConstantLatency(Table, tag_field="kind", tag="constant", frozen=True, kw_only=True):
    """The same one-way delay for every message."""

    seconds: NonNegative = 0.0
    """Seconds from sending to arrival."""


class NormalLatency(Table, tag_field="kind", tag="normal", frozen=True, kw_only=True):
    """One-way delay ~ N(mean, std^2), never below `floor_s`."""

    mean_s: Positive
    std_s: NonNegative
    floor_s: Positive | None = None
    """The least delay, in seconds; absent: a twentieth of the mean. The scheduler may batch work
    that is closer together than this."""


class LogNormalLatency(Table, tag_field="kind", tag="lognormal", frozen=True, kw_only=True):
    """One-way delay = median * exp(sigma * N(0, 1)), never below `floor_s`."""

    median_s: Positive
    sigma: NonNegative
    floor_s: Positive | None = None
    """The least delay, in seconds; absent: a twentieth of the median."""


LatencySpec = ConstantLatency | NormalLatency | LogNormalLatency


def floor_s(latency: LatencySpec) -> float:
    """The least one-way delay this latency can give."""
    if isinstance(latency, ConstantLatency):
        return latency.seconds
    if latency.floor_s is not None:
        return latency.floor_s
    middle = latency.median_s if isinstance(latency, LogNormalLatency) else latency.mean_s
    return middle / 20.0


class NetworkPartition(Table, frozen=True, kw_only=True):
    """From `from_s` until `until_s`, messages pass only inside a group; nodes in no group form one
    more."""

    from_s: NonNegative
    until_s: Positive
    groups: Annotated[list[list[str]], msgspec.Meta(min_length=1)]
    """The groups, each a list of names of nodes."""

    def check(self) -> None:
        if self.until_s <= self.from_s:
            raise CharterError(
                f"is not after from_s = {self.from_s}", key="until_s", value=self.until_s
            )


class Network(Table, frozen=True, kw_only=True):
    """The `[network]` table. Links keep the order of messages unless `reordering` says
    otherwise."""

    latency: LatencySpec = ConstantLatency()
    """One-way delay of a message."""
    latency_of: dict[str, LatencySpec] = {}
    """Delays of single parties, by name: messages from and to that party take this instead."""
    upload_bytes_per_s: Positive | None = None
    """Of every node; absent: no limit."""
    download_bytes_per_s: Positive | None = None
    """Of every node; absent: no limit."""
    loss: Probability = 0.0
    """Probability that a message is lost."""
    duplication: Probability = 0.0
    """Probability that a message arrives twice."""
    reordering: Probability = 0.0
    """Chance that a message may overtake the ones before it, taking up to twice its delay more."""
    partitions: list[NetworkPartition] = []
    """Times in which messages pass only inside groups of nodes."""


class Crash(Table, frozen=True, kw_only=True):
    """`node` stops at `at_s`, losing everything it has not saved, and comes back `restart_after_s`
    later."""

    node: str
    """The name of a node: a party, `server` or `trainer`."""
    at_s: NonNegative
    restart_after_s: Positive | None = None
    """Seconds until it comes back; absent: it does not come back."""


class Faults(Table, frozen=True, kw_only=True):
    """The `[faults]` table: what goes wrong on the nodes of a simulation."""

    crashes: list[Crash] = []
    """Which nodes stop, when, and when they come back."""


class Absence(Table, frozen=True, kw_only=True):
    """`party` is away from `from_s` until `until_s` (for good when absent)."""

    party: str
    from_s: NonNegative
    until_s: Positive | None = None


class Churn(Table, frozen=True, kw_only=True):
    """The `[churn]` table: parties that leave and come back, by schedule, at random, or both."""

    absences: list[Absence] = []
    """Parties that are away at stated times."""
    mean_online_s: Positive | None = None
    """Mean of the exponential times between two absences of a party, which are drawn at random."""
    mean_offline_s: Positive | None = None
    """Mean of the exponential times that a party is then away."""

    def check(self) -> None:
        if (self.mean_online_s is None) != (self.mean_offline_s is None):
            raise CharterError(
                "needs both mean_online_s and mean_offline_s",
                key="mean_online_s",
                value=self.mean_online_s,
            )


class ZeroCost(Table, tag_field="kind", tag="zero", frozen=True, kw_only=True):
    """Computing takes no simulated time."""


class FixedCost(Table, tag_field="kind", tag="fixed", frozen=True, kw_only=True):
    """Computing takes `seconds[label]` for each unit of work, or `otherwise_s` in all.

    A unit of `solve_puzzle` is one hash; any other computation is one unit.
    `troth check --format json` lists a protocol's labels as `cost_labels`.
    """

    seconds: dict[str, NonNegative] = {}
    """Simulated seconds of a unit of work, by the label of the computation."""
    otherwise_s: NonNegative = 0.0
    """Simulated seconds of a computation whose label `seconds` does not name."""


class MeasuredCost(Table, tag_field="kind", tag="measured", frozen=True, kw_only=True):
    """Computing takes what it took on this machine times `factor`. Gives up the repeatable
    trace."""

    factor: Positive = 1.0
    """By what the measured time is multiplied; below 1 for machines faster than this one."""


class Puzzles(Table, frozen=True, kw_only=True):
    """The `[puzzles]` table: how much of the proof of work a simulation really does.

    Simulated time is charged for all of it, by `[cost]`; going through the hashes on this machine
    as well would only make the run slower.
    """

    ground_up_to: Annotated[int, msgspec.Meta(ge=0, le=6)] = 3
    """Zero digits that are really looked for: 3 are 4,096 hashes, about 5 ms of SHA-256."""


CostSpec = ZeroCost | FixedCost | MeasuredCost


class Cryptography(Table, frozen=True, kw_only=True):
    """The `[cryptography]` table of a simulation."""

    group: Literal["g1", "modelled"] = "g1"
    """Where commitments are: `g1` is the curve that real nodes use. `modelled` runs the same code
    over numbers, a hundred times as quick: it counts messages and shows what honest and scripted
    parties do, and binds nobody who computes. The report says so."""
