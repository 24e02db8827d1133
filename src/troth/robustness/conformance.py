"""What any aggregation rule must hold: run this on a rule of your own.

    from troth.robustness.conformance import check_rule

    check_rule(my_rule, tolerates=3, n=10)

Legend of shapes: P inputs, D dimension of the model, H honest inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from troth.errors import LocalError
from troth.robustness.aggregation import checked
from troth.robustness.updates import Aggregate
from troth.streams import Stream
from troth.wire import Float32s

Rule = Callable[[Float32s], Aggregate]
"""A rule with all but updates_PD already bound: `lambda updates_PD: krum(updates_PD, 3)`."""

CLOSE = 1e-3
"""Two aggregates agree when they differ by less than this share of the inputs' spread."""

BOUND = 10.0
"""The honest inputs' spread, times P, times this: how far from them an attacker may move a rule.
The rules here stay well inside, by their proofs; what has no bound is off by powers of ten."""

DIMENSIONS = (1, 7, 300)
REPEATS = 5


class ConformanceError(LocalError):
    """A rule breaks what it must hold."""


def check_rule(
    rule: Rule,
    *,
    tolerates: int,
    n: int,
    symmetric: bool = True,
    translates: bool = True,
    scales: bool = True,
) -> None:
    """Tries `rule` on random and on hostile inputs.

    | promise          | tried                                                                     |
    |------------------|---------------------------------------------------------------------------|
    | well-formed      | an `Aggregate` of finite float32, shares of sum 1 where there are any     |
    | deterministic    | the same inputs twice, and they are left as they were                     |
    | in agreement     | n times the same update gives that update                                 |
    | symmetric        | the order of the inputs does not matter                                   |
    | translates       | rule(x + c) = rule(x) + c                                                 |
    | scales           | rule(a x) = a rule(x), for a > 0                                          |
    | withstands       | `tolerates` inputs of any finite value, at any position, move the         |
    |                  | aggregate by no more than a fixed multiple of the honest inputs' spread   |

    Args:
      rule: takes updates_PD with P = n, float32, any D.
      tolerates: f, the Byzantine inputs the rule must withstand.
      n: the number of inputs.
      symmetric: false for a rule that draws at random, like one after `bucketing`.
      translates: false for a rule that measures from the origin, like clipping.
      scales: false for a rule with a length of its own, like clipping.

    Raises:
      ConformanceError: the rule breaks a promise; says which, and with what inputs.
    """
    if not 0 <= tolerates < n:
        raise ConformanceError(f"tolerates = {tolerates} is not in 0 .. {n - 1}, with n = {n}")
    for dimension in DIMENSIONS:
        for repeat in range(REPEATS):
            case = f"n = {n}, D = {dimension}, repeat {repeat}"
            generator = Stream(repeat, ("conformance", n, dimension)).generator()
            updates_PD = generator.standard_normal((n, dimension)).astype(np.float32)
            update_D = _apply(rule, updates_PD, case)
            _check_agreement(rule, updates_PD, case)
            if symmetric:
                permuted_D = _apply(rule, updates_PD[generator.permutation(n)], case)
                _require_close(permuted_D, update_D, 1, "is not symmetric in its inputs", case)
            if translates:
                shift_D = generator.uniform(-10, 10, dimension).astype(np.float32)
                moved_D = _apply(rule, updates_PD + shift_D, case) - shift_D
                _require_close(moved_D, update_D, 1, "does not translate with its inputs", case)
            if scales:
                # Powers of two scale float32 without rounding, so ties stay ties.
                for factor in (np.float32(2.0**-20), np.float32(2.0**20)):
                    scaled_D = _apply(rule, updates_PD * factor, case) / factor
                    _require_close(scaled_D, update_D, 1, "does not scale with its inputs", case)
            if tolerates:
                _check_withstands(rule, tolerates, updates_PD, generator, case)


def _apply(rule: Rule, updates_PD: Float32s, case: str) -> Float32s:
    first_D, second_D = _once(rule, updates_PD, case), _once(rule, updates_PD, case)
    if not np.array_equal(first_D, second_D):
        raise ConformanceError(
            f"the rule is not deterministic: two calls on the same inputs differ ({case})",
            hint="draw from the generator it is given, made afresh for each call",
        )
    return first_D


def _once(rule: Rule, updates_PD: Float32s, case: str) -> Float32s:
    given_PD = updates_PD.copy()
    try:
        result = checked(rule(given_PD), updates_PD.shape, "under test")
    except LocalError as error:
        raise ConformanceError(f"{error.message} ({case})", hint=error.hint) from error
    if not np.array_equal(given_PD, updates_PD):
        raise ConformanceError(f"the rule changes its inputs ({case})", hint="work on a copy")
    return result.update_D


def _check_agreement(rule: Rule, updates_PD: Float32s, case: str) -> None:
    same_D = updates_PD[0]
    agreed_D = _apply(rule, np.repeat(same_D[np.newaxis], len(updates_PD), axis=0), case)
    _require_close(agreed_D, same_D, 1, "changes an update that all inputs agree on", case)


def _check_withstands(
    rule: Rule, f: int, updates_PD: Float32s, generator: np.random.Generator, case: str
) -> None:
    count, dimension = updates_PD.shape
    byzantine = np.sort(generator.permutation(count)[:f])
    honest_HD = np.delete(updates_PD, byzantine, axis=0)
    centre_D = honest_HD.mean(axis=0)
    spread = float(np.linalg.norm(honest_HD - centre_D, axis=1).max())
    directions_FD = generator.standard_normal((f, dimension)).astype(np.float32)
    for size in (1.0, 10.0, 1e3, 1e6, 1e12, 1e18, 1e30, 1e37):
        sizes_F = (size ** ((np.arange(f) + 1) / f)).astype(np.float32)
        attacks = {
            "scattered": directions_FD * np.float32(size),
            "together": np.repeat(directions_FD[:1], f, axis=0) * np.float32(size),
            "apart from one another by powers": directions_FD[:1] * sizes_F[:, np.newaxis],
        }
        for name, attack_FD in attacks.items():
            attacked_PD = updates_PD.copy()
            attacked_PD[byzantine] = attack_FD
            tried = f"{case}, attackers {byzantine.tolist()} {name} at {size:g}"
            update_D = _apply(rule, attacked_PD, tried)
            problem = f"is moved without bound by {f} inputs"
            _require_close(update_D, centre_D, BOUND * count * spread / CLOSE, problem, tried)


def _require_close(
    found_D: Float32s, expected_D: Float32s, scale: float, problem: str, case: str
) -> None:
    """Raises unless the distance is below CLOSE * scale per square root of D."""
    difference_D = found_D.astype(np.float64) - expected_D
    distance = float(np.linalg.norm(difference_D)) / len(found_D) ** 0.5
    if not distance <= CLOSE * scale:
        raise ConformanceError(f"the rule {problem}: off by {distance:g} per coordinate ({case})")
