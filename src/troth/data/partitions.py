"""Who holds which rows.

What is dealt are units: single rows, or whole groups where the rows have groups (a patient's
stays), so that no partition can split one. Every share is an int64 array of row indices in
ascending order, with repetitions where a partition draws with replacement.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from troth.data.examples import Examples, Int64s, Values
from troth.data.shares import Units, read_only, require_shares, units_of
from troth.data.spec import (
    AsGiven,
    Bootstrap,
    ByClass,
    ByColumn,
    CallablePartition,
    Dirichlet,
    Equal,
    PartitionSpec,
    RandomFraction,
    RandomSizes,
)
from troth.errors import CharterError
from troth.ids import party_id
from troth.references import resolve as resolve_reference
from troth.references import users_code
from troth.streams import Stream

MAX_DRAWS = 100
"""How often a random partition is drawn again before its `minimum` is called out of reach."""

Resolve = Callable[[str], Callable[..., Any]]


def deal(
    train: Examples,
    spec: PartitionSpec,
    parties: int,
    stream: Stream,
    *,
    given: Sequence[Int64s] | None = None,
    resolve: Resolve | None = None,
) -> list[Int64s]:
    """One share of `train` per party, party 0 first.

    Guarantees: every party has a row; no group is split, but by `as_given`; the same
    arguments give the same shares.

    Args:
      parties: at least 1.
      stream: of the `world` family.
      given: the rows of each own file, for `as_given`.
      resolve: looks up the reference of a `callable` partition; absent: on the Python path.

    Raises:
      CharterError: `spec` cannot be met with these rows; the message names the party or the key.
    """
    units = units_of(train)
    generator = stream.generator()
    match spec:
        case Equal():
            shares = _equal(units, parties, generator)
        case RandomSizes():
            shares = _random_sizes(units, spec, parties, generator)
        case Bootstrap():
            shares = _bootstrap(units, spec, parties, stream)
        case RandomFraction():
            shares = _fraction(units, spec, parties, stream)
        case Dirichlet():
            shares = _dirichlet(units, train, spec, parties, generator)
        case ByClass():
            shares = _by_class(units, train, spec, parties, generator)
        case ByColumn():
            shares = _by_column(units, train, spec, parties)
        case AsGiven():
            shares = _as_given(given, parties)
        case CallablePartition():
            function = (resolve or _on_the_path)(spec.callable)
            return _call(function, train, spec, parties, generator)
    _require_data(shares)
    return shares


def _equal(units: Units, parties: int, generator: np.random.Generator) -> list[Int64s]:
    """Each unit in turn goes to whoever has the fewest rows."""
    _require_units(units, parties)
    order_U = generator.permutation(len(units))
    if len(units) == len(units.order_N):
        return [units.rows(order_U[party::parties]) for party in range(parties)]
    sizes_U = units.sizes_U
    fewest = [(0, party) for party in range(parties)]
    dealt: list[list[int]] = [[] for _ in range(parties)]
    for unit in order_U:
        rows, party = fewest[0]
        dealt[party].append(int(unit))
        heapq.heapreplace(fewest, (rows + int(sizes_U[unit]), party))
    return [units.rows(np.asarray(share, dtype=np.int64)) for share in dealt]


def _random_sizes(
    units: Units, spec: RandomSizes, parties: int, generator: np.random.Generator
) -> list[Int64s]:
    """Shuffled; everybody gets `minimum` rows, and the rest is cut at uniformly random places."""
    _require_units(units, parties)
    order_U = generator.permutation(len(units))
    until_U = np.cumsum(units.sizes_U[order_U])
    first: list[Int64s] = []
    position, rows = 0, 0
    for _ in range(parties):
        end = int(np.searchsorted(until_U, rows + spec.minimum)) + 1
        if end > len(units):
            raise _out_of_reach(spec.minimum, parties, f"there are only {until_U[-1]} rows")
        first.append(order_U[position:end])
        position, rows = end, int(until_U[end - 1])
    left_U = order_U[position:]
    cuts = np.sort(generator.integers(0, len(left_U), size=parties - 1, endpoint=True))
    more = np.split(left_U, cuts)
    return [units.rows(np.concatenate(pieces)) for pieces in zip(first, more, strict=True)]


def _bootstrap(units: Units, spec: Bootstrap, parties: int, stream: Stream) -> list[Int64s]:
    """Units drawn with replacement until a party has its rows (TorMentor, section 6)."""
    rows = spec.rows or max(1, len(units.order_N) // parties)
    shares = []
    for party in range(parties):
        drawn = stream.child(party).generator().integers(0, len(units), size=rows)
        # Every unit has a row or more, so `rows` units are always enough.
        enough = int(np.searchsorted(np.cumsum(units.sizes_U[drawn]), rows)) + 1
        shares.append(units.rows(drawn[:enough]))
    return shares


def _fraction(units: Units, spec: RandomFraction, parties: int, stream: Stream) -> list[Int64s]:
    count = max(1, round(spec.fraction * len(units)))
    return [
        units.rows(stream.child(party).generator().choice(len(units), count, replace=False))
        for party in range(parties)
    ]


def _dirichlet(
    units: Units, train: Examples, spec: Dirichlet, parties: int, generator: np.random.Generator
) -> list[Int64s]:
    """Class c's units are cut by shares ~ Dirichlet(alpha, ..., alpha) (Hsu et al. 2019)."""
    _require_units(units, parties)
    if parties * spec.minimum > len(units.order_N):
        reason = f"there are only {len(units.order_N)} rows"
        raise _out_of_reach(spec.minimum, parties, reason)
    class_U = _classes(train, "dirichlet")[units.first_rows_U()]
    of_class = [np.flatnonzero(class_U == label) for label in np.unique(class_U)]
    for _ in range(MAX_DRAWS):
        dealt: list[list[Int64s]] = [[] for _ in range(parties)]
        for units_C in of_class:
            shares_P = generator.dirichlet(np.full(parties, spec.alpha))
            cuts = (np.cumsum(shares_P)[:-1] * len(units_C)).astype(np.int64)
            for party, piece in enumerate(np.split(generator.permutation(units_C), cuts)):
                dealt[party].append(piece)
        shares = [np.concatenate(pieces) for pieces in dealt]
        if min(int(units.sizes_U[share].sum()) for share in shares) >= spec.minimum:
            return [units.rows(share) for share in shares]
    raise CharterError(
        f"left a party with fewer than minimum = {spec.minimum} rows in each of {MAX_DRAWS} draws",
        key="partition.alpha",
        value=spec.alpha,
        hint="raise alpha, or lower minimum or [parties] count",
    )


