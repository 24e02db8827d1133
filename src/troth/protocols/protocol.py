"""The record by which a protocol declares itself: everything that others have to ask of it.

Each package `protocols/NAME` has a module `protocol.py` with one `PROTOCOL = Protocol(...)`, and
`protocols.registry` lists these records. No field has a default: a protocol that leaves one out
fails when it is imported, and never by a rule that silently does not know it.

Records load without PyTorch, because a charter does. So what needs numerical code is named by a
`Reference`, which is looked up when it is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from typing import Protocol as Interface

from troth.ids import NodeId, PartyId
from troth.records import PartyPrivacy
from troth.roles.messages import protocol_messages
from troth.specification import ShortForm, Table
from troth.wire import Codec

if TYPE_CHECKING:
    from troth.compute import Compute
    from troth.learning.training import Training
    from troth.privacy.own import OwnPrivacy
    from troth.privacy.spec import PrivacySpec
    from troth.records import PrivacyRecord
    from troth.roles.node import Cast
    from troth.streams import Stream
    from troth.wire import Float32s, Message

P = TypeVar("P", bound=Table)
R = TypeVar("R")

Reference = str
"""`module:attribute`, the module relative to the protocol's package: `roles:make_cast`."""

Run = Callable[[Sequence["Compute[Any, Any]"]], list[Any]]
"""The `run` of an engine: carries out computations, and gives their results in the same order."""

