"""What curator, broker and providers say to each other.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019,
table 2. `Leave`, `Status`, `Fetch` and `Delivery` are ours.

| question             | answer                    |
|----------------------|---------------------------|
| `Curate`             | `Curated`, `Refused`      |
| `Join`               | `Admission`, `Refused`    |
| `Solve`              | `Joined`, `Refused`       |
| `GradientUpdate`     | `Next`, `Refused`         |
| `Leave`              | `Left`, `Refused`         |
| `Status`             | `Progress`, `Refused`     |
| `Fetch`              | `Delivered`, `Refused`    |
| `Delivery`           | `Progress`, `Refused`     |

An answer's `to` says which question it answers. Every question may be asked again: it gets the same
answer, and nothing is done twice. At the end come `Finished` to providers and `Delivered` to the
curator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np

from troth.crypto.digest import Digest
from troth.crypto.puzzles import Puzzle, Solution
from troth.crypto.signatures import SIGNATURE_BYTES
from troth.ids import Round
from troth.roles.messages import (
    MAX_CHARTER_BYTES,
    Answer,
    AnswerStatus,
    Question,
    protocol_messages,
)
from troth.specification import MAX_MODEL_ID, ModelId
from troth.wire import Float32s

MAX_REASON = 300
"""The most characters of a reason that a broker gives."""

NOTHING = np.zeros(0, np.float32)
NOTHING.setflags(write=False)

Key = Digest
"""An Ed25519 public key. A provider's is its pseudonym: a fresh one for each time it joins, unless
the charter lists who may."""
Token = Digest
"""32 bytes that name a connection: whoever knows them may send updates on it."""
Nonce = Digest
"""32 bytes that name a puzzle."""
Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Version = Annotated[int, msgspec.Meta(ge=0)]
"""t of M_t: how often the model has changed."""
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
StatedEpsilon = Annotated[float, msgspec.Meta(gt=0)]
"""The epsilon that a provider states: its budget, or infinite without noise. The provider's word is
all that the broker has."""


class Curated(Answer, frozen=True):
    """Broker to curator: a broker for this model is ready at `address`."""

    to: ModelId
    address: str


class Admission(Answer, frozen=True):
    """Broker to provider: P_admit, the puzzle to solve before joining. It says which
    provider it is for."""

    puzzle: Puzzle


class Joined(Answer, frozen=True):
    """Broker to provider: you have joined. The answer holds the connection's token (the paper's
    conn), the model M_t of shape (D,), and the puzzle for the first update; `to` is the nonce of
    the admission puzzle."""

    to: Nonce
    token: Token
    version: Version
    params_D: Float32s
    puzzle: Puzzle

    @property
    def place(self) -> bytes:
        """The connection's token, as in every update on it."""
        return self.token


class Next(Answer, frozen=True):
    """Broker to provider: your update was accepted. The answer holds the model M_{g,t+1} of shape
    (D,), and the next puzzle P_{i,t+1}; `to` is the nonce of the puzzle that the update solved."""

    to: Nonce
    version: Version
    params_D: Float32s
    puzzle: Puzzle


class Refused(Answer, frozen=True):
    """Broker to whoever asked: the question is refused, or the update was rejected, for `reason`.

    With a puzzle, which is the next one, the connection goes on; without one, there is none.
    `to` names the question: the provider's key, a nonce, a token, or the model id. `final` says
    that asking again would not help. `params_D` is None where no puzzle comes.
    """

    to: Annotated[bytes, msgspec.Meta(max_length=MAX_MODEL_ID)]
    reason: Reason
    final: bool = False
    version: Version = 0
    params_D: Float32s | None = None
    puzzle: Puzzle | None = None

    def __post_init__(self) -> None:
        # Raised while it is decoded, this becomes the sender's error.
        if (self.puzzle is None) != (self.params_D is None):
            raise ValueError("a refusal brings a puzzle and a model, or neither")

    @property
    def status(self) -> AnswerStatus:
        """What this comes to: rejected where the next puzzle comes with it; otherwise refused, for
        good or for now."""
        if self.puzzle is not None:
            return AnswerStatus.REJECTED
        return AnswerStatus.FOR_GOOD if self.final else AnswerStatus.UNPROCESSABLE


class Left(Answer, frozen=True):
    """Broker to provider: the connection of this token is closed."""

    to: Token


class Progress(Answer, frozen=True):
    """Broker to whoever asked: the last round that is over, the version of the model, and how many
    providers are connected."""

    round: Round
    version: Version
    providers: int


class Finished(Answer, frozen=True):
    """Broker to providers: training is over. The model is empty unless the charter hands it out."""

    model_id: ModelId
    version: Version
    params_D: Float32s

    @property
    def status(self) -> AnswerStatus:
        """What this comes to, whatever was asked: the training is over."""
        return AnswerStatus.OVER


