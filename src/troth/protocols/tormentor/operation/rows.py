"""The rows that one node has: a file of its own, or its share of what a scenario deals."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from troth.charter.charter import Charter
from troth.charter.loading import LoadedScenario
from troth.data.examples import Examples
from troth.data.own_files import read_rows
from troth.data.root import data_root
from troth.data.spec import FileData
from troth.errors import CharterError, UsageError
from troth.ids import NodeId, PartyId
from troth.learning.spec import TaskKind
from troth.protocols.tormentor.state import CURATOR, Deposit
from troth.wire import Float32s, Int64s
from troth.worlds.dealing import deal_rows
from troth.worlds.real.stage import check_honest


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows, and what a model has to know of them."""

    own: Examples
    test: Examples
    """To measure a final model on; `own`, where there are no others."""
    features: tuple[int, ...]
    """Shape of one example."""
    outputs: int
    """Classes C; 1 for regression."""
    task: TaskKind
    target_floor: float
    notes: tuple[str, ...] = ()


def rows_of_file(charter: Charter, path: Path) -> Rows:
    """All rows of a CSV, Parquet or NPZ file that holds what the charter's schema says.

    Raises:
      UsageError: the charter has no schema. DataError: the file does not hold what it says.
    """
    data = charter.task.data
    if not isinstance(data, FileData):
        raise UsageError(
            "the charter describes no file, it names a published data set",
            hint="give a scenario that deals it instead: --scenario FILE --as party-0",
        )
    own = read_rows(path, data.schema)
    labels = data.schema.labels()
    return Rows(
        own=own,
        test=own,
        features=tuple(data.schema.shape or own.x_NF.shape[1:]),
        outputs=max(1, len(labels)),
        task="classification" if labels else "regression",
        target_floor=1e-6 if labels else 0.01,
        notes=(f"{len(own)} rows of {path.name}",),
    )


def rows_of_scenario(loaded: LoadedScenario, id: NodeId) -> Rows:
    """What a scenario deals to one of its parties, or keeps for its curator.

    Raises:
      UsageError: it has no such party, or does not admit it.
      CharterError, DataError, VerificationError: the data cannot be had or dealt.
    """
    try:
        check_honest(loaded.scenario)
        dealt = deal_rows(loaded.scenario, base=loaded.base, root=data_root())
    except CharterError as error:
        raise error.in_file(error.file or loaded.path) from error
    mine = dealt.validation if id == CURATOR else None
    if id in dealt.parties:
        mine = dealt.rows_of[PartyId(id)]
    if mine is None:
        raise UsageError(
            f"{loaded.path}: admits no party {id}",
            hint=f"its parties are {', '.join(dealt.parties[:4])}"
            + (", ..." if len(dealt.parties) > 4 else ""),
        )
    data = dealt.data
    return Rows(
        own=data.train.take(mine),
        test=data.test,
        features=data.features,
        outputs=max(1, len(data.classes)),
        task=data.task,
        target_floor=data.target_floor,
        notes=dealt.notes,
    )


def deposit_of(rows: Rows, charter: bytes) -> Deposit:
    """Charter and validation set, as the curator sends them."""
    return Deposit(
        charter,
        rows.features,
        rows.outputs,
        np.ascontiguousarray(rows.own.x_NF, np.float32).reshape(-1),
        rows.own.y_N.astype(np.float32),
    )


def rows_of_deposit(charter: Charter, deposit: Deposit) -> Rows:
    """The validation set that a curator has sent.

    Raises:
      CharterError: it does not fit the charter, or itself.
    """
    size = prod(deposit.shape) if deposit.shape else 0
    N = len(deposit.y_N)
    if size <= 0 or N == 0 or size * N != len(deposit.x_NF):
        raise CharterError(
            f"{N} targets and {len(deposit.x_NF)} values are not rows of shape {deposit.shape}",
            key="validation set",
        )
    if not (np.isfinite(deposit.x_NF).all() and np.isfinite(deposit.y_N).all()):
        raise CharterError("holds a number that is not finite", key="validation set")
    task = charter.task.kind
    y_N = deposit.y_N if task == "regression" else _classes(deposit.y_N, deposit.outputs)
    own = Examples(deposit.x_NF.reshape(N, size).copy(), y_N)
    return Rows(
        own=own,
        test=own,
        features=deposit.shape,
        outputs=deposit.outputs,
        task=task,
        target_floor=1e-6 if task == "classification" else 0.01,
        notes=(f"{N} validation rows of the curator", "measured on them"),
    )


def _classes(y_N: Float32s, classes: int) -> Int64s:
    as_classes = y_N.astype(np.int64)
    if not ((as_classes == y_N) & (as_classes >= 0) & (as_classes < classes)).all():
        raise CharterError(
            f"holds a target that is none of {classes} classes", key="validation set"
        )
    return as_classes
