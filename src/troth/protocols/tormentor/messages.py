"""What curator, broker and providers say to each other (table 2 of the paper).

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
from troth.ids import MAX_MODEL_ID, ModelId, Round
from troth.roles.messages import (
    MAX_CHARTER_BYTES,
    Answer,
    AnswerStatus,
    Question,
    protocol_messages,
)
from troth.wire import Float32s

MAX_REASON = 300

NOTHING = np.zeros(0, np.float32)
NOTHING.setflags(write=False)

Key = Digest
"""An Ed25519 public key. A provider's is its pseudonym: a fresh one for each time it joins, unless
the charter lists who may."""
Token = Digest
"""Names a connection; who knows it may send updates on it."""
Nonce = Digest
Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Version = Annotated[int, msgspec.Meta(ge=0)]
"""t of M_t: how often the model has changed."""
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
StatedEpsilon = Annotated[float, msgspec.Meta(gt=0)]
"""A provider's budget, infinite without noise. Its word for it is all there is."""


class Curated(Answer, frozen=True):
    """A broker for this model is ready at `address`."""

    to: ModelId
    address: str


class Admission(Answer, frozen=True):
    """P_admit; the puzzle says for whom it is."""

    puzzle: Puzzle


class Joined(Answer, frozen=True):
    """conn, M_t, and the puzzle for the first update. `to` is the admission puzzle's nonce."""

    to: Nonce
    token: Token
    version: Version
    params_D: Float32s
    puzzle: Puzzle


class Next(Answer, frozen=True):
    """The update was accepted. M_{g,t+1}, P_{i,t+1}; `to` is the nonce of the puzzle solved."""

    to: Nonce
    version: Version
    params_D: Float32s
    puzzle: Puzzle


class Refused(Answer, frozen=True):
    """It was not. With a puzzle, the connection goes on; without one, there is none.

    `params_D` is empty where no puzzle comes, or where the asker has the model already. `final`:
    asking again would not help.
    """

    to: Annotated[bytes, msgspec.Meta(max_length=MAX_MODEL_ID)]
    reason: Reason
    final: bool = False
    version: Version = 0
    params_D: Float32s | None = None
    puzzle: Puzzle | None = None

    @property
    def status(self) -> AnswerStatus:
        """Rejected with a puzzle; refused, for good or for now, without one."""
        if self.puzzle is not None:
            return AnswerStatus.REJECTED
        return AnswerStatus.FOR_GOOD if self.final else AnswerStatus.UNPROCESSABLE


class Left(Answer, frozen=True):
    """The connection is closed."""

    to: Token


class Progress(Answer, frozen=True):
    """How far the training is."""

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
        """Whatever was asked: the training is over."""
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
"""How any question may be answered that is not answered as it was meant."""


class Curate(Question, frozen=True):
    """Curator: run a broker for this charter, whose digest `model_id` is.

    The charter and the validation set travel with it, unless the broker has them from elsewhere, as
    in a simulation; then all of `charter`, `shape`, `x_NF` and `y_N` are empty.
    """

    answered_by = {AnswerStatus.ANSWERED: Curated, **REFUSED}

    curator: Key
    signature: Signature
    """Of `joining.curated_text`, by `curator`."""
    charter: Annotated[bytes, msgspec.Meta(max_length=MAX_CHARTER_BYTES)] = b""
    """Canonical JSON."""
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1)], ...], msgspec.Meta(max_length=8)
    ] = ()
    """Of one validation row; `x_NF` is flat."""
    outputs: Annotated[int, msgspec.Meta(ge=0, le=2**16)] = 0
    """Classes C; 1 for regression."""
    x_NF: Float32s = NOTHING
    y_N: Float32s = NOTHING
    """Classes from 0, or targets."""


class Join(Question, frozen=True):
    """Provider: let me in."""

    answered_by = {AnswerStatus.ANSWERED: Admission, **REFUSED}

    provider: Key

    @property
    def pseudonym(self) -> bytes:
        """A provider has one for each time it joins."""
        return self.provider


class Solve(Question, frozen=True):
    """Provider: here is the solution to the puzzle you gave me for joining."""

    answered_by = {AnswerStatus.ANSWERED: Joined, **REFUSED}
    is_paid = True

    puzzle: Puzzle
    solution: Solution
    signature: Signature
    """Of the puzzle's challenge, by the provider's key."""


class GradientUpdate(Question, frozen=True):
    """Provider: an update, as `Training.update` says, computed from model `version`."""

    answered_by = {AnswerStatus.ANSWERED: Next, AnswerStatus.REJECTED: Refused, **REFUSED}
    is_paid = True
    action = "update"

    token: Token
    nonce: Nonce
    """Of the puzzle that `solution` solves."""
    solution: Solution
    version: Version
    update_D: Float32s
    epsilon: StatedEpsilon | None = None
    """Said where the charter asks for it, by `minimum_epsilon`, and nowhere else."""


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
    """Of the model id, by the key that has curated it."""


class Delivery(Question, frozen=True):
    """Curator: I have the model."""

    answered_by = {AnswerStatus.ANSWERED: Progress, **REFUSED}

    signature: Signature
    """Of the model id, by the key that has curated it."""


QUESTIONS = (Curate, Join, Solve, GradientUpdate, Leave, Status, Fetch, Delivery)
ANSWERS = (Curated, Admission, Joined, Next, Refused, Left, Progress)
MESSAGES = protocol_messages(*QUESTIONS, *ANSWERS, Finished, Delivered)
