"""What every rule takes and gives.

Legend of shapes: P parties (the updates of one round), D dimension of the model.

Rules take finite float32 updates, as one array (P, D) or as a sequence of P arrays (D,); the
sequence saves a caller who received them one by one from stacking them. Position p is party p:
callers pass updates in ascending party id, and ties go to the lowest position.

Whoever receives updates verifies them and blames the sender. A rule knows positions, not senders,
so what reaches it unverified raises an `UpdatesError` with those positions, never a NaN in the
model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from troth.errors import RoundFailedError
from troth.wire import Float32s

Updates = Float32s | Sequence[Float32s]
"""updates_PD, or P arrays (D,)."""

BLOCK_COLUMNS = 4096
"""Columns handled at a time. A block of a hundred updates (1.6 MB) stays in the cache between the
operations on it; narrower ones make the matrix product slow, wider ones leave the cache."""


class Aggregate(msgspec.Struct, frozen=True):
    """What a rule makes of one round's updates.

    `share_P` is the weight each input got in `update_D`: not negative, sum 1. It is None where a
    rule decides coordinate by coordinate, so that an input has no one weight.
    """

    update_D: Float32s
    share_P: Float32s | None = None


class UpdatesError(RoundFailedError):
    """Updates that no rule may work on.

    Args:
      message: what is wrong.
      inputs: the positions of the updates at fault; empty where none is more at fault than others.
    """

    def __init__(self, message: str, *, inputs: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.inputs = tuple(inputs)


def shape_of(updates: Updates) -> tuple[int, int]:
    """(P, D), both at least 1.

    Raises:
      UpdatesError: there are none, they are empty, not float32, or not of one length.
    """
    if len(updates) == 0:
        raise UpdatesError("there are no updates to aggregate")
    if isinstance(updates, np.ndarray) and updates.ndim != 2:
        raise UpdatesError(f"updates have shape {updates.shape} instead of (P, D)")
    dimension = int(np.shape(updates[0])[0]) if np.ndim(updates[0]) == 1 else 0
    if dimension == 0:
        raise UpdatesError("update 0 is not a vector of at least one number", inputs=(0,))
    # The rows of one array are alike, so the first speaks for all.
    for index, update_D in enumerate(updates[:1] if isinstance(updates, np.ndarray) else updates):
        if update_D.dtype != np.float32:
            raise UpdatesError(f"update {index} is {update_D.dtype}, not float32", inputs=(index,))
        if update_D.shape != (dimension,):
            raise UpdatesError(
                f"update {index} has shape {update_D.shape}, update 0 has ({dimension},)",
                inputs=(index,),
            )
    return len(updates), dimension


def column_blocks(dimension: int) -> Iterator[slice]:
    """Slices that cut `dimension` columns into blocks, from the left."""
    for start in range(0, dimension, BLOCK_COLUMNS):
        yield slice(start, min(start + BLOCK_COLUMNS, dimension))


def block_of(updates: Updates, columns: slice) -> Float32s:
    """`columns` of all updates, (P, B); a view where updates are one array."""
    if isinstance(updates, np.ndarray):
        return updates[:, columns]
    return np.stack([update_D[columns] for update_D in updates])


def refuse_not_finite(updates: Updates) -> None:
    """Raises an `UpdatesError` that names the updates with a NaN or an infinity, if any."""
    bad = [index for index, update_D in enumerate(updates) if not np.isfinite(update_D).all()]
    if bad:
        names = ", ".join(str(index) for index in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise UpdatesError(f"updates with NaN or infinity at positions {names}", inputs=bad)
