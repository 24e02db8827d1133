"""What a run leaves behind, as types. `troth.report` writes and reads them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from troth.ids import Bytes, MeasuredSeconds, NodeId, Round, SimulatedSeconds

SCHEMA_VERSION = 2
"""Of the files of a run's folder. Version 1 had its parties in `summary.json`."""

Status = Literal["running", "finished", "failed", "interrupted"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A line or table of a report. Unknown keys are kept out of it, not refused: newer files stay
    readable."""


def pretty_json(content: object) -> bytes:
    """A record, or what holds records, as JSON for people and programs, without a newline after
    it."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


class Metrics(Record, frozen=True, kw_only=True):
    """How good a model is on some examples.

    `error` is 1 - accuracy for classification, and the mean relative error mean(|y' - y| /
    max(|y|, floor)) for regression. `attack_rate` is the share of the attack's source examples
    that the model takes for its target; None where no attack has a target.
    """

    loss: float
    error: float
    examples: int
    attack_rate: float | None = None


class Rejection(Record, frozen=True, kw_only=True):
    """A contribution that was not used."""

    node: NodeId
    reason: str


class RoundRecord(Record, frozen=True, kw_only=True):
    """One line of `rounds.jsonl`. Metrics are None in rounds that were not evaluated."""

    round: Round
    simulated_s: SimulatedSeconds
    measured_s: MeasuredSeconds
    metrics: Metrics | None = None
    accepted: list[NodeId] = []
    rejected: list[Rejection] = []
    missing: list[NodeId] = []
    bytes_sent: Bytes = Bytes(0)
    """By all nodes since the run began."""
    messages_sent: int = 0


class Traffic(Record, frozen=True, kw_only=True):
    """All messages of one type."""

    messages: int
    bytes: Bytes


class PartyRecord(Record, frozen=True, kw_only=True):
    """One party over the whole run."""

    party: NodeId
    examples: int
    attacker: str | None = None
    """The attack it carried out, where the scenario made it an attacker."""
    own: Metrics | None = None
    """The final model, or the party's own where each has one, on this party's own data."""
    test: Metrics | None = None
    """The party's own final model on the test set, where each party has one."""
    accepted: int = 0
    rejected: int = 0
    missing: int = 0
    told: str | None = None
    """Why it was refused the last time, in the words that reached it."""
    stopped: str | None = None
    """Why it stopped before the end."""
    bytes_sent: Bytes = Bytes(0)
    bytes_received: Bytes = Bytes(0)
    messages_sent: int = 0
    sent: dict[str, Traffic] = {}
    """What it sent, by message type."""
    work: dict[str, float] = {}
    """What it computed, in units by label: of `solve_puzzle` a unit is one hash, of anything else
    one computation. Simulated runs only."""
    work_s: dict[str, float] = {}
    """Simulated seconds that this took, by label."""
    measures: dict[str, float] | UnsetType = UNSET
    """What else the protocol says of the party in numbers, by names of its own: `stake`. The key is
    absent where the protocol says nothing."""

    def measure(self, name: str) -> float | None:
        """The measure of this name; None where the party has none."""
        return None if self.measures is UNSET else self.measures.get(name)


class ReleasePrivacy(Record, frozen=True, kw_only=True):
    """What one kind of a party's releases comes to by itself, over all rounds."""

    what: str
    views: list[str]
    """The nodes that have seen these releases."""
    releases: int
    paper: float | None = None
    """Epsilon as the protocol's paper counts it; None where it does not."""
    delta: float
    epsilon: float | None = None
    """Epsilon that holds; None where nothing bounds it."""
    pld: float | None = None
    rdp: float | None = None
    budget: float | None = None
    """Epsilon that the charter calibrated the noise for."""


class PartyPrivacy(Record, frozen=True, kw_only=True):
    """What one party has spent for its own privacy, over all its releases and views together.

    (epsilon, delta)-DP holds towards everybody who has seen something, whoever else they are; all
    but `party` and `mechanism` is empty where nothing bounds it.
    """

    party: NodeId
    mechanism: str
    unit: str | None = None
    adjacency: str | None = None
    budget: float | None = None
    """Epsilon that the party is willing to spend."""
    delta: float | None = None
    epsilon: float | None = None
    """Spent: the smaller one of the two accountants' figures."""
    pld: float | None = None
    """By privacy loss distributions; None where they cannot count the events."""
    rdp: float | None = None
    """Spent, as the accountant counts it that adds up Renyi divergences."""
    releases: int = 0
    """Updates that were charged, whatever became of them."""
    views: list[str] = []
    """Who has seen releases; what these compute from them costs nothing more."""
    entries: list[dict[str, Any]] = []
    """The ledger: which events those views saw, and how often."""
    by_release: list[ReleasePrivacy] = []
    """Each kind of release by itself, where the charter adds noise of more than one kind."""


class PrivacyRecord(Record, frozen=True, kw_only=True):
    """`privacy.json`: what is known of the privacy that parties have spent.

    `epsilon` and `delta` hold for each party by itself; None means that nothing bounds them, or
    that this node does not know.
    """

    mechanism: str
    epsilon: float | None
    delta: float | None
    note: str
    parties: list[PartyPrivacy] = []
    """Each party by itself; a node of a real run knows of itself only."""


class Summary(Record, frozen=True, kw_only=True):
    """How a run began, what it came to and how it ended: the file `summary.json` of its folder, and
    `parties.jsonl`, which holds `parties`."""

    schema_version: int = SCHEMA_VERSION
    status: Status
    problem: str | None = None
    """Why a failed run failed."""
    world: Literal["simulated", "real"] = "simulated"
    """A real run has no simulated time."""
    name: str
    protocol: str
    seed: int
    troth_version: str
    charter_digest: str
    trace_digest: str | None = None
    rounds: int = 0
    """How many rounds were completed."""
    rounds_planned: int = 0
    """Rounds the charter asks for; 0 where the protocol sets no number."""
    dimension: int = 0
    task: Literal["classification", "regression"] = "classification"
    final: Metrics | None = None
    parties: list[PartyRecord] = []
    traffic: dict[str, Traffic] = {}
    bytes_sent: Bytes = Bytes(0)
    simulated_s: SimulatedSeconds = SimulatedSeconds(0.0)
    measured_s: MeasuredSeconds = MeasuredSeconds(0.0)
    peak_rss_bytes: Bytes = Bytes(0)
    engine: str = ""
    device: str = ""
    cost_model: str = ""
    privacy: PrivacyRecord | None = None
    notes: list[str] = []
    """What a reader must know: what the loader did to the data, what stands in for what."""

    def measure_names(self) -> list[str]:
        """The measures that any party has, ascending."""
        return sorted({name for party in self.parties for name in party.measures or ()})
