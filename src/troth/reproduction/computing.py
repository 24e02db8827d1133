"""Variants that are no training run: one call of a computation each, kept in a folder of its own.

A computation is `module:callable`. It is called with a `Stream` to draw from and the variant's
arguments by name, and returns a mapping: a number under a name is a value, None a value that there
is not, a list of points (x, y) a curve.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from troth.errors import CharterError, LocalError, UsageError
from troth.ids import MeasuredSeconds
from troth.records import Record, pretty_json
from troth.references import resolve
from troth.report.atomic import cannot_write, numbered, replace_file
from troth.reproduction.readings import Value
from troth.reproduction.spec import Argument, Experiment, Points
from troth.streams import Stream

VARIANT = "variant.json"
SEED = 1
"""Where the experiment names none."""

MAX_NAMES = 1_000
"""Names that one call may return."""
MAX_POINTS = 10_000
"""Points that one curve of a computed experiment may have."""


class Call(Record, frozen=True, kw_only=True):
    """Everything that one variant's outcome follows from."""

    variant: str
    compute: str
    arguments: dict[str, Argument]
    seed: int
    code: str
    """SHA-256 of the file that the callable stands in; empty where that is unknown."""
    troth_version: str


class Computed(Record, frozen=True, kw_only=True):
    """`variant.json`: what was called, and what came of it."""

    schema_version: int = 1
    call: Call
    values: dict[str, float | None]
    curves: dict[str, list[tuple[float, float]]] = {}
    measured_s: MeasuredSeconds


@dataclass(frozen=True)
class Computation:
    """A variant that can be computed, in this process or another.

    Attributes:
      file: the experiment's, beside which the callable is looked up first.
      index: of the variant in the file.
    """

    call: Call
    file: Path
    index: int


def computations_of(experiment: Experiment, file: Path) -> tuple[Computation, ...]:
    """A computation for each variant of an experiment that computes.

    Raises:
      CharterError: there is no such callable, or a variant's arguments are not its parameters.
    """
    assert experiment.compute is not None
    function = _callable(experiment.compute, file)
    found = []
    for index, variant in enumerate(experiment.variants):
        try:
            inspect.signature(function).bind(None, **variant.arguments)
        except TypeError as error:
            raise CharterError(
                f"does not fit {experiment.compute}: {error}",
                file=file,
                key=f"variants[{index}].arguments",
                value=variant.arguments,
                hint="it is called with a stream, and with these arguments by name",
            ) from None
        except ValueError:
            # Some callables in C do not say what they take.
            pass
        call = Call(
            variant=variant.name,
            compute=experiment.compute,
            arguments=variant.arguments,
            seed=SEED if experiment.seed is None else experiment.seed,
            code=_code(function),
            troth_version=version("troth"),
        )
        found.append(Computation(call, file, index))
    return tuple(found)


def carry_out(computation: Computation, folder: Path) -> Path:
    """Compute a variant, and keep it in `folder`; gives the folder, whose name gets a number where
    it is taken.

    Raises:
      CharterError: the callable raises, or returns what is no mapping of finite numbers and points.
      UsageError: the folder cannot be written.
    """
    call = computation.call
    function = _callable(call.compute, computation.file)
    began_s = time.perf_counter()
    try:
        returned = function(Stream(call.seed, ("computing", call.variant)), **call.arguments)
    except Exception as error:
        said = (
            error.message if isinstance(error, LocalError) else f"{type(error).__name__}: {error}"
        )
        hint = error.hint if isinstance(error, LocalError) else None
        raise _problem(computation, f"raised {said}", hint) from error
    measured_s = MeasuredSeconds(time.perf_counter() - began_s)
    values, curves = _sorted_out(computation, returned)
    outcome = Computed(call=call, values=values, curves=curves, measured_s=measured_s)
    kept = _new_folder(folder)
    replace_file(kept / VARIANT, pretty_json(outcome) + b"\n")
    return kept


