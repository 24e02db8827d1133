"""What server and party of `dssgd` decide: pure functions.

Source: Shokri & Shmatikov, "Privacy-preserving deep learning", CCS 2015, sections 4.3 and 5,
figures 3 and 4. The model has D parameters; theta_u and theta_d are the shares of them that a party
uploads and downloads, tau the threshold and gamma the bound of what it uploads.
"""

from __future__ import annotations

import msgspec
import numpy as np

from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.dssgd.messages import Parameters, Upload
from troth.protocols.dssgd.parameters import DSSGD
from troth.records import Rejection
from troth.streams import Stream
from troth.wire import Float32s, UInt32s


class ServerState(msgspec.Struct, frozen=True):
    """What the server saves before it acknowledges an upload."""

    params_D: Float32s
    """The server's model, shape (D,)."""
    stat_D: UInt32s
    """How often each parameter was updated, shape (D,)."""
    turns: dict[NodeId, Round]
    """The last turn of each party whose upload was applied or refused."""
    uploads: int
    """How many uploads were applied."""
    position: int
    """How many turns are over: uploaded, refused or missed."""
    uploaders: list[NodeId]
    """Whose uploads were applied in the round that is not over yet, in order."""
    missing: list[NodeId]
    """Who let its turn pass in the round that is not over yet."""
    rejected: list[Rejection]
    """The uploads that were refused in the round that is not over yet."""
    idle: int
    """Deadlines and refused uploads in a row, without an upload that could be applied."""
    answer: tuple[NodeId, Round] | None = None
    """The party and turn to acknowledge, once this state is saved."""


class PartyState(msgspec.Struct, frozen=True):
    """What a party saves after each step: its own parameters, and the upload that is not
    acknowledged yet."""

    turn: Round
    """The last turn for which it has downloaded parameters; 0 before the first."""
    params_D: Float32s
    """The party's own parameters after its last training, shape (D,)."""
    pending: Upload | None
    """The upload that it sends until the server acknowledges it."""
    velocity_D: Float32s | None
    """The velocity of its local momentum, shape (D,); None where there is none."""


def begin(params_D: Float32s) -> ServerState:
    """The server's state before the first turn, with the model `params_D`, shape (D,)."""
    return ServerState(params_D, np.zeros(len(params_D), np.uint32), {}, 0, 0, [], [], [], 0)


def share(theta: float, dimension: int) -> int:
    """How many of D parameters the share theta is, rounded half up; at least one."""
    return max(1, int(theta * dimension + 0.5))


def offer(state: ServerState, party: NodeId, theta_d: float) -> Parameters:
    """What the server offers a party for its next turn: the theta_d * D parameters that were
    updated most often, ties to the lower index."""
    # Shokri & Shmatikov, figure 4, the answer to a download: the parameters with the largest
    # `stat`.
    turn = Round(state.turns.get(party, 0) + 1)
    count = share(theta_d, len(state.params_D))
    if count == len(state.params_D):
        return Parameters(turn, np.zeros(0, np.uint32), state.params_D)
    largest = np.argsort(-state.stat_D.astype(np.int64), kind="stable")[:count]
    indices = np.sort(largest).astype(np.uint32)
    return Parameters(turn, indices, state.params_D[indices])


def take_over(params_D: Float32s, parameters: Parameters) -> Float32s:
    """The party's parameters, shape (D,), with those that the server sent in their places."""
    # Shokri & Shmatikov, figure 3: download parameters, and replace one's own by them.
    if not len(parameters.indices):
        return parameters.values
    params_D = params_D.copy()
    params_D[parameters.indices] = parameters.values
    return params_D


