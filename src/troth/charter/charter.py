"""The charter: what all parties sign before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

import msgspec

from troth.data.spec import DataSpec
from troth.errors import CharterError
from troth.learning.spec import LossName, ModelSpec, TaskKind
from troth.learning.training import Training
from troth.privacy.spec import NoPrivacy
from troth.protocols.lookup import PRIVACY_TABLES, TABLES
from troth.protocols.protocol import CharterTables
from troth.specification import DIGEST_PATTERN, NAME_PATTERN, Count, Table

if TYPE_CHECKING:
    ProtocolSpec = Table
    CharterPrivacy = Table
else:
    # Of as many tables as there are protocols.
    ProtocolSpec = Union[TABLES]  # noqa: UP007
    CharterPrivacy = Union[PRIVACY_TABLES]  # noqa: UP007


class Task(Table, frozen=True, kw_only=True):
    """The `[task]` table: what is learnt from what."""

    kind: TaskKind
    """What is predicted: one of C classes, or a number."""
    data: DataSpec
    """The rows to train on and to test on."""
    model: ModelSpec
    """The model that is trained, one of the kinds that Troth builds or a class of your own."""
    loss: LossName | None = None
    """Absent: cross entropy for classification, squared error for regression."""


class Admission(Table, frozen=True, kw_only=True):
    """The `[admission]` table: who may take part."""

    policy: Literal["open", "allow_list"] = "open"
    """`allow_list` admits only the parties in `allow`."""
    allow: list[str] = msgspec.field(default_factory=list)
    """With `allow_list`: the names of the parties that may take part."""
    minimum_examples: Count = 1
    """A party with fewer examples is not admitted."""

    def check(self) -> None:
        if self.policy == "allow_list" and not self.allow:
            raise CharterError("is empty, so nobody may take part", key="allow", value=self.allow)
        if self.policy == "open" and self.allow:
            raise CharterError(
                'has no effect with policy = "open"',
                key="allow",
                value=self.allow,
                hint='set policy = "allow_list", or remove allow',
            )


class Extension(Table, frozen=True, kw_only=True):
    """The `[extension]` table: the code of a protocol that does not come with Troth. It need not be
    written: whoever loads the charter fills it in, and refuses a charter that names other code."""

    distribution: str
    """The name by which the code is installed."""
    version: str
    """The version of that distribution."""
    digest: Annotated[str, msgspec.Meta(pattern=DIGEST_PATTERN)]
    """Of all Python files of the protocol's package."""


class Charter(Table, frozen=True, kw_only=True):
    """Everything the parties agree on. Its digest is what they sign."""

    version: Literal[1] = 1
    """Of the format; another one may mean something else by the same keys."""
    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    """Names run folders and reports."""
    task: Task
    training: Training
    protocol: ProtocolSpec
    privacy: CharterPrivacy = NoPrivacy()
    """The noise that all parties agree on; what a party adds of its own stands in
    `[parties.privacy]`. Where `mechanism` is left out it is the protocol's usual one."""
    admission: Admission = Admission()
    extension: Extension | None = None

    added: ClassVar[frozenset[str]] = frozenset({"extension"})

    @property
    def charter_tables(self) -> CharterTables[Any]:
        """What the protocol has to know of the charter."""
        return CharterTables(parameters=self.protocol, privacy=self.privacy, training=self.training)
