"""The provider verifier of table 1: which computations judge an update, and what they say of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from troth.compute import Compute
from troth.protocols.tormentor import steps
from troth.protocols.tormentor.parameters import RONI, CallableVerifier, ShapleyValue, VerifierSpec
from troth.protocols.tormentor.state import CURATOR, BrokerState, Connection, Plan
from troth.robustness.roni import AskCallable, Influence, MeasureInfluence, Opinion
from troth.robustness.shapley import Value, ValueUpdate
from troth.streams import Stream
from troth.wire import Float32s

Finding = Influence | Value | Opinion


def examinations(
    state: BrokerState, plan: Plan, connection: Connection, update_D: Float32s
) -> Iterator[tuple[VerifierSpec, Compute[Any, Finding]]]:
    """What has to be computed to judge an update, in the order of the charter.

    Whether one is looked at is drawn from the broker's secret, the provider's pseudonym and the
    number of its update: its sender cannot foresee it, and cannot draw again by asking again. On
    probation all are.
    """
    secret = Stream(int.from_bytes(state.secret.key), ("verification",))
    drawn = secret.child(connection.provider.hex(), connection.updates)
    candidate_D, _ = steps.with_update(state, plan, update_D)
    on_probation = connection.proven < plan.parameters.probation
    for verifier in plan.parameters.verifiers:
        match verifier:
            case RONI(share=share):
                if on_probation or drawn.child("roni").generator().random() < share:
                    yield verifier, MeasureInfluence(state.params_D, candidate_D, CURATOR)
            case ShapleyValue(share=share, permutations=permutations):
                if on_probation or drawn.child("shapley").generator().random() < share:
                    changes = (*state.recent, candidate_D - state.params_D)
                    orders = drawn.child("orders")
                    yield (
                        verifier,
                        ValueUpdate(state.params_D, changes, permutations, orders, CURATOR),
                    )
            case CallableVerifier(callable=callable, arguments=arguments):
                yield (
                    verifier,
                    AskCallable(callable, state.params_D, update_D, arguments, CURATOR, plan.base),
                )


def judge(verifier: VerifierSpec, finding: Finding) -> str | None:
    """Why `verifier` rejects; None if it accepts."""
    match verifier, finding:
        case RONI(threshold=threshold), Influence():
            return finding.refusal(threshold)
        case ShapleyValue(threshold=threshold), Value():
            return finding.refusal(threshold)
        case CallableVerifier(callable=callable), Opinion(refusal=refusal):
            return None if refusal is None else f"{callable}: {refusal}"
    raise AssertionError(f"{verifier!r} cannot have found {finding!r}")
