"""What the broker decides about who comes and goes: deploying, joining, leaving.

Pure functions: they return the broker's next state. A question that cannot be answered raises
`PeerError`, and the state stays as it is. The paper's words stand above the lines that do them.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import msgspec
import numpy as np

from troth.crypto import signatures
from troth.crypto.puzzles import Puzzle, check_issued, check_solution, issue, model_digest
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.tormentor.messages import (
    Admission,
    Curate,
    Delivery,
    Fetch,
    Join,
    Solve,
)
from troth.protocols.tormentor.parameters import AllowList
from troth.protocols.tormentor.state import BrokerState, Connection, Deposit, Plan, Record, Secret

CURATE = "curate"
FETCH = "fetch"
DELIVERY = "delivery"
JOIN = "join"
"""What a signature or puzzle is for; it is bound into each, so that none can stand for another."""

MAX_CONNECTIONS = 10_000
"""The most providers that one broker admits at a time. Each has paid for its place with an
admission puzzle, and is written to the disk with every save."""


MAX_SPENT = 100_000
"""The most used admission puzzles that a broker remembers until they expire. Each has cost work;
while there are so many, nobody else is admitted."""


MAX_RECORDS = 10_000
"""The most pseudonyms without a connection of which a broker remembers how they behaved. Beyond it
the one with the lowest difficulty is forgotten, so nobody gains by having others forgotten."""


class FinalError(PeerError):
    """The broker refuses a question, and would refuse it again whenever it is asked."""


def check_model(plan: Plan, model_id: str, *, sender: NodeId) -> None:
    """Check that the question is about the model that this broker trains.

    Raises:
      FinalError: it is about another model; the culprit is `sender`.
    """
    # TorMentor, section 5.1: "For each model defined by a curator, a single broker is created".
    if model_id != plan.model_id:
        raise FinalError("asked for a model that does not exist here", culprits=(sender,))


def check_deployment(plan: Plan, curate: Curate, *, sender: NodeId) -> None:
    """Check that the charter is signed, by a curator that may deploy here.

    Raises:
      FinalError: the curator is not on the charter's list, or the signature is not the curator's;
        the culprit is `sender`.
    """
    # TorMentor, table 1, deployment verifier, "External auth".
    # Differs from the paper: a signed charter takes the place of a "Smart contract deployment",
    # because the curator and the broker need nobody else to agree on it.
    allowed = plan.parameters.curators
    if allowed and curate.curator.hex() not in allowed:
        raise FinalError("signed by a curator who is not on the list", culprits=(sender,))
    check_signed(curate, sender=sender)


def curated_text(model_id: str, deposit: Deposit) -> bytes:
    """What a curator signs: the SHA-256 digest, 32 bytes, of the model id, the charter, and the
    validation set that goes with it."""
    # TorMentor, section 5.1: the curator bootstraps "a new model by defining a common learning
    # objective: the model type, the desired training interface and a RONI validation dataset".
    parts = (
        model_id.encode(),
        deposit.charter,
        np.asarray((*deposit.shape, deposit.outputs), "<i8").tobytes(),
        deposit.x_NF.tobytes(),
        deposit.y_N.tobytes(),
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def curation(model_id: str, key: signatures.SigningKey, deposit: Deposit) -> Curate:
    """The signed question by which a curator deploys its broker."""
    # TorMentor, table 2, curate: "Curate a new model. Curator provides modelID, and validation
    # set."
    # Differs from the paper: modelID is the charter's digest, and the curator signs, because the
    # broker could otherwise be given another objective in the curator's name.
    signature = key.sign(CURATE, curated_text(model_id, deposit))
    return Curate(model_id, key.public, signature, **msgspec.structs.asdict(deposit))


def deposit_of(curate: Curate) -> Deposit:
    """The charter and the validation set that a curator's question carries."""
    return Deposit(**{name: getattr(curate, name) for name in Deposit.__struct_fields__})


def check_signed(curate: Curate, *, sender: NodeId) -> None:
    """Check that the charter and the validation set are those that the curator has signed.

    Raises:
      FinalError: they are not; the culprit is `sender`.
    """
    text = curated_text(curate.model_id, deposit_of(curate))
    _check_signature(curate.curator, CURATE, text, curate.signature, sender)


