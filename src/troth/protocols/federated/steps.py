"""What server and party of `federated` decide: pure functions (McMahan et al. 2017, algorithm
1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.learning.apply import apply_update
from troth.learning.training import Training
from troth.protocols.federated.messages import Update
from troth.protocols.federated.parameters import Federated, asked_per_round
from troth.records import Rejection
from troth.streams import Stream
from troth.wire import Float32s

MAX_EXAMPLES = 2**31 - 1
"""Largest number of examples a party may claim."""


class ServerState(msgspec.Struct, frozen=True):
    """What the server must not forget. `round` is the last one that is over; 0 before the first."""

    round: Round
    params_D: Float32s
    velocity_D: Float32s


class PartyState(msgspec.Struct, frozen=True):
    """A party's last answer, so that a repeated question gets the same one."""

    round: Round
    update_D: Float32s
    examples: int
    velocity_D: Float32s | None


def begin(params_D: Float32s) -> ServerState:
    """The server before round 1."""
    return ServerState(Round(0), params_D, np.zeros_like(params_D))


def choose_parties(
    parties: Sequence[NodeId], participation: float, round: Round, stream: Stream
) -> tuple[NodeId, ...]:
    """S_t, a random set of max(C * K, 1) clients, in ascending order."""
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

    Raises:
      PeerError: wrong length, a number that is not finite, or an impossible number of examples.
    """
    if update.update_D.shape != (dimension,):
        raise PeerError(
            f"sent an update of {update.update_D.size} values instead of {dimension}",
            culprits=(sender,),
        )
    if not np.isfinite(update.update_D).all():
        raise PeerError("sent an update that is not finite", culprits=(sender,))
    if not 1 <= update.examples <= MAX_EXAMPLES:
        raise PeerError(
            f"claims {update.examples} examples, outside 1..{MAX_EXAMPLES}", culprits=(sender,)
        )
    return VerifiedUpdate(update.update_D, update.examples)


def sort_updates(
    messages: Mapping[NodeId, Update], dimension: int
) -> tuple[dict[NodeId, VerifiedUpdate], list[Rejection]]:
    """Which updates can be used, in ascending order of party, and why the others cannot."""
    usable: dict[NodeId, VerifiedUpdate] = {}
    rejected: list[Rejection] = []
    for party in sorted(messages):
        try:
            usable[party] = verify_update(messages[party], sender=party, dimension=dimension)
        except PeerError as error:
            rejected.append(Rejection(node=party, reason=error.message))
    return usable, rejected


def apply(
    state: ServerState, aggregate_D: Float32s, training: Training, parameters: Federated
) -> ServerState:
    """The model after the round; the aggregate counts `server_learning_rate` times."""
    round = Round(state.round + 1)
    scaled_D = np.float32(parameters.server_learning_rate) * aggregate_D
    params_D, velocity_D = apply_update(
        state.params_D, scaled_D, state.velocity_D, training=training, round=round
    )
    return ServerState(round, params_D, velocity_D)
