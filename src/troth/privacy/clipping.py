"""Clipping, and the sensitivity it gives.

Sensitivity is how far apart the released values of two neighbouring data sets can be, in the norm
that was clipped. With clipping bound C:

| released                              | unit   | add_remove | replace_one |
|---------------------------------------|--------|------------|-------------|
| a clipped update                      | record | 2 C        | 2 C         |
| a clipped update                      | party  | C          | 2 C         |
| a sum of clipped contributions        | record | C          | 2 C         |

One record more or less can move a whole update from one side of the ball to the other, so for a
record an update is as sensitive as if all data were exchanged. An absent party counts as one whose
update is zero, and which sends noise all the same.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from troth.errors import LocalError, RoundFailedError
from troth.privacy.spec import MAX_CLIP, MIN_CLIP, Adjacency, Unit
from troth.wire import Float32s

Norm = Literal["l1", "l2"]

SLACK = 2.0**-22
"""Clipping aims so much below the bound. Rounding to float32 adds 2^-24 at most, so that what comes
out keeps to the bound exactly and not only nearly (Casacuberta et al., CCS 2022)."""


def check_clip(clip: float) -> None:
    """Raise a `LocalError` for a bound that is not from `MIN_CLIP` to `MAX_CLIP`."""
    if not MIN_CLIP <= clip <= MAX_CLIP:
        raise LocalError(
            f"clip={clip} is outside {MIN_CLIP:g} to {MAX_CLIP:g}",
            hint='take about the norm of a typical update; `mechanism = "none"` clips nothing',
        )


def clip_update(update_D: Float32s, clip: float, norm: Norm = "l2") -> Float32s:
    """`update_D`, scaled down to norm `clip` if it is longer.

    Guarantees that the norm of the result, of its float32 values taken exactly, is at most `clip`.

    Raises:
      RoundFailedError: the update is not finite. That stops this party where others can see it, and
        no accountant counts it; an update that is clipped while training never gets there.
    """
    check_clip(clip)
    if not np.isfinite(update_D).all():
        raise RoundFailedError(
            "an update that is not finite cannot be clipped",
            hint="lower [training] learning_rate",
        )
    wide_D = update_D.astype(np.float64)
    length = float(np.linalg.norm(wide_D, 1 if norm == "l1" else 2))
    aim = clip * (1.0 - SLACK)
    if length <= aim:
        return update_D
    return (wide_D * (aim / length)).astype(np.float32)


def update_sensitivity(clip: float, unit: Unit, adjacency: Adjacency) -> float:
    """How far apart two neighbours' clipped updates can be."""
    return clip if unit == "party" and adjacency == "add_remove" else 2.0 * clip


def sum_sensitivity(clip: float, adjacency: Adjacency) -> float:
    """How far apart two neighbours' sums of clipped contributions, one a record, can be."""
    return clip if adjacency == "add_remove" else 2.0 * clip