def addressed_text(plan: Plan) -> bytes:
    """What a curator signs to fetch its model, or to say that it has come: which broker is asked,
    and for which model. Whoever is sent it can show it to no other broker of the same model."""
    return f"{plan.broker}\0{plan.model_id}".encode()


def check_curator(
    state: BrokerState, plan: Plan, asked: Fetch | Delivery, *, sender: NodeId
) -> None:
    """Check that whoever asks for the model, or says that it has come, is its curator.

    Raises:
      FinalError: the question is not signed, for this broker, by the key that has curated the
        model; the culprit is `sender`.
    """
    purpose = FETCH if isinstance(asked, Fetch) else DELIVERY
    _check_signature(state.curator, purpose, addressed_text(plan), asked.signature, sender)


def _check_signature(
    curator: bytes, purpose: str, text: bytes, signature: bytes, sender: NodeId
) -> None:
    try:
        signatures.verify(curator, purpose, text, signature, signer=sender)
    except PeerError as error:
        raise FinalError(error.message, culprits=(sender,)) from None


def begin(
    plan: Plan, secret: Secret, curator: bytes, curated_for: NodeId, now_s: float
) -> BrokerState:
    """The state of a broker whose model is curated and that nobody has joined.

    Args:
      curator: the public key that has signed the charter.
      curated_for: the node that is told that the broker runs.
      now_s: when this is, on the broker's clock.
    """
    return BrokerState(
        secret,
        plan.initial_D,
        np.zeros(len(plan.initial_D) if plan.has_momentum else 1, np.float32),
        now_s,
        curator=curator,
        curated_for=curated_for,
    )


def sent(state: BrokerState) -> BrokerState:
    """The broker's state once everything in `outbox` and `departures` has been sent."""
    return msgspec.structs.replace(state, curated_for=None, outbox=(), departures=())


def check_authorised(plan: Plan, provider: bytes, *, sender: NodeId) -> None:
    """Check that the provider's key is on the allow list, where the charter has one.

    Raises:
      FinalError: the key is not on the list; the culprit is `sender`.
    """
    # TorMentor, table 1, provider verifier, "External auth"; section 3, against sybils: "This can
    # either be performed with external authorization or through other sybil-resilient mechanisms".
    for verifier in plan.parameters.verifiers:
        if isinstance(verifier, AllowList) and provider.hex() not in verifier.keys:
            raise FinalError("joins with a key that is not on the allow list", culprits=(sender,))


def admission(state: BrokerState, plan: Plan, join: Join, *, sender: NodeId) -> Admission:
    """The puzzle P_admit that a provider has to solve before it may join: P_admit <- join(mID).

    The broker keeps nothing, so a flood of these costs it no memory; asked twice about one state of
    the model, it gives the same puzzle.

    Raises:
      FinalError: as `check_authorised`.
    """
    # TorMentor, table 2, join: "Provider provides modelID; TorMentor returns a SHA-256 admission
    # hash puzzle".
    # Differs from the paper: `to_join` makes the admission puzzle harder than that of an update,
    # because at one price a rejected provider gains by coming back as somebody else.
    check_authorised(plan, join.provider, sender=sender)
    return Admission(admission_puzzle(state, plan, join.provider))


def admission_puzzle(state: BrokerState, plan: Plan, provider: bytes) -> Puzzle:
    """The puzzle with which the provider of this public key may join, as the model is now."""
    return issue(
        state.secret.key,
        JOIN,
        model_id=plan.model_id,
        provider=provider,
        round=state.round,
        model_digest=model_digest(state.params_D),
        difficulty=plan.parameters.to_join,
    )


def token_of(secret: Secret, nonce: bytes) -> bytes:
    """The token of the connection that the admission puzzle of this nonce is good for; 32 bytes.

    It names one life of one provider: a puzzle is used once, and no two puzzles have one nonce.
    """
    return hmac.digest(secret.key, b"troth-token\0" + nonce, "sha256")


