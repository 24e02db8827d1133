"""From a charter's `aggregation` table to an aggregate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import numpy as np

from troth.errors import CharterError
from troth.references import raised, resolve
from troth.robustness.average import mean
from troth.robustness.bounds import byzantine_of
from troth.robustness.bulyan import bulyan
from troth.robustness.coordinates import median, trimmed_mean
from troth.robustness.geometric import geometric_median
from troth.robustness.krum import krum, multi_krum
from troth.robustness.preparation import Mixed, bucketing, nnm
from troth.robustness.spec import (
    AggregationSpec,
    Bulyan,
    CallableRule,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    Robust,
    TrimmedMean,
)
from troth.robustness.updates import Aggregate, Updates, UpdatesError, refuse_not_finite, shape_of
from troth.wire import Float32s

SHARE_TOLERANCE = 1e-4
"""How far from 1 the shares of a rule of your own may add up."""


def aggregate(
    spec: AggregationSpec,
    updates: Updates,
    examples_P: Sequence[int],
    *,
    generator: np.random.Generator,
    base: Path | None = None,
) -> Aggregate:
    """What the rule that `spec` describes makes of one round's updates.

    After a step like `nnm`, `share_P` still speaks of the parties' own updates.

    Args:
      spec: the rule and what goes before it.
      updates: P finite float32 updates (D,), by ascending party id.
      examples_P: the examples behind each, at least 1; only the weighted mean and a rule of your
        own look at them.
      generator: for `bucketing` and a rule of your own.
      base: folder of the scenario file, where a rule of your own is looked for first.

    Raises:
      UpdatesError: an update is not finite or not like the others; there are too few for the rule.
      CharterError: a rule of your own cannot be found, raised, or returned something that is not an
        aggregate.
    """
    count, _ = shape_of(updates)
    if len(examples_P) != count:
        raise UpdatesError(f"there are {count} updates, and examples of {len(examples_P)}")
    f = byzantine_of(spec, count)
    if isinstance(spec, Mean):
        return mean(updates, np.array(examples_P) if spec.weighted else np.ones(count))
    if isinstance(spec, CallableRule):
        return _own_rule(spec, updates, examples_P, f, generator, base)
    mixed = _prepare(spec, updates, f, generator)
    if mixed is None:
        return _robust_rule(spec, updates, f)
    result = _robust_rule(spec, mixed.updates_BD, f)
    if result.share_P is None:
        return result
    return Aggregate(result.update_D, (result.share_P @ mixed.share_BP).astype(np.float32))


def _prepare(
    spec: Robust, updates: Updates, f: int, generator: np.random.Generator
) -> Mixed | None:
    match spec.pre:
        case "none":
            return None
        case "nnm":
            return nnm(updates, f)
        case "bucketing":
            return bucketing(updates, spec.bucket_size, generator)


def _robust_rule(
    spec: Median | TrimmedMean | Krum | MultiKrum | Bulyan | GeometricMedian,
    updates: Updates,
    f: int,
) -> Aggregate:
    match spec:
        case Median():
            return median(updates)
        case TrimmedMean():
            return trimmed_mean(updates, f)
        case Krum():
            return krum(updates, f)
        case MultiKrum():
            return multi_krum(updates, f, spec.selected)
        case Bulyan():
            return bulyan(updates, f)
        case GeometricMedian():
            return geometric_median(updates, spec.iterations, spec.tolerance)
        case _:
            assert_never(spec)


def _own_rule(
    spec: CallableRule,
    updates: Updates,
    examples_P: Sequence[int],
    f: int,
    generator: np.random.Generator,
    base: Path | None,
) -> Aggregate:
    rule = resolve(spec.callable, base=base)
    refuse_not_finite(updates)
    updates_PD: Float32s = np.array(updates)
    try:
        result = rule(updates_PD, np.array(examples_P), f, generator, **spec.arguments)
    except (Exception, SystemExit) as error:
        raise CharterError(
            f"rule {spec.callable} {raised(error)}",
            hint="run troth.robustness.conformance.check_rule on it",
        ) from error
    return checked(result, np.shape(updates_PD), spec.callable)


def checked(result: object, shape: tuple[int, ...], rule: str) -> Aggregate:
    """`result` if it is an aggregate of updates of shape (P, D).

    Raises:
      CharterError: it is not; says in what.
    """
    count, dimension = shape
    hint = "return troth.robustness.Aggregate(update_D, share_P), with share_P = None if undefined"
    if not isinstance(result, Aggregate):
        raise CharterError(f"rule {rule} returned a {type(result).__name__}", hint=hint)
    parts = [("update_D", result.update_D, dimension)]
    if result.share_P is not None:
        parts.append(("share_P", result.share_P, count))
    for name, array, length in parts:
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            kind = getattr(array, "dtype", type(array).__name__)
            raise CharterError(f"rule {rule} returned {name} as {kind}, not float32", hint=hint)
        if array.shape != (length,):
            raise CharterError(
                f"rule {rule} returned {name} of shape {array.shape} instead of ({length},)",
                hint=hint,
            )
        if not np.isfinite(array).all():
            raise CharterError(f"rule {rule} returned {name} with NaN or infinity", hint=hint)
    if result.share_P is not None:
        total = float(result.share_P.sum())
        if (result.share_P < 0).any() or abs(total - 1) > SHARE_TOLERANCE:
            raise CharterError(
                f"rule {rule} returned share_P with sum {total:g} and least "
                f"{result.share_P.min():g}, instead of sum 1 and nothing negative",
                hint=hint,
            )
    return result