def _by_class(
    units: Units, train: Examples, spec: ByClass, parties: int, generator: np.random.Generator
) -> list[Int64s]:
    """Party p holds `classes` neighbours in a random circle of classes; holders share a class."""
    class_N = _classes(train, "by_class")
    class_U = class_N[units.first_rows_U()]
    unit_N = np.repeat(np.arange(len(units)), units.sizes_U)
    if not np.array_equal(class_N[units.order_N], class_U[unit_N]):
        raise CharterError(
            "cannot be met: rows of one group have different classes, and a group is never split",
            key="partition.kind",
            value="by_class",
            hint='use kind = "dirichlet", or data without groups',
        )
    circle = generator.permutation(np.unique(class_U))
    if spec.classes > len(circle):
        raise CharterError(
            f"is above the {len(circle)} classes there are",
            key="partition.classes",
            value=spec.classes,
        )
    places = parties * spec.classes
    if places < len(circle):
        raise CharterError(
            f"leaves {len(circle) - places} of {len(circle)} classes to nobody, with "
            f"{parties} parties",
            key="partition.classes",
            value=spec.classes,
            hint=f"raise it to {-(-len(circle) // parties)}, or take more parties",
        )
    dealt: list[list[Int64s]] = [[] for _ in range(parties)]
    for position, label in enumerate(circle):
        holders = [place // spec.classes for place in range(position, places, len(circle))]
        order = generator.permutation(np.flatnonzero(class_U == label))
        for number, party in enumerate(holders):
            dealt[party].append(order[number :: len(holders)])
    return [units.rows(np.concatenate(pieces)) for pieces in dealt]


def _by_column(units: Units, train: Examples, spec: ByColumn, parties: int) -> list[Int64s]:
    """Party i holds the column's i-th value in ascending order."""
    if spec.column not in train.columns:
        known = ", ".join(sorted(train.columns)) or "none"
        raise CharterError(
            "is not a column this data set can be dealt by",
            key="partition.column",
            value=spec.column,
            hint=f"it keeps these columns: {known}",
        )
    value_U: Values = train.columns[spec.column][units.first_rows_U()]
    values = np.unique(value_U)
    if len(values) != parties:
        raise CharterError(
            f"has {len(values)} values, but there are {parties} parties",
            key="partition.column",
            value=spec.column,
            hint=f"set [parties] count = {len(values)}",
        )
    return [units.rows(np.flatnonzero(value_U == value)) for value in values]


def _as_given(given: Sequence[Int64s] | None, parties: int) -> list[Int64s]:
    """The one partition that may split a group: whoever holds a patient's rows, holds them."""
    files = 0 if given is None else len(given)
    if given is None or files != parties:
        problem = "needs own files" if given is None else f"has {files} files"
        raise CharterError(
            f"{problem}, one for each of {parties} parties",
            key="partition.kind",
            value="as_given",
            hint="list one file per party in [task.data] train, or set [parties] count",
        )
    return [np.asarray(rows, dtype=np.int64) for rows in given]


def _call(
    function: Callable[..., Any],
    train: Examples,
    spec: CallablePartition,
    parties: int,
    generator: np.random.Generator,
) -> list[Int64s]:
    called = "as callable(train, parties, generator, **arguments)"
    with users_code(spec.callable, key="partition.callable", called=called):
        result = function(read_only(train), parties, generator, **spec.arguments)
    return require_shares(result, train, parties, name=spec.callable)


def _on_the_path(reference: str) -> Callable[..., Any]:
    return resolve_reference(reference, base=None)


def _classes(train: Examples, kind: str) -> Int64s:
    if train.y_N.dtype != np.int64:
        raise CharterError(
            "needs classes, but the task is regression",
            key="partition.kind",
            value=kind,
            hint='use kind = "random_sizes" or "by_column"',
        )
    classes_N: Int64s = train.y_N.astype(np.int64, copy=False)
    return classes_N


def _require_units(units: Units, parties: int) -> None:
    if parties > len(units):
        grouped = len(units) < len(units.order_N)
        raise CharterError(
            f"is above the {len(units)} {'groups' if grouped else 'rows'} there are to deal",
            key="parties.count",
            value=parties,
            hint='lower it, raise [task.data] rows, or use kind = "bootstrap"',
        )


def _out_of_reach(minimum: int, parties: int, reason: str) -> CharterError:
    return CharterError(
        f"cannot be met for {parties} parties: {reason}",
        key="partition.minimum",
        value=minimum,
        hint="lower minimum or [parties] count, or raise [task.data] rows",
    )


def _require_data(shares: Sequence[Int64s]) -> None:
    for index, share in enumerate(shares):
        if not len(share):
            raise CharterError(
                f"{party_id(index, len(shares))} has no data",
                hint="lower [parties] count, give it rows, or choose another [partition] kind",
            )
