"""The provider verifier: which computations judge an update, and what they say of it.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019,
table 1 and section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from troth.compute import Compute
from troth.protocols.tormentor import steps
from troth.protocols.tormentor.parameters import RONI, CallableVerifier, ShapleyValue, VerifierSpec
from troth.protocols.tormentor.protocol import CURATOR
from troth.protocols.tormentor.state import BrokerState, Connection, Plan
from troth.robustness.roni import AskCallable, Influence, MeasureInfluence, Opinion
from troth.robustness.shapley import Value, ValueUpdate
from troth.streams import Stream
from troth.wire import Float32s

Finding = Influence | Value | Opinion
"""What the computation of one verifier found out about an update."""


def examinations(
    state: BrokerState, plan: Plan, connection: Connection, update_D: Float32s
) -> Iterator[tuple[VerifierSpec, Compute[Any, Finding]]]:
    """The verifiers that look at an update, in the order of the charter, each with the computation
    that has to be made for it.

    Whether RONI or Shapley looks at an update is drawn from the broker's secret, the provider's
    pseudonym, the number of its life and that of the update in it: its sender cannot foresee it,
    and cannot draw again by asking again. No life's number is given to a pseudonym twice,
    so nothing is learnt from an earlier one. On probation both look at all of a provider's updates.
    """
    secret = Stream(int.from_bytes(state.secret.key), ("verification",))
    drawn = secret.child(connection.provider.hex(), connection.life, connection.updates)
    # Differs from the paper: a charter may put providers on probation, because a sybil that comes
    # back after each rejection would otherwise have nine in ten of its updates unseen.
    on_probation = connection.proven < plan.parameters.probation
    for verifier in plan.parameters.verifiers:
        match verifier:
            # TorMentor, section 5: the validator uses the curator's rows "to verify a proportion of
            # the incoming stream of model updates".
            case RONI(share=share):
                if on_probation or drawn.child("roni").generator().random() < share:
                    candidate_D, _ = steps.with_update(state, plan, update_D)
                    yield verifier, MeasureInfluence(state.params_D, candidate_D, CURATOR)
            # TorMentor, table 1, provider verifier: "Shapley valuation [21]".
            case ShapleyValue(share=share, permutations=permutations):
                if on_probation or drawn.child("shapley").generator().random() < share:
                    candidate_D, _ = steps.with_update(state, plan, update_D)
                    changes = (*state.recent, candidate_D - state.params_D)
                    orders = drawn.child("orders")
                    yield (
                        verifier,
                        ValueUpdate(state.params_D, changes, permutations, orders, CURATOR),
                    )
            # TorMentor, section 5.1: the mechanism "can be replaced with any curator desired
            # requirements, in a programmable form".
            case CallableVerifier(callable=callable, arguments=arguments):
                yield (
                    verifier,
                    AskCallable(callable, state.params_D, update_D, arguments, CURATOR, plan.base),
                )


def told(verifier: VerifierSpec) -> str:
    """What a provider is told whose update `verifier` rejects: that it does, and nothing of what it
    has measured. Numbers would tell of single validation rows."""
    match verifier:
        case RONI(threshold=threshold):
            return f"RONI: the validation error rises by more than {threshold:g}"
        case ShapleyValue(threshold=threshold):
            return f"Shapley: its value is below {-threshold:g}"
        case CallableVerifier(callable=callable):
            return f"{callable} rejects it"
    raise AssertionError(f"{verifier!r} looks at no update")


def judge(verifier: VerifierSpec, finding: Finding) -> str | None:
    """Why `verifier` rejects an update of which it found `finding`, for the report; None if
    it accepts."""
    match verifier, finding:
        # TorMentor, section 5: "any update that causes a significant degradation in validation
        # accuracy will be rejected in a Reject on Negative Influence (RONI)".
        case RONI(threshold=threshold), Influence():
            return finding.refusal(threshold)
        case ShapleyValue(threshold=threshold), Value():
            return finding.refusal(threshold)
        case CallableVerifier(callable=callable), Opinion(refusal=refusal):
            return None if refusal is None else f"{callable}: {refusal}"
    raise AssertionError(f"{verifier!r} cannot have found {finding!r}")