def select(delta_D: Float32s, turn: Round, parameters: DSSGD, stream: Stream) -> Upload:
    """The part of a party's change of the model, shape (D,), that it uploads.

    `largest`: the theta_u * D largest in absolute value, ties to the lower index. `random`: a
    random subset of that size of those above tau in absolute value. Either is then clipped to
    [-gamma, gamma].
    """
    # Shokri & Shmatikov, figure 3: which gradients a participant uploads, and section 5: how they
    # are bounded by gamma and sampled above tau.
    count = share(parameters.upload, len(delta_D))
    size_D = np.abs(delta_D)
    if parameters.selection == "largest":
        chosen = np.argsort(-size_D, kind="stable")[:count]
    else:
        above = np.flatnonzero(size_D > parameters.threshold)
        generator = stream.child("selection", turn).generator()
        chosen = generator.choice(above, size=min(count, len(above)), replace=False)
    indices = np.sort(chosen).astype(np.uint32)
    values = delta_D[indices]
    if parameters.bound is not None:
        values = np.clip(values, -parameters.bound, parameters.bound)
    return Upload(turn, indices, values.astype(np.float32, copy=False))


def verify_upload(state: ServerState, upload: Upload, parameters: DSSGD, *, sender: NodeId) -> None:
    """Check that an upload is one this protocol allows.

    Raises:
      PeerError: not this party's turn, too many values, indices out of order or range, values not
        finite or above gamma; the culprit is `sender`.
    """
    dimension = len(state.params_D)

    def refuse(what: str) -> PeerError:
        return PeerError(f"sent an upload with {what}", culprits=(sender,))

    if upload.round != state.turns.get(sender, 0) + 1:
        raise refuse(f"turn {upload.round}, which it was not given")
    count = share(parameters.upload, dimension)
    if len(upload.indices) != len(upload.values):
        raise refuse(f"{len(upload.indices)} indices for {len(upload.values)} values")
    if len(upload.indices) > count:
        raise refuse(f"{len(upload.indices)} values, above theta_u * D = {count}")
    if len(upload.indices):
        if int(upload.indices[-1]) >= dimension:
            raise refuse(f"an index beyond D = {dimension}")
        if (np.diff(upload.indices.astype(np.int64)) <= 0).any():
            raise refuse("indices that do not ascend")
        if not np.isfinite(upload.values).all():
            raise refuse("values that are not finite")
        bound = parameters.bound
        if bound is not None and np.abs(upload.values).max() > np.float32(bound):
            raise refuse(f"values above gamma = {bound}")


def apply_upload(state: ServerState, upload: Upload, party: NodeId) -> ServerState:
    """The server's state after an upload for the parameters S: w_S <- w_S + delta_S, and
    stat_S <- stat_S + 1."""
    # Shokri & Shmatikov, figure 4, upon an upload.
    params_D, stat_D = state.params_D.copy(), state.stat_D.copy()
    params_D[upload.indices] += upload.values
    stat_D[upload.indices] += 1
    return msgspec.structs.replace(
        state,
        params_D=params_D,
        stat_D=stat_D,
        turns=state.turns | {party: upload.round},
        uploads=state.uploads + 1,
        position=state.position + 1,
        uploaders=[*state.uploaders, party],
        idle=0,
    )


def refuse_upload(state: ServerState, upload: Upload, error: PeerError) -> ServerState:
    """The server's state after an upload that breaks the protocol: the party's turn is used up, and
    nothing is applied.

    Args:
      error: what was wrong with it; its one culprit is the party.
    """
    (party,) = error.culprits
    applied = state.turns.get(party, Round(0))
    turns = state.turns | ({party: upload.round} if upload.round == applied + 1 else {})
    rejection = Rejection(node=party, reason=error.message)
    return msgspec.structs.replace(
        state,
        turns=turns,
        position=state.position + 1,
        rejected=[*state.rejected, rejection],
        idle=state.idle + 1,
    )


def pass_over(state: ServerState, party: NodeId | None) -> ServerState:
    """The server's state after a deadline without an upload. In a round robin the turn of `party`,
    whose it is, goes by; `party` is None in other orders."""
    state = msgspec.structs.replace(state, idle=state.idle + 1)
    if party is None:
        return state
    return msgspec.structs.replace(
        state, position=state.position + 1, missing=[*state.missing, party]
    )


def close_round(state: ServerState) -> ServerState:
    """The server's state once a round was reported: nothing has happened in the next one yet."""
    return msgspec.structs.replace(state, uploaders=[], missing=[], rejected=[])