Topology = Literal["star", "mesh", "brokered", "alone"]
"""Who speaks to whom.

| topology   | meaning                                                                         |
|------------|---------------------------------------------------------------------------------|
| `star`     | every party connects to the first coordinator, and to nobody else               |
| `mesh`     | every party speaks to every other, and there is no coordinator                  |
| `brokered` | parties are strangers, who ask the first coordinator questions                  |
| `alone`    | nobody sends anything                                                           |
"""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How a round waits for answers.

    Args:
      key: of the protocol's table, which says for how long: `deadline_s`.
      seconds: what it says; None: until the answers are there.
      spare: answers that a round can do without.
      computations: labels of what has to be computed between a question and its answer.
    """

    key: str
    seconds: float | None
    spare: int = 0
    computations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CharterTables(Generic[P]):
    """What a charter says, as far as its protocol has to know.

    Args:
      parameters: its `[protocol]` table.
      privacy: its `[privacy]` table, one of those that the protocol's record names.
      training: its `[training]` table.
    """

    parameters: P
    privacy: Any
    training: Training


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Who takes part, as far as a protocol's own rules may look at it.

    Args:
      parties: those that may take part, in ascending order.
      own_privacy: what parties do for their own privacy.
    """

    parties: tuple[PartyId, ...]
    own_privacy: PrivacySpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreed(CharterTables[P]):
    """What all nodes of a run agree on before it begins.

    Args:
      parties: in ascending order.
      initial_D: the model before round 1, shape (D,).
      charter: the charter's digest, `sha256:` and 64 hexadecimal digits.
      base: folder in which `module:callable` rules are looked up.
    """

    parties: tuple[PartyId, ...]
    initial_D: Float32s
    charter: str
    base: Path | None

    @property
    def charter_tables(self) -> CharterTables[P]:
        """What the charter says, without the rest."""
        return CharterTables(
            parameters=self.parameters, privacy=self.privacy, training=self.training
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """What a protocol may know of the simulated world that its nodes are in.

    Args:
      secret: the run's `secret` stream, which all keys follow from.
      compute: an engine's `run`.
      ground_up_to: zero digits of a puzzle that are really looked for.
      modelled: commitments are numbers in the place of points.
      shares_checks: several nodes' checks of the same public bytes are computed once.
      computing_is_free: computations take no simulated time.
    """

    secret: Stream
    compute: Run
    ground_up_to: int
    modelled: bool
    shares_checks: bool
    computing_is_free: bool


class Brought(Interface):
    """What nodes bring to a run besides their rows: keys, say, and what all have agreed on."""

    def admitted(self, parties: Sequence[PartyId]) -> tuple[PartyId, ...]:
        """The parties that take part, ascending.

        Args:
          parties: those that the charter admits.

        Raises:
          UsageError: what was brought names somebody else.
        """


@dataclass(frozen=True)
class Account:
    """What one party knows of itself after a run; nobody else is told.

    `told` is why it was refused the last time, and `stopped` why it sent no more before the end.
    `measures` are numbers under names of the protocol's own; reports show whichever there are.
    """

    privacy: PartyPrivacy
    told: str | None = None
    stopped: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Casting(Generic[P]):
    """What roles are made of.

    Args:
      agreed: what all nodes know.
      brought: what nodes bring besides their rows; None where the protocol brings nothing.
      privacy: of parties that have one of their own. Each role is given its own, and a node of a
        real run knows no other.
      simulated: the world, in a simulation; None in a real run.
    """

    agreed: Agreed[P]
    brought: Any = None
    privacy: Mapping[PartyId, OwnPrivacy] = field(default_factory=dict)
    simulated: Simulated | None = None


@dataclass(frozen=True, kw_only=True)
class Brings:
    """That a protocol's nodes bring something, and where it comes from.

    Args:
      what: in the words of an error: "its secret and the genesis".
      hint: which node takes which files.
      simulated: makes it for all nodes of a simulation: (Agreed, Simulated) -> Brought.
      real: reads it from a node's own files.
    """

    what: str
    hint: str
    simulated: Reference
    real: Reference


@dataclass(frozen=True, kw_only=True)
class Keeps:
    """Training rows that no party holds, which one coordinator keeps to validate updates with.

    Args:
      node: who keeps them.
      key: of the protocol's table, which says their share.
    """

    node: NodeId
    key: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What stands on higher floors, in `protocols/NAME/operation/`. Commands of `troth` need not be
    named: each module of `operation/verbs/` has one of its own name.

    Args:
      launch: starts the nodes of one launch; None: as the topology says.
      readings: what an experiment can read off its runs besides what all runs have: subclasses of
        `reproduction.readings.Reading`, and `reproduction.curves.RunCurve`s.
      leaves: writes what a finished simulation leaves besides the usual files.
    """

    launch: Reference | None
    readings: tuple[Reference, ...]
    leaves: Reference | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Protocol(Generic[P]):
    """One protocol, as everybody else sees it.

    Args:
      package: of the protocol; references are relative to it.
      parameters: its `[protocol]` table. The table's tag is the protocol's name.
      short_forms: keys of its charters that may be given by a name alone: `privacy.mask`, say.
        Protocols that have the same key give it the same form.
      topology: who speaks to whom.
      coordinators: the nodes that are no parties; a run cannot end without any of them.
      parties_are_nodes: whether parties do anything during a run, or only hand over their data.
      pools_rows: the coordinator that is given all parties' rows.
      real_nodes: whether its nodes run as processes of their own.
      brings: what its nodes bring to a run besides their rows; None: nothing.
      keeps: which training rows a coordinator keeps; None: none.
      privacy: what the `[privacy]` table of its charters may be, by `mechanism`; the first is meant
        where a charter leaves that out.
      own_privacy: None where each party may add noise of its own; otherwise how an error goes on
        that refuses it, and its hint if it is not the usual one.
      reveals: what whoever looks on learns where no noise is added.
      scenario_tables: tables of a scenario that mean something to few protocols, and do to this.
      labels: what cost models call the computations of its roles.
      charter_rules: refuse tables that do not go together; each raises `CharterError` with a key of
        the charter.
      rules: the same for who takes part.
      asked: how many of so many parties are at work in a round.
      waits: how a round waits; None where it waits for nobody.
      cast: (Casting) -> Cast.
      messages: every type that its nodes send; None where nothing is sent.
      traffic: (CharterTables, parties, D) -> messages and bytes of one fault-free round by message
        type.
      extra_message_bytes: room for a message beyond two numbers for each parameter of the model.
      account: (CharterTables, party, own privacy, load, D) -> what a party knows of itself after a
        run, an `Account`; `load` gives what its role last saved, as a type.
      expected_privacy: (CharterTables, party, D) -> the privacy record that `troth check`
        shows; None: no noise is the charter's.
      check_notes: (CharterTables, parties, D, charter digest) -> what `troth check` says besides.
      simulation_notes: (Agreed, brought, Simulated) -> what a reader of a simulated run must know
        about what stands in for what.
      operation: what stands on higher floors.
    """

    package: str
    parameters: type[P]
    short_forms: Mapping[str, ShortForm]
    topology: Topology
    coordinators: tuple[NodeId, ...]
    parties_are_nodes: bool
    pools_rows: NodeId | None
    real_nodes: bool
    brings: Brings | None
    keeps: Keeps | None
    privacy: tuple[type[Table], ...]
    own_privacy: tuple[str, str | None] | None
    reveals: str
    scenario_tables: tuple[str, ...]
    labels: tuple[str, ...]
    charter_rules: tuple[Callable[[CharterTables[P]], None], ...]
    rules: tuple[Callable[[CharterTables[P], Circumstances], None], ...]
    asked: Callable[[P, int], int]
    waits: Callable[[P, int], Waiting | None]
    cast: Reference
    messages: Reference | None
    traffic: Reference | None
    extra_message_bytes: Reference | None
    account: Reference | None
    expected_privacy: Reference | None
    check_notes: Reference | None
    simulation_notes: Reference | None
    operation: Operation

    @property
    def name(self) -> str:
        """The name by which charters choose this protocol."""
        return str(self.parameters.__struct_config__.tag)

    @property
    def sends_messages(self) -> bool:
        """Whether nodes say anything to each other."""
        return self.messages is not None

    def find(self, reference: Reference) -> Any:
        """What `reference` names; its module is imported now."""
        module, _, attribute = reference.partition(":")
        return getattr(import_module(f"{self.package}.{module}"), attribute)

    def _asked(self, reference: Reference | None, otherwise: R, *given: object) -> R:
        """What the function that is named says of what it is given; `otherwise` if there is
        none."""
        if reference is None:
            return otherwise
        answer: R = self.find(reference)(*given)
        return answer

    def make_cast(self, casting: Casting[P]) -> Cast:
        """A role for every node, all of them honest.

        Raises:
          CharterError: the protocol needs more parties than these.
        """
        cast: Cast = self.find(self.cast)(casting)
        return cast

    def message_types(self) -> tuple[type[Message], ...]:
        """Every type that its nodes send.

        Raises:
          LocalError: one of them does not state what it has to, see `protocol_messages`.
        """
        return protocol_messages(*self.find(self.messages)) if self.messages else ()

    def messages_per_round(
        self, charter_tables: CharterTables[P], parties: int, dimension: int
    ) -> dict[str, tuple[int, int]]:
        """Messages and bytes by message type that one fault-free round takes."""
        return self._asked(self.traffic, {}, charter_tables, parties, dimension)

    def largest_extra_bytes(self) -> int:
        """Room for a message beyond what the model's size asks for."""
        return 0 if self.extra_message_bytes is None else int(self.find(self.extra_message_bytes))

    def account_of(
        self,
        charter_tables: CharterTables[P],
        party: PartyId,
        privacy: OwnPrivacy | None,
        load: Callable[[type[Any]], Any],
        dimension: int,
    ) -> Account:
        """What `party` knows of itself after a run."""
        nothing = Account(PartyPrivacy(party=party, mechanism="none"))
        return self._asked(self.account, nothing, charter_tables, party, privacy, load, dimension)

    def privacy_expected(
        self, charter_tables: CharterTables[P], party: PartyId, dimension: int
    ) -> PrivacyRecord | None:
        """What the charter's noise comes to for a party that contributes in every round."""
        return self._asked(self.expected_privacy, None, charter_tables, party, dimension)

    def notes_of_check(
        self,
        charter_tables: CharterTables[P],
        parties: Sequence[PartyId],
        dimension: int,
        charter: str,
    ) -> Iterable[str]:
        """What `troth check` says besides.

        Raises:
          CharterError: what can be known only now is not what the charter asks for.
        """
        return self._asked(self.check_notes, (), charter_tables, parties, dimension, charter)

    def notes_of_simulation(
        self, agreed: Agreed[P], brought: Brought | None, simulated: Simulated
    ) -> Iterable[str]:
        """What a reader of a simulated run must know about what stands in for what."""
        return self._asked(self.simulation_notes, (), agreed, brought, simulated)

    def bring_to_simulation(self, agreed: Agreed[P], simulated: Simulated) -> Brought | None:
        """What all nodes of a simulation bring.

        Raises:
          CharterError: it cannot be made as the charter asks.
        """
        maker = None if self.brings is None else self.brings.simulated
        return self._asked(maker, None, agreed, simulated)


NOISELESS = ("whose parties add no noise", None)
"""For `Protocol.own_privacy`: neither charter nor parties add noise."""


def everybody(_: Table, parties: int) -> int:
    """For `Protocol.asked`: all parties are at work in each round."""
    return parties


def nobody_waits(_: Table, __: int) -> None:
    """For `Protocol.waits`: no round waits for anything."""


def counted(
    kinds: Sequence[type[Message]], sent: Iterable[tuple[Message, int]]
) -> dict[str, tuple[int, int]]:
    """For what `Protocol.traffic` names: by name of the type, how many messages are sent, and how
    many bytes all of these have as the codec encodes them.

    Args:
      kinds: all types of the protocol.
      sent: a message of each type, and how often it is sent; what is never sent is left out.
    """
    codec = Codec(kinds)
    return {
        type(message).__name__: (count, count * len(codec.encode(message)))
        for message, count in sent
        if count
    }
