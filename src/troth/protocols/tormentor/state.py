"""The plan that every node of a run is given, and the states that broker, curator and providers
save, so that they can go on after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from troth.crypto.puzzles import Puzzle
from troth.ids import NodeId, PartyId, Round
from troth.learning.training import Training
from troth.privacy.ledger import PrivacyLedger
from troth.protocols.tormentor.messages import NOTHING, GradientUpdate
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.records import Rejection
from troth.wire import Float32s


@dataclass(frozen=True)
class Plan:
    """The charter, as far as the protocol needs it, and what a run adds to it.

    Args:
      parties: the providers that are known beforehand; none in a real run, where nobody is.
      initial_D: M_0, the model before the first update, shape (D,).
      training: the charter's `[training]` table.
      parameters: the charter's `[protocol]` table.
      model_id: the charter's digest; the curator signs it, and every puzzle is bound to it.
      base: folder in which a curator's `module:callable` verifier is looked up.
      ground_up_to: see `SolvePuzzle`; None outside simulations.
    """

    parties: tuple[PartyId, ...]
    initial_D: Float32s
    training: Training
    parameters: Tormentor
    model_id: str
    base: Path | None = None
    address: str = BROKER
    """The address at which the broker says that it can be reached."""
    broker: str = BROKER
    """The broker's public id, which its TLS proves; in a simulation its node. The curator has it
    from the address that it was given, not from the broker."""
    linger_s: float = 0.0
    """Seconds that the broker stays when training is over, for providers that have not heard so. In
    a simulation everybody is told at once."""
    ground_up_to: int | None = None

    @property
    def providers(self) -> int:
        """How many providers have to join before training starts. Where updates are applied as they
        come, so many accepted ones are a round."""
        return self.parameters.min_providers or len(self.parties)

    @property
    def has_momentum(self) -> bool:
        """Whether the broker applies momentum, and so has a velocity to remember."""
        return self.training.update == "gradient" and self.training.momentum > 0

    def name_of(self, sender: NodeId, provider: bytes | None = None) -> NodeId:
        """The name by which reports call whoever has sent something: its node's, where the world
        knows its senders, and otherwise one from its pseudonym, the key `provider`."""
        if sender == CURATOR or sender in self.parties:
            return sender
        return NodeId("a stranger" if provider is None else f"provider-{provider.hex()[:12]}")


class Secret(msgspec.Struct, frozen=True):
    """The broker's own 32 bytes: they make puzzles and tokens unforgeable, and draw which updates
    are looked at. No message has a field for them."""

    key: bytes

    def __repr__(self) -> str:
        return "<redacted>"


class Connection(msgspec.Struct, frozen=True):
    """A provider that has joined, as the broker sees it."""

    token: bytes
    """32 secret bytes that name the connection."""
    provider: bytes
    """The provider's pseudonym: an Ed25519 public key."""
    node: NodeId
    """The node that the provider was last heard from; answers go there. It does not say who the
    provider is, which may have come by Tor."""
    name: NodeId
    """The name by which reports call the provider."""
    admitted_by: bytes
    """Nonce of the puzzle that the provider joined with."""
    difficulty: int
    """Trailing zero hexadecimal digits that the solution of its next puzzle needs."""
    used: bytes
    """Nonce of the last puzzle that the provider solved; before its first update `admitted_by`."""
    solution: bytes = b""
    """The solution of `used` with which the last update was paid for: whoever asks again has to
    show it again."""
    puzzle: Puzzle | None = None
    """The puzzle that the provider has to solve next; None while its answer is held back."""
    refusal: str | None = None
    """Why the provider's last update was rejected; None if it was accepted."""
    updates: int = 0
    """Updates of the provider that were answered so far, accepted or rejected."""
    proven: int = 0
    """Updates accepted in a row since the provider joined or was last rejected."""
    life: int = 0
    """How many connections had ended when this one began. A pseudonym has one at a time, so no two
    of its lives have the same number."""
    looks: int = 0
    """Updates of the connection that a verifier has looked at."""
    clock: int = 0
    """c of bounded staleness: `updates`, counted from where the slowest was when it joined."""
    version: int = 0
    """Version of the model that first came with `puzzle`; an answer that is repeated carries the
    newest model."""
    turn_s: float = 0.0
    """When the provider was last answered, on the broker's clock."""
    pending_D: Float32s | None = None
    """Bulk synchronous: the provider's update of this round, shape (D,); None before it comes."""

    @property
    def waits(self) -> bool:
        """Whether the provider's answer is held back until others have caught up."""
        return self.puzzle is None


class Record(msgspec.Struct, frozen=True):
    """What the broker remembers of a pseudonym that has no connection any more."""

    difficulty: int
    """`Connection.difficulty` when it went."""
    proven: int
    """`Connection.proven` when it went."""
    clock: int
    """`Connection.clock` when it went."""