def admit(
    state: BrokerState, plan: Plan, solve: Solve, *, sender: NodeId, now_s: float
) -> BrokerState | Connection:
    """Admit a provider that has solved its puzzle: conn, M_t <- solve(mID, S_admit).

    Args:
      now_s: when this is, on the broker's clock.

    Returns:
      The state with a new connection, whose answer is held back, in the place of an older one of
      the same pseudonym; or, asked again, the connection that this puzzle has made already.

    Raises:
      PeerError: a puzzle that is not ours, has expired or was used, a wrong solution or signature,
        or no room.
    """
    # TorMentor, table 1, provider verifier: "Proof of work [3]"; section 5: "a cryptographic proof
    # of work puzzle [3] that providers are required to solve before joining the system and again
    # when submitting model updates"; of the latter see `steps.check_update`.
    puzzle, parameters = solve.puzzle, plan.parameters
    check_issued(state.secret.key, JOIN, puzzle, sender=sender)
    token = token_of(state.secret, puzzle.nonce)
    known = state.connections.get(token)
    if (known is not None and known.updates > 0) or (known is None and puzzle.nonce in state.spent):
        raise PeerError("sent an admission puzzle that was used already", culprits=(sender,))
    if known is None:
        _check_fresh(state, plan, puzzle.round, sender=sender)
    # What follows is proven each time: the answer holds the token, so whoever asks again without
    # proof would be let in.
    check_authorised(plan, puzzle.provider, sender=sender)
    check_solution(
        parameters.puzzle, puzzle, solve.solution, ground_up_to=plan.ground_up_to, sender=sender
    )
    # Differs from the paper: the provider also signs the puzzle with the key of its pseudonym,
    # because an allow list could otherwise be passed with somebody else's public key: `Join` proves
    # nothing, and gives the same puzzle to whoever names that key.
    signatures.verify(puzzle.provider, JOIN, puzzle.challenge(), solve.signature, signer=sender)
    if known is not None:
        return known
    # A pseudonym goes on where it was: it would otherwise shed its difficulty and its probation by
    # joining once more.
    for other in state.connections.values():
        if other.provider == puzzle.provider:
            state = leave(state, other.token)
    record = state.records.get(puzzle.provider, Record(parameters.difficulty, 0, 0))
    if len(state.connections) >= MAX_CONNECTIONS:
        raise PeerError(f"came when {MAX_CONNECTIONS} providers were here", culprits=(sender,))
    # TorMentor, section 5.2: "Once the proof-of-work is completed, the provider is accepted as a
    # contributor to the model."
    spent = {
        nonce: round
        for nonce, round in state.spent.items()
        if state.round - round <= parameters.puzzle_rounds
    }
    if len(spent) >= MAX_SPENT:
        raise PeerError(f"came when {MAX_SPENT} puzzles were used lately", culprits=(sender,))
    connection = Connection(
        token=token,
        provider=puzzle.provider,
        node=sender,
        name=plan.name_of(sender, puzzle.provider),
        admitted_by=puzzle.nonce,
        difficulty=record.difficulty,
        used=puzzle.nonce,
        proven=record.proven,
        life=state.gone,
        clock=max(slowest(state.connections), record.clock),
        turn_s=now_s,
    )
    return msgspec.structs.replace(
        state,
        connections=state.connections | {token: connection},
        spent=spent | {puzzle.nonce: Round(puzzle.round)},
        records={who: kept for who, kept in state.records.items() if who != puzzle.provider},
    )


def _check_fresh(state: BrokerState, plan: Plan, round: int, *, sender: NodeId) -> None:
    if state.round - round > plan.parameters.puzzle_rounds:
        raise PeerError(
            f"solved a puzzle of round {round} in round {state.round}, past "
            f"puzzle_rounds = {plan.parameters.puzzle_rounds}",
            culprits=(sender,),
        )


def slowest(connections: Mapping[bytes, Connection]) -> int:
    """The clock of the connection that has had the fewest updates answered; 0 without any."""
    return min((connection.clock for connection in connections.values()), default=0)


def leave(state: BrokerState, token: bytes) -> BrokerState:
    """The broker's state without this connection; a pending update of it goes with it, and its
    record is kept for when its pseudonym comes back."""
    # TorMentor, section 5.3: "Providers are free to leave the training process at any time."
    kept = {other: c for other, c in state.connections.items() if other != token}
    gone = state.connections[token]
    records = state.records | {gone.provider: Record(gone.difficulty, gone.proven, gone.clock)}
    if len(records) > MAX_RECORDS:
        del records[min(records, key=lambda provider: records[provider].difficulty)]
    return msgspec.structs.replace(state, connections=kept, gone=state.gone + 1, records=records)
