"""What server and party of `federated` decide: pure functions.

Source: McMahan et al., "Communication-efficient learning of deep networks from decentralized data",
AISTATS 2017, algorithm 1. K clients, C the fraction of them that is asked, S_t those of round t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.learning.apply import apply_update
from troth.learning.results import finite, quiet
from troth.learning.training import Training
from troth.protocols.federated.messages import Update
from troth.protocols.federated.parameters import Federated, asked_per_round
from troth.records import Rejection
from troth.streams import Stream
from troth.wire import Float32s

MAX_EXAMPLES = 2**31 - 1
"""Largest number of examples a party may claim."""


class ServerState(msgspec.Struct, frozen=True):
    """What the server saves after each round. `round` is the last one that is over, 0 before the
    first; `params_D` the model after it, and `velocity_D` its momentum's velocity, shape (D,)."""

    round: Round
    params_D: Float32s
    velocity_D: Float32s


class PartyState(msgspec.Struct, frozen=True):
    """The last answer that a party saved, so that a repeated question gets the same one, and the
    velocity, shape (D,), that its next local update goes on with."""

    round: Round
    update_D: Float32s
    examples: int
    velocity_D: Float32s | None


def begin(params_D: Float32s) -> ServerState:
    """The server's state before round 1, with the model `params_D`, shape (D,)."""
    return ServerState(Round(0), params_D, np.zeros_like(params_D))


def choose_parties(
    parties: Sequence[NodeId], participation: float, round: Round, stream: Stream
) -> tuple[NodeId, ...]:
    """S_t, a random set of max(C * K, 1) clients, in the order of `parties`.

    Args:
      participation: C.
      stream: the server's stream; the round names what is drawn from it.
    """
    count = asked_per_round(len(parties), participation)
    if count >= len(parties):
        return tuple(parties)
    generator = stream.child("participation", round).generator()
    chosen = generator.choice(len(parties), size=count, replace=False)
    return tuple(parties[index] for index in sorted(chosen.tolist()))


class VerifiedUpdate(msgspec.Struct, frozen=True):
    """An update that has the model's shape and holds only finite numbers."""

    update_D: Float32s
    examples: int


def verify_update(update: Update, *, sender: NodeId, dimension: int) -> VerifiedUpdate:
    """The update, if it can be used at all. Whether it is honest is the aggregation rule's concern.

    Args:
      dimension: D.

    Raises:
      PeerError: wrong length, a number that is not finite, or an impossible number of examples; the
        culprit is `sender`.
    """
    if update.update_D.shape != (dimension,):
        raise PeerError(
            f"sent an update of {update.update_D.size} values instead of {dimension}",
            culprits=(sender,),
        )
    if not finite(update.update_D):
        raise PeerError("sent an update that is not finite", culprits=(sender,))
    if not 1 <= update.examples <= MAX_EXAMPLES:
        raise PeerError(
            f"claims {update.examples} examples, outside 1..{MAX_EXAMPLES}", culprits=(sender,)
        )
    return VerifiedUpdate(update.update_D, update.examples)


def sort_updates(
    messages: Mapping[NodeId, Update], dimension: int
) -> tuple[dict[NodeId, VerifiedUpdate], list[Rejection]]:
    """The updates that can be used, in ascending order of party, and why the others cannot."""
    usable: dict[NodeId, VerifiedUpdate] = {}
    rejected: list[Rejection] = []
    with quiet():
        for party in sorted(messages):
            try:
                usable[party] = verify_update(messages[party], sender=party, dimension=dimension)
            except PeerError as error:
                rejected.append(Rejection(node=party, reason=error.message))
    return usable, rejected


def apply(
    state: ServerState, aggregate_D: Float32s, training: Training, parameters: Federated
) -> ServerState:
    """The server's state after the round, whose model has moved by the aggregate times
    `server_learning_rate`.

    Args:
      aggregate_D: what the rule has made of the round's updates, shape (D,).
    """
    round = Round(state.round + 1)
    scaled_D = np.float32(parameters.server_learning_rate) * aggregate_D
    params_D, velocity_D = apply_update(
        state.params_D, scaled_D, state.velocity_D, training=training, round=round
    )
    return ServerState(round, params_D, velocity_D)