class BrokerState(msgspec.Struct, frozen=True):
    """Everything a broker must not forget. Whoever restarts it from this loses no accepted update,
    applies none twice and forgets no difficulty."""

    secret: Secret
    params_D: Float32s
    """M_t, the model after `version` changes, shape (D,)."""
    velocity_D: Float32s
    """The velocity of the momentum, shape (D,); shape (1,), and unused, where there is none."""
    began_s: float
    """When the model was curated, on the broker's clock."""
    version: int = 0
    """t of M_t: how often the model has changed."""
    round: Round = Round(0)
    """The last round that is over; 0 before the first."""
    started: bool = False
    """Whether enough providers have joined; until then no connection is given a puzzle."""
    connections: dict[bytes, Connection] = {}
    """The providers that have joined, by the token of their connection."""
    spent: dict[bytes, Round] = {}
    """Nonces of admission puzzles that were used, and the round of the puzzle; kept until they
    would have expired."""
    gone: int = 0
    """How many connections have ended so far."""
    records: dict[bytes, Record] = {}
    """What pseudonyms come back to that have left, or lost their connection."""
    curator: bytes = b""
    """The key that has curated the model, and is given it."""
    curated_for: NodeId | None = None
    """The node of the curator that is told next that its broker runs; None once it was told."""
    outbox: tuple[bytes, ...] = ()
    """Tokens of the connections that are answered next, after this state is saved."""
    departures: tuple[tuple[NodeId, bytes], ...] = ()
    """Nodes whose goodbye is answered next, each with the token of its former connection."""
    accepted: tuple[NodeId, ...] = ()
    """Who had an update accepted in the round that is not over yet, once for each."""
    rejected: tuple[Rejection, ...] = ()
    """What was rejected in the round that is not over yet, and why."""
    missing: tuple[NodeId, ...] = ()
    """Whose connection was closed in the round that is not over yet, as others waited for it."""
    barrier: bool = False
    """Bulk synchronous: whether everybody has had their turn in this round."""
    best_error: float | None = None
    """The lowest validation error so far, where the charter watches for a plateau."""
    rounds_since_best: int = 0
    """Rounds since the validation error last fell by enough."""
    recent: tuple[Float32s, ...] = ()
    """The last changes that were applied, each of shape (D,), for the Shapley value."""
    deserted_s: float | None = None
    """Since when nobody is connected, on the broker's clock, if the last one has said goodbye."""
    finished: bool = False
    """Whether training is over, so that the model is only handed over any more."""
    fetched_by: NodeId | None = None
    """The node at which the curator waits for the model; None if it has not asked yet."""
    delivered: bool = False
    """Whether the curator has said that it has the model."""


class Deposit(msgspec.Struct, frozen=True, eq=False):
    """What a curator leaves with its broker, the charter and the validation set. Every field is as
    in the question `Curate`, and empty where the broker has it from elsewhere."""

    charter: bytes = b""
    shape: tuple[int, ...] = ()
    outputs: int = 0
    x_NF: Float32s = NOTHING
    """The features of N validation rows, one row after another, as one vector of shape (N * F,)."""
    y_N: Float32s = NOTHING


class CuratorState(msgspec.Struct, frozen=True):
    """What a curator saves once its broker runs."""

    address: str
    """The address at which its broker can be reached."""
    params_D: Float32s | None = None
    """The trained model, shape (D,); None before it has come."""


class Admitting(msgspec.Struct, frozen=True):
    """An admission puzzle that a provider has solved and not handed in yet."""

    puzzle: Puzzle
    solution: bytes


class ProviderState(msgspec.Struct, frozen=True):
    """What a provider saves before each question that it asks.

    At most one of `admitting`, `pending` and `leaving` is there, and says what the provider asks
    next: to hand in its admission puzzle, to have an update applied, or to leave. With none of
    them it has no connection, and asks to join.
    """

    life: int = 0
    """How often the provider has lost its connection; each time it comes back under another
    pseudonym."""
    admitting: Admitting | None = None
    """The admission puzzle that it has solved and not handed in yet."""
    pending: GradientUpdate | None = None
    """The update that it sends, and sends again until it is answered."""
    leaving: bytes | None = None
    """Token of the connection that it gives up."""
    updates: int = 0
    """Updates computed so far, over all lives; the number names the batches that they are from."""
    velocity_D: Float32s | None = None
    """The velocity of its local momentum, shape (D,); None where there is none."""
    ledger: PrivacyLedger | None = None
    """What `pending` and all updates before it have cost; None without a privacy of its own."""
    told: str | None = None
    """Why the broker refused it the last time; None if it never has."""
    stopped: str | None = None
    """Why it sends no more updates; None while it does."""
