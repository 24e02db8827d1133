"""Reject on negative influence: what an update does to the error on the curator's own rows.

Source: Barreno et al., "The security of machine learning", Machine Learning 81 (2010), section 4.2;
TorMentor, section 5: an update that causes a significant degradation in validation accuracy is
rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from troth.compute import Compute
from troth.errors import CharterError
from troth.ids import NodeId
from troth.learning.evaluation import Evaluate, evaluations
from troth.learning.workbench import Workbench
from troth.references import resolve, users_code
from troth.wire import Float32s


class Influence(msgspec.Struct, frozen=True):
    """Error of the model on the validation rows, without and with an update."""

    before: float
    after: float

    def refusal(self, threshold: float) -> str | None:
        """Why the update is rejected; None if the error rises by no more than `threshold`.

        An error that is not a number is a rejection too.
        """
        rise = self.after - self.before
        if rise <= threshold:
            return None
        return f"RONI: the validation error rises by {rise:.4f}, above {threshold:g}"


@dataclass(frozen=True, eq=False)
class MeasureInfluence(Compute[Workbench, Influence]):
    """The validation error of `params_D` and of `candidate_D`, both (D,), on the rows of `on`."""

    params_D: Float32s
    candidate_D: Float32s
    on: NodeId

    label: ClassVar[str] = "verify_update"
    steady: ClassVar[bool] = True

    def run(self, bench: Workbench) -> Influence:
        before, after = evaluations([self.params_D, self.candidate_D], bench, self.on)
        return Influence(before.error, after.error)


class Opinion(msgspec.Struct, frozen=True):
    """What a curator's own verifier says: a reason to reject, or None."""

    refusal: str | None


MAX_REASON = 200
"""Characters of a curator's reason that are passed on."""


@dataclass(frozen=True, eq=False)
class AskCallable(Compute[Workbench, Opinion]):
    """`callable(params_D, update_D, error, **arguments)` on read-only arrays of shape (D,).

    `error(params_D)` gives the error of a model on the rows of `on`. It returns None to accept, or
    the reason to reject.

    Raises (when run):
      CharterError: there is no such callable, it raises, or returns something else.
    """

    callable: str
    params_D: Float32s
    update_D: Float32s
    arguments: Mapping[str, bool | int | float | str]
    on: NodeId
    base: Path | None

    label: ClassVar[str] = "verify_update"

    def run(self, bench: Workbench) -> Opinion:
        verifier: Callable[..., object] = resolve(self.callable, base=self.base)

        def error(params_D: Float32s) -> float:
            return Evaluate(params_D, self.on).run(bench).error

        called = "as callable(params_D, update_D, error, **arguments)"
        with users_code(self.callable, key="protocol.verifiers", called=called):
            answer = verifier(self.params_D, self.update_D, error, **self.arguments)
        if answer is not None and not isinstance(answer, str):
            raise CharterError(
                f"returned a {type(answer).__name__} instead of None or a reason",
                key="protocol.verifiers",
                value=self.callable,
            )
        return Opinion(answer if answer is None else answer[:MAX_REASON])