class Delivered(Answer, frozen=True):
    """Broker to curator: the trained model."""

    model_id: ModelId
    version: Version
    params_D: Float32s


REFUSED: Mapping[AnswerStatus, type[Answer]] = {
    AnswerStatus.FOR_GOOD: Refused,
    AnswerStatus.UNPROCESSABLE: Refused,
    AnswerStatus.OVER: Finished,
}
"""The answers that any question may get in the place of its own: refused, or training is over."""


class Curate(Question, frozen=True):
    """Curator: run a broker for this charter, whose digest `model_id` is.

    The charter and the validation set travel with it, unless the broker has them from elsewhere, as
    in a simulation; then all of `charter`, `shape`, `x_NF` and `y_N` are empty.
    """

    answered_by = {AnswerStatus.ANSWERED: Curated, **REFUSED}

    curator: Key
    signature: Signature
    """The curator's signature of `joining.curated_text`."""
    charter: Annotated[bytes, msgspec.Meta(max_length=MAX_CHARTER_BYTES)] = b""
    """The charter's text, canonical JSON."""
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1)], ...], msgspec.Meta(max_length=8)
    ] = ()
    """The shape of the features of one validation row."""
    outputs: Annotated[int, msgspec.Meta(ge=0, le=2**16)] = 0
    """How many classes C there are; 1 for regression."""
    x_NF: Float32s = NOTHING
    """The features of N validation rows, one row after another, as one vector of shape (N * F,)."""
    y_N: Float32s = NOTHING
    """The classes of the rows, counted from 0, or their targets, shape (N,)."""


class Join(Question, frozen=True):
    """Provider: give me a puzzle whose solution lets me join."""

    answered_by = {AnswerStatus.ANSWERED: Admission, **REFUSED}

    provider: Key
    """The public key that the provider will be known by."""

    @property
    def pseudonym(self) -> bytes:
        """The key that the provider goes by from now on: one for each time it joins."""
        return self.provider


class Solve(Question, frozen=True):
    """Provider: here is the solution to the puzzle you gave me for joining."""

    answered_by = {AnswerStatus.ANSWERED: Joined, **REFUSED}
    is_paid = True

    puzzle: Puzzle
    """P_admit, as the broker gave it."""
    solution: Solution
    """S_admit, the solution of that puzzle."""
    signature: Signature
    """The signature of the puzzle's challenge by the provider's key."""

    @property
    def place(self) -> bytes:
        """The puzzle's nonce: with another solution or signature it is the same place. Once it is
        answered, the place is that of `Joined`."""
        return self.puzzle.nonce


class GradientUpdate(Question, frozen=True):
    """Provider: an update, as `Training.update` says, computed from model `version`."""

    answered_by = {AnswerStatus.ANSWERED: Next, AnswerStatus.REJECTED: Refused, **REFUSED}
    is_paid = True
    action = "update"

    token: Token
    nonce: Nonce
    """Names the puzzle that `solution` solves."""
    solution: Solution
    """S_{i,t}, the solution of that puzzle."""
    version: Version
    """Version of the model that the update was computed from."""
    update_D: Float32s
    """Delta_{i,t}, the update, shape (D,)."""
    epsilon: StatedEpsilon | None = None
    """The provider's epsilon, stated where the charter asks for one; None elsewhere."""

    @property
    def place(self) -> bytes:
        """The connection's token."""
        return self.token


class Leave(Question, frozen=True):
    """Provider: I will send no more."""

    answered_by = {AnswerStatus.ANSWERED: Left, **REFUSED}

    token: Token


class Status(Question, frozen=True):
    """Anybody: how far are you?"""

    answered_by = {AnswerStatus.ANSWERED: Progress, **REFUSED}


class Fetch(Question, frozen=True):
    """Curator: give me the model, as soon as it is trained."""

    answered_by = {AnswerStatus.ANSWERED: Delivered, **REFUSED}

    signature: Signature
    """The signature of `joining.addressed_text` by the key that has curated the model."""


class Delivery(Question, frozen=True):
    """Curator: I have the model."""

    answered_by = {AnswerStatus.ANSWERED: Progress, **REFUSED}

    signature: Signature
    """The signature of `joining.addressed_text` by the key that has curated the model."""


def subject(question: Question) -> bytes:
    """What answers name as `to`, so that a question is told from an earlier one."""
    match question:
        case Join(provider=named) | GradientUpdate(nonce=named) | Leave(token=named):
            return named
        case Solve(puzzle=puzzle):
            return puzzle.nonce
    return question.model_id.encode()


QUESTIONS = (Curate, Join, Solve, GradientUpdate, Leave, Status, Fetch, Delivery)
ANSWERS = (Curated, Admission, Joined, Next, Refused, Left, Progress)
MESSAGES = protocol_messages(*QUESTIONS, *ANSWERS, Finished, Delivered)
