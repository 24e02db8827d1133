"""The scenario: a charter plus a simulated world."""

from __future__ import annotations

from typing import Annotated

import msgspec

from troth.attacks.registry import AttackSpec
from troth.charter.charter import Charter
from troth.charter.world import (
    Churn,
    CostSpec,
    Cryptography,
    Faults,
    Network,
    Puzzles,
    ZeroCost,
)
from troth.data.spec import Equal, PartitionSpec
from troth.engines.spec import EngineSpec
from troth.privacy.spec import NoPrivacy, PrivacySpec
from troth.specification import Count, Table


class Parties(Table, frozen=True, kw_only=True):
    """The `[parties]` table: how many parties a simulation has, and what they do for their own
    privacy."""

    count: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    """How many parties there are. They are called party-0, party-1, ..., with as many digits as the
    last one needs."""
    privacy: PrivacySpec = NoPrivacy()
    """What every party does for its own privacy, whatever the charter says. It is not in the
    charter, and no other party is told."""


class Evaluation(Table, frozen=True, kw_only=True):
    """The `[evaluation]` table: measurement, done outside the protocol on the held-out test set."""

    every: Count = 1
    """Rounds between evaluations; the last round is always evaluated."""


class Scenario(Table, frozen=True, kw_only=True):
    """A charter and the world that it is simulated in. The same file, seed and version of Troth
    repeat a run.

    In the file the charter's tables stand at the top level beside the world's, or in a file of
    their own named by `charter = "charter.toml"`.
    """

    charter: Charter
    parties: Parties
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """Everything random in a simulated run follows from this number."""
    partition: PartitionSpec = Equal()
    """Which party holds which rows."""
    network: Network = Network()
    churn: Churn = Churn()
    faults: Faults = Faults()
    attacks: list[AttackSpec] = msgspec.field(default_factory=list)
    cost: CostSpec = ZeroCost()
    puzzles: Puzzles = Puzzles()
    cryptography: Cryptography = Cryptography()
    engine: EngineSpec = EngineSpec()
    evaluation: Evaluation = Evaluation()
