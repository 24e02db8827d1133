"""The `[protocol]` and `[privacy]` tables of `biscotti` (Shayan et al. 2021, table 1)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Annotated, ClassVar, Literal

import msgspec

from troth.errors import CharterError
from troth.robustness.spec import AggregationSpec, MultiKrum
from troth.specification import Fraction, NonNegative, Positive, Probability, Table

Stake = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Seats = Annotated[int, msgspec.Meta(ge=1, le=512)]
Property = Literal["privacy", "integrity", "liveness", "unmasking"]


class NoMask(Table, tag_field="kind", tag="none", frozen=True, kw_only=True):
    """No noise: verifiers see updates as they are."""


class GaussianMask(Table, tag_field="kind", tag="gaussian", frozen=True, kw_only=True):
    """Discrete Gaussian noise of a given size."""

    sigma: Positive
    """Standard deviation of each coordinate of the noise that hides one update, in the update's own
    units, if as many noisers answer as are needed."""


class PaperMask(Table, tag_field="kind", tag="paper", frozen=True, kw_only=True):
    """What the paper's prototype draws: sqrt(2 ln(1.25/delta)) / epsilon / sqrt(batch size), the
    mean over noisers instead of the sum. Its epsilon leaves out composition, and holds for
    gradients of norm 1 only."""

    # Biscotti, table 1: "Privacy budget (ϵ)" 2, "Delta (δ)" 10^-5.
    epsilon: Positive = 2.0
    """The epsilon of one round, as the paper counts it."""
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5
    """The delta of one round, as the paper counts it."""


class CalibratedMask(Table, tag_field="kind", tag="calibrated", frozen=True, kw_only=True):
    """As much noise as makes all masked updates of a party together (epsilon, delta)-differentially
    private towards verifiers, as long as as many noisers are honest as are needed."""

    epsilon: Positive
    """The epsilon of all masked updates of a party in the training."""
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    """The delta of all masked updates of a party in the training."""


MaskSpec = NoMask | GaussianMask | PaperMask | CalibratedMask


class LedgerNoise(Table, frozen=True, kw_only=True):
    """Distributed differential privacy of what the ledger shows: every contributor adds its part of
    discrete Gaussian noise to its update before it commits to it."""

    epsilon: Positive
    """The epsilon of all sums of the training, for all data of a party."""
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    """The delta of all sums of the training, for all data of a party."""
    corrupt: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """Contributors to a sum that may leave their part out, and know it; the others' parts are large
    enough without."""


class MaskedPrivacy(Table, tag_field="mechanism", tag="masked", frozen=True, kw_only=True):
    """Noise of others hides each update from the verifiers, and noise of all contributors may stay
    in the sums (`biscotti`)."""

    mask: MaskSpec = PaperMask()
    """How much noise hides an update."""
    # Biscotti, table 1: "Number of noisers", "2".
    noisers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many noisers each contributor draws for itself."""
    needed: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """How many of these have to answer; absent: more than half. Their noise alone is enough."""
    slots: Annotated[int, msgspec.Meta(ge=2, le=64)] = 8
    """J: noise vectors that each peer commits to for each round, each for one contributor. Those
    that the round's seed draws open one of them for everybody to check."""
    window_s: NonNegative = 1.0
    """Seconds that a noiser waits for contributors before it divides its slots among them."""
    ledger_noise: LedgerNoise | None = None
    """Noise that stays in the sums. Absent: what the ledger shows carries no differential
    privacy."""

    def check(self) -> None:
        if self.needed is not None and self.needed > self.noisers:
            raise CharterError(
                f"is more than noisers = {self.noisers}", key="needed", value=self.needed
            )

    @property
    def enough(self) -> int:
        """How many of a contributor's noisers have to answer."""
        return self.needed or self.noisers // 2 + 1


class StakeSpec(Table, frozen=True, kw_only=True):
    """Stake: the weight of a peer in every lottery."""

    # Biscotti, table 1: "Initial stake", "Uniform, 10 each"; "Stake update", "Linear, + 5"; section
    # 4: "All peers who contribute a share to the final update along with the peers chosen for the
    # verification and aggregation committees receive additional stake in the system."
    # Differs from the paper: a proven offence costs stake, because the paper leaves open what
    # cheating costs; and a member of a committee is paid for what it did, not for being chosen.
    initial: Stake = 10
    """The stake that each peer begins with."""
    contributed: Stake = 5
    """Stake that a contributor gains for an update that a block adds to the model."""
    verified: Stake = 5
    """Stake that a verifier gains for its verdict in such a block."""
    aggregated: Stake = 5
    """Stake that an aggregator gains for its acknowledgement in such a block."""
    penalty: Stake = 5
    """Stake that a peer loses for each proven offence."""


