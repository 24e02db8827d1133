"""The validation set on its way from the curator to the broker."""

from __future__ import annotations

from math import prod

import numpy as np

from troth.charter.charter import Charter
from troth.data.examples import Examples
from troth.errors import CharterError
from troth.protocols.tormentor.state import Deposit
from troth.wire import Float32s, Int64s
from troth.worlds.real.rows import Rows


def deposit_of(rows: Rows, charter: bytes) -> Deposit:
    """What the curator sends: the charter's text and its N validation rows, float32, as one vector
    of N * F features and one of N targets."""
    return Deposit(
        charter,
        rows.features,
        rows.outputs,
        np.ascontiguousarray(rows.own.x_NF, np.float32).reshape(-1),
        rows.own.y_N.astype(np.float32),
    )


def rows_of_deposit(charter: Charter, deposit: Deposit) -> Rows:
    """The validation set that a curator has sent, as rows to measure on.

    Raises:
      CharterError: it is empty, its sizes do not go together, it holds a number that is not finite,
        or a target that is none of its classes.
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
