"""What everybody knows, and what broker, curator and providers must not forget."""

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
from troth.protocols.tormentor.protocol import BROKER as BROKER
from troth.protocols.tormentor.protocol import CURATOR as CURATOR
from troth.records import Rejection
from troth.wire import Float32s


@dataclass(frozen=True)
class Plan:
    """The charter, as far as the protocol needs it.

    Args:
      model_id: the charter's digest; the curator signs it, and every puzzle is bound to it.
      parties: the providers that are known beforehand; none in a real run, where nobody is.
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
    """Where the broker says that it is."""
    linger_s: float = 0.0
    """How long the broker stays, when all is done, for those who have not heard that it is over.
    In a simulation everybody is told at once."""
    ground_up_to: int | None = None

    @property
    def providers(self) -> int:
        """How many have to join before training starts; so many accepted updates are a round."""
        return self.parameters.min_providers or len(self.parties)

    @property
    def has_momentum(self) -> bool:
        """Whether the broker has a velocity to remember."""
        return self.training.update == "gradient" and self.training.momentum > 0

    def name_of(self, sender: NodeId, provider: bytes | None = None) -> NodeId:
        """What reports call whoever has sent something: its pseudonym, if it has one, where the
        world does not know its senders."""
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
    provider: bytes
    node: NodeId
    """Where it was last heard from; answers go there. Not who it is: it may have come by Tor."""
    name: NodeId
    """What reports call it."""
    admitted_by: bytes
    """Nonce of the puzzle it joined with."""
    difficulty: int
    used: bytes
    """Nonce of the last puzzle it solved; before its first update that is `admitted_by`."""
    puzzle: Puzzle | None = None
    """The one it has to solve next; None while its answer is held back."""
    refusal: str | None = None
    """Why its last update was rejected; None if it was accepted."""
    updates: int = 0
    """Answered so far, accepted or rejected."""
    proven: int = 0
    """Accepted in a row since it joined or was last rejected."""
    clock: int = 0
    """c of bounded staleness: `updates`, counted from where the slowest was when it joined."""
    version: int = 0
    """Of the model that first came with `puzzle`; an answer that is repeated carries the newest."""
    turn_s: float = 0.0
    """When it was last answered, on the broker's clock."""
    pending_D: Float32s | None = None
    """Bulk synchronous: its update of this round."""

    @property
    def waits(self) -> bool:
        """Its answer is held back, until others have caught up."""
        return self.puzzle is None


class BrokerState(msgspec.Struct, frozen=True):
    """Everything a broker must not forget. Whoever restarts it from this loses no accepted update,
    applies none twice and forgets no difficulty."""

    secret: Secret
    params_D: Float32s
    velocity_D: Float32s
    """Shape (1,) where the training has no momentum: then nothing is remembered."""
    began_s: float
    version: int = 0
    round: Round = Round(0)
    """The last one that is over."""
    started: bool = False
    """Enough providers have joined; until then nobody is answered."""
    connections: dict[bytes, Connection] = {}
    """By token."""
    spent: dict[bytes, Round] = {}
    """Nonces of admission puzzles that were used, and the round of the puzzle; kept until they
    would have expired."""
    curator: bytes = b""
    """The key that has curated the model, and is given it."""
    curated_for: NodeId | None = None
    outbox: tuple[bytes, ...] = ()
    departures: tuple[tuple[NodeId, bytes], ...] = ()
    """What leaves next: word to the curator that its broker runs, answers to the connections with
    these tokens, and goodbyes."""
    accepted: tuple[NodeId, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    missing: tuple[NodeId, ...] = ()
    """Of the round that is not over yet."""
    barrier: bool = False
    """Bulk synchronous: everybody has had their turn."""
    best_error: float | None = None
    rounds_since_best: int = 0
    recent: tuple[Float32s, ...] = ()
    """The last changes that were applied, for the Shapley value."""
    deserted_s: float | None = None
    """Since when nobody is connected, if the last one has said goodbye."""
    finished: bool = False
    fetched_by: NodeId | None = None
    """Where the curator waits for the model."""
    delivered: bool = False
    """The curator has said that it has the model."""


class Deposit(msgspec.Struct, frozen=True, eq=False):
    """What a curator leaves with its broker: see `Curate`."""

    charter: bytes = b""
    shape: tuple[int, ...] = ()
    outputs: int = 0
    x_NF: Float32s = NOTHING
    """Flat."""
    y_N: Float32s = NOTHING


class CuratorState(msgspec.Struct, frozen=True):
    """A curator whose broker runs."""

    address: str
    params_D: Float32s | None = None
    """The model, once it is there."""


class Admitting(msgspec.Struct, frozen=True):
    """An admission puzzle, solved but not yet handed in."""

    puzzle: Puzzle
    solution: bytes


class ProviderState(msgspec.Struct, frozen=True):
    """A provider. It is outside (nothing of what follows), at the door (`admitting`), connected
    (`pending`, which is also the question it has to ask next), or on its way out (`leaving`)."""

    life: int = 0
    """How often it has left or been thrown out; each time it comes back as somebody else."""
    admitting: Admitting | None = None
    pending: GradientUpdate | None = None
    leaving: bytes | None = None
    """Token of the connection that it gives up."""
    updates: int = 0
    """Computed so far, over all lives; names the batches."""
    velocity_D: Float32s | None = None
    ledger: PrivacyLedger | None = None
    """What `pending` and all updates before it have cost; None without a privacy of its own."""
    told: str | None = None
    """Why it was refused the last time."""
    stopped: str | None = None
    """Why it sends no more."""
