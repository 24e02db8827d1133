"""How many Byzantine inputs a rule withstands: the bounds, and the errors that state them.

| rule                                      | least inputs for f                    |
|-------------------------------------------|---------------------------------------|
| mean                                      | 1, and f is 0                         |
| median, trimmed mean, geometric median    | 2f + 1                                |
| Krum, Multi-Krum (and m <= inputs - f)    | 2f + 3                                |
| Bulyan                                    | 4f + 3                                |
| your own                                  | 2f + 1, which no rule can do without  |

Inputs are parties, or buckets of parties after `bucketing`.
"""

from __future__ import annotations

from typing import NamedTuple

from troth.errors import CharterError
from troth.robustness.spec import AggregationSpec, Bulyan, Krum, Mean, MultiKrum, Robust
from troth.robustness.updates import UpdatesError


def largest_byzantine(spec: AggregationSpec, n: int) -> int | None:
    """The largest f that `spec` withstands among n parties; None if it does not work with n."""
    if isinstance(spec, Mean):
        return 0
    inputs = inputs_of(spec, n)
    bounds = [f for f in range(inputs) if least_inputs(spec, f) <= inputs]
    return max(bounds, default=None)


def inputs_of(spec: AggregationSpec, n: int) -> int:
    """The number of updates that reach the rule when n parties send one."""
    if isinstance(spec, Robust) and spec.pre == "bucketing":
        return -(-n // spec.bucket_size)
    return n


def least_inputs(spec: AggregationSpec, f: int) -> int:
    """The least number of inputs with which the rule withstands f Byzantine ones."""
    match spec:
        case Mean():
            return 1
        case MultiKrum():
            return max(2 * f + 3, f + (spec.selected or 0))
        case Krum():
            return 2 * f + 3
        case Bulyan():
            return 4 * f + 3
        case _:
            return 2 * f + 1


class Violation(NamedTuple):
    """Why a rule cannot work with so many parties: the key that is to blame, and the bound."""

    key: str
    value: object
    problem: str
    hint: str


def violation(spec: AggregationSpec, n: int) -> Violation | None:
    """What keeps `spec` from working with n parties, if anything does."""
    if isinstance(spec, Mean):
        return None
    inputs = inputs_of(spec, n)
    if isinstance(spec, Robust) and spec.pre == "bucketing" and inputs == 1 < n:
        return Violation(
            "bucket_size",
            spec.bucket_size,
            f"puts all {n} updates into one bucket, which leaves the plain mean",
            "lower bucket_size, or remove pre",
        )
    f = spec.byzantine or 0
    least = least_inputs(spec, f)
    if inputs >= least:
        return None
    unit = "parties" if inputs == n else "buckets"
    if isinstance(spec, MultiKrum) and inputs >= 2 * f + 3:
        return Violation(
            "selected",
            spec.selected,
            f"is above {inputs - f}, the number of {unit} less byzantine = {f}",
            f"lower selected to at most {inputs - f}, or remove it",
        )
    name = rule_name(spec)
    problem = f'needs at least {least} {unit} with rule = "{name}", and there are {inputs}'
    if spec.byzantine is None:
        problem = f"needs at least {least} {unit}, and there are {inputs}"
        return Violation("rule", name, problem, "choose another rule, or have more parties")
    largest = largest_byzantine(spec, n)
    hint = "choose another rule" if largest is None else f"lower byzantine to at most {largest}"
    return Violation("byzantine", f, problem, f"{hint}, or have more parties")


def check_aggregation(spec: AggregationSpec, n: int, key_prefix: str) -> None:
    """Refuses a rule that cannot work with n parties.

    Args:
      spec: the rule.
      n: the parties whose updates it gets in a round.
      key_prefix: where the rule's table stands in the file: `protocol.aggregation`.

    Raises:
      CharterError: f, m or the bucket size is impossible for n; says the bound.
    """
    found = violation(spec, n)
    if found is not None:
        raise CharterError(
            found.problem, key=f"{key_prefix}.{found.key}", value=found.value, hint=found.hint
        )


def byzantine_of(spec: AggregationSpec, n: int) -> int:
    """f: what `spec` says, or the largest possible for the n updates of a round.

    Raises:
      UpdatesError: the rule cannot work with n updates; the round had too few.
    """
    found = violation(spec, n)
    if found is not None:
        raise UpdatesError(
            f"cannot aggregate {n} updates: {found.key} = {found.value!r} {found.problem}"
        )
    if isinstance(spec, Mean):
        return 0
    largest = largest_byzantine(spec, n)
    assert largest is not None, "no violation at f = 0"
    return largest if spec.byzantine is None else spec.byzantine


def require_inputs(rule: str, count: int, *, least: int, f: int) -> None:
    """Raises an `UpdatesError` unless `rule` can withstand f >= 0 among `count` inputs."""
    if f < 0:
        raise UpdatesError(f"{rule} cannot withstand f = {f} Byzantine updates")
    if count < least:
        raise UpdatesError(
            f"{rule} with f = {f} needs at least {least} updates, and there are {count}"
        )


def rule_name(spec: AggregationSpec) -> str:
    """Its name in a file: `multi_krum`."""
    return str(spec.__struct_config__.tag)
