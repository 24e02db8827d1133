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

from typing import Annotated

import msgspec
import numpy as np

from troth.crypto.digest import Digest
from troth.crypto.puzzles import MAX_MODEL_ID, ModelId, Puzzle, Solution
from troth.crypto.signatures import SIGNATURE_BYTES
from troth.ids import Round
from troth.wire import Float32s, Message

MAX_REASON = 300

MAX_CHARTER_BYTES = 2**20

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


class Question(Message, frozen=True):
    """Anything a broker is asked."""

    model_id: ModelId


class Curate(Question, frozen=True):
    """Curator: run a broker for this charter, whose digest `model_id` is.

    The charter and the validation set travel with it, unless the broker has them from elsewhere, as
    in a simulation; then all of `charter`, `shape`, `x_NF` and `y_N` are empty.
    """

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

    provider: Key


class Solve(Question, frozen=True):
    """Provider: here is the solution to the puzzle you gave me for joining."""

    puzzle: Puzzle
    solution: Solution
    signature: Signature
    """Of the puzzle's challenge, by the provider's key."""


class GradientUpdate(Question, frozen=True):
    """Provider: an update, as `Training.update` says, computed from model `version`."""

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

    token: Token


class Status(Question, frozen=True):
    """Anybody: how far are you?"""


class Fetch(Question, frozen=True):
    """Curator: give me the model, as soon as it is trained."""

    signature: Signature
    """Of the model id, by the key that has curated it."""


class Delivery(Question, frozen=True):
    """Curator: I have the model."""

    signature: Signature
    """Of the model id, by the key that has curated it."""


class Answer(Message, frozen=True):
    """Anything a broker answers."""


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


class Left(Answer, frozen=True):
    """The connection is closed."""

    to: Token


class Progress(Answer, frozen=True):
    """How far the training is."""

    round: Round
    version: Version
    providers: int


class Finished(Message, frozen=True):
    """Broker to providers: training is over. The model is empty unless the charter hands it out."""

    model_id: ModelId
    version: Version
    params_D: Float32s


class Delivered(Message, frozen=True):
    """Broker to curator: the trained model."""

    model_id: ModelId
    version: Version
    params_D: Float32s


QUESTIONS = (Curate, Join, Solve, GradientUpdate, Leave, Status, Fetch, Delivery)
ANSWERS = (Curated, Admission, Joined, Next, Refused, Left, Progress)
MESSAGES = (*QUESTIONS, *ANSWERS, Finished, Delivered)