class Biscotti(Table, tag_field="name", tag="biscotti", frozen=True, kw_only=True):
    """Peers train without any coordinator: a ledger block for each round, committees drawn by
    stake, masked updates verified, sums opened by secret sharing."""

    aggregation: AggregationSpec = MultiKrum()
    """By which each verifier accepts updates: those that the rule gives weight, or, for a rule that
    weighs coordinates, the n - f nearest to its result."""
    sampled: Fraction = 0.7
    """R, as a share of all peers: so many are drawn in each round, from those outside its
    committees, to contribute an update."""
    # Biscotti, section 4.6: "The update equation in SGD (see Appendix A) can be re-written as" w_t
    # plus the sum of the verified updates.
    # Differs from the paper: the model moves by their mean unless the charter says `sum`, because
    # a learning rate should not depend on how many updates are accepted.
    combine: Literal["mean", "sum"] = "mean"
    """What the model moves by: the mean of a block's updates, or their sum, as in the paper."""
    clip: Positive = 1.0
    """C, the L2 norm that longer updates are scaled down to."""
    fraction_bits: Annotated[int, msgspec.Meta(ge=0, le=30)] = 19
    """f: updates are rounded to multiples of 2^-f."""
    # Biscotti, table 1: "Number of verifiers", "3"; "Number of aggregators", "3"; "Number of
    # samples needed for Multi-Krum (R)", "70" of 100 peers.
    verifiers: Seats = 3
    """How many verifiers a round has, of whom more than half must accept an update."""
    aggregators: Annotated[int, msgspec.Meta(ge=3, le=512)] = 3
    """m, how many aggregators a round has."""
    # Biscotti, section 4.6: privacy holds "if at least half of the m aggregators participate
    # honestly in the aggregation phase."
    tolerated: Seats | None = None
    """t, the aggregators that learn nothing by putting together what they hold; absent:
    (m - 1) / 2, rounded down."""
    quorum: Seats | None = None
    """tau, the aggregators that are needed to open a sum and to certify a block; absent: as few as
    tau > (m + t) / 2 allows."""
    points: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """s, points of the sharing polynomial for each aggregator; absent: so many that an update has
    about 8 rows, or rows of at most 16,384 coordinates."""
    faults: Literal["byzantine", "crash"] = "byzantine"
    """`crash`: aggregators may stop but do not lie to each other, so tau need not be above
    (m + t) / 2. One who does lie then gets two sums, whose difference is a single update."""
    optimistic: bool | None = None
    """Whether contributors commit to the random rows of their shares only when a sum turns out
    wrong; absent: from 50,000 parameters on."""
    least_updates: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """No sum of fewer updates is opened: all its contributors but one, together, know the last
    one's. Absent: a quarter of those drawn, and at least 2; noise in the sums needs a number."""
    stake: StakeSpec = StakeSpec()
    phase_s: Positive = 10.0
    """Seconds that each step of a round may take; whoever has not been heard by then is left
    out."""
    neighbours: Annotated[int, msgspec.Meta(ge=1, le=64)] = 6
    """Peers that each peer passes blocks on to, at least."""
    linger_s: NonNegative = 30.0
    """Seconds that a peer which has the last block goes on serving others."""
    adversarial_stake: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.3
    """Share of the stake that the failure probabilities assume to be adversarial."""
    most_failures: dict[Property, Probability] = msgspec.field(default_factory=dict)
    """For each property, how likely it may be to fail in at least one round of the training."""
    accept_failures: list[Property] = msgspec.field(default_factory=list)
    """Properties for which a worse probability is accepted."""

    moved: ClassVar[Mapping[str, str]] = {
        "noise": "[privacy]: mask, noisers, needed, slots, window_s",
        "ledger_noise": "[privacy.ledger_noise]",
    }

    def check(self) -> None:
        if self.resolved_tolerated >= self.resolved_quorum:
            raise CharterError(
                f"is not below quorum = {self.resolved_quorum}",
                key="tolerated",
                value=self.resolved_tolerated,
            )
        if self.resolved_quorum > self.aggregators:
            raise CharterError(
                f"is more than aggregators = {self.aggregators}",
                key="quorum",
                value=self.resolved_quorum,
            )
        if self.faults == "byzantine" and (
            2 * self.resolved_quorum <= self.aggregators + self.resolved_tolerated
        ):
            raise CharterError(
                "is not above (aggregators + tolerated) / 2, so two sums of one round could be "
                "opened, and their difference is somebody's update",
                key="quorum",
                value=self.resolved_quorum,
                hint='raise quorum, lower tolerated, or set faults = "crash"',
            )
        for name in self.accept_failures:
            if name not in self.most_failures:
                raise CharterError(
                    "has no bound that could be exceeded",
                    key="accept_failures",
                    value=name,
                    hint=f"set most_failures.{name}, or leave it out",
                )

    def contributors_drawn(self, peers: int) -> int:
        """R: peers that are drawn to contribute in a round, of so many in all, as far as the
        committees leave any."""
        others = peers - self.verifiers - self.aggregators
        return max(0, min(ceil(self.sampled * peers), others))

    def fewest(self, drawn: int) -> int:
        """How many updates a sum has at least, where so many contributors were drawn."""
        return self.least_updates or max(2, drawn // 4)

    @property
    def resolved_tolerated(self) -> int:
        """t, the aggregators that learn nothing by putting together what they hold."""
        return (self.aggregators - 1) // 2 if self.tolerated is None else self.tolerated

    @property
    def resolved_quorum(self) -> int:
        """tau, the aggregators that are needed to open a sum and to certify a block."""
        if self.quorum is not None:
            return self.quorum
        return (self.aggregators + self.resolved_tolerated) // 2 + 1