def load_computed(folder: Path) -> Computed:
    """What was computed in `folder`.

    Raises:
      UsageError: the file is damaged.
    """
    file = folder / VARIANT
    try:
        return msgspec.json.decode(file.read_bytes(), type=Computed)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {(error.strerror or 'error').lower()}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"{file}: is damaged: {str(error)[:200]}",
            hint="the file was changed after it was written; delete it",
        ) from None


def check_names(experiment: Experiment, file: Path, outcomes: Mapping[str, Computed]) -> None:
    """Refuse a reading or plot of something that a computation did not return.

    Raises:
      CharterError: names the reading or plot and what there is.
    """
    for name, outcome in outcomes.items():
        asked = [
            (f"readings.{reading}.name", each.name, list(outcome.values))
            for reading, each in experiment.readings.items()
            if isinstance(each, Value)
        ]
        if isinstance(experiment.plot, Points):
            asked.append(("plot.curve", experiment.plot.curve, list(outcome.curves)))
        for key, wanted, there in asked:
            if wanted not in there:
                raise CharterError(
                    f"is not what {experiment.compute} returned for {name}",
                    file=file,
                    key=key,
                    value=wanted,
                    hint=f"it returned: {', '.join(there[:20]) or 'none of this kind'}",
                )


def _callable(reference: str, file: Path) -> Callable[..., Any]:
    try:
        return resolve(reference, base=file.parent)
    except CharterError as error:
        raise CharterError(
            error.problem, file=file, key="compute", value=reference, hint=error.hint
        ) from error


def _code(function: Callable[..., Any]) -> str:
    with suppress(TypeError, OSError):
        source = inspect.getsourcefile(inspect.unwrap(function))
        if source is not None:
            return hashlib.sha256(Path(source).read_bytes()).hexdigest()
    return ""


def _problem(computation: Computation, problem: str, hint: str | None) -> CharterError:
    call = computation.call
    return CharterError(
        f"{problem}, for variants[{computation.index}] ({call.variant})",
        file=computation.file,
        key="compute",
        value=call.compute,
        hint=hint or "return a mapping of names to finite numbers, None, or lists of points (x, y)",
    )


def _sorted_out(
    computation: Computation, returned: object
) -> tuple[dict[str, float | None], dict[str, list[tuple[float, float]]]]:
    """Values and curves of what a computation returned."""
    if not isinstance(returned, Mapping):
        raise _problem(computation, f"returned {type(returned).__name__}, not a mapping", None)
    if len(returned) > MAX_NAMES:
        raise _problem(computation, f"returned {len(returned)} names, above {MAX_NAMES}", None)
    values: dict[str, float | None] = {}
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, said in returned.items():
        if not isinstance(name, str):
            raise _problem(computation, f"returned a name that is {type(name).__name__}", None)
        if said is None:
            values[name] = None
            continue
        numbers = _numbers(said)
        if numbers is None or not (numbers.shape in ((), (0,)) or numbers.shape[1:] == (2,)):
            raise _problem(
                computation, f"returned {type(said).__name__} as {name}, no number or points", None
            )
        if len(numbers.reshape(-1)) > 2 * MAX_POINTS:
            raise _problem(computation, f"returned more than {MAX_POINTS} points as {name}", None)
        if not np.isfinite(numbers).all():
            wrong = next(x for x in numbers.reshape(-1).tolist() if not math.isfinite(x))
            raise _problem(computation, f"returned {wrong} in {name}, which is not finite", None)
        if numbers.ndim == 0:
            values[name] = float(numbers)
        else:
            curves[name] = [(x, y) for x, y in numbers.tolist()]
    return values, curves


def _numbers(said: object) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """As float64 of any shape; None if it is not made of numbers."""
    try:
        if isinstance(said, int) and not isinstance(said, bool):
            # It may have more bits than an array's whole numbers.
            said = float(said)
        array = np.asarray(said)
        # A boolean or a text is none, though it could be made one.
        return array.astype(np.float64) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError, OverflowError):
        return None


def _new_folder(path: Path) -> Path:
    for folder in numbered(path):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(folder, error) from None
        return folder
    raise AssertionError("unreachable")
