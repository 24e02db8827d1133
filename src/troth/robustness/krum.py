"""Krum and Multi-Krum: trust the updates that have close neighbours."""

from __future__ import annotations

import numpy as np

from troth.robustness.bounds import require_inputs
from troth.robustness.combination import combine
from troth.robustness.distances import squared_distances
from troth.robustness.updates import Aggregate, Updates, UpdatesError, shape_of
from troth.wire import Float64s


def krum(updates: Updates, f: int) -> Aggregate:
    """The one update with the least score.

    s(i) = the sum of the P - f - 2 least squared distances from update i to others.

    Withstands f Byzantine inputs for P >= 2f + 3. Blanchard et al., NeurIPS 2017, section 4.
    Ties go to the lowest position.

    Raises:
      UpdatesError: an update is not finite, or P < 2f + 3.
    """
    return _best("krum", updates, f, 1)


def multi_krum(updates: Updates, f: int, m: int | None = None) -> Aggregate:
    """Mean of the m updates with the least Krum scores; m is P - f when None.

    Withstands f Byzantine inputs for P >= 2f + 3 and m <= P - f. Blanchard et al., NeurIPS 2017,
    section 5; Biscotti uses m = P - f. Ties go to the lowest position. m = 1 is Krum.

    Raises:
      UpdatesError: an update is not finite, P < 2f + 3, or m is not in 1 .. P - f.
    """
    count, _ = shape_of(updates)
    if m is not None and not 1 <= m <= count - f:
        raise UpdatesError(f"multi_krum cannot select {m} of {count} updates with f = {f}")
    return _best("multi_krum", updates, f, count - f if m is None else m)


def krum_scores(squared_PP: Float64s, f: int) -> Float64s:
    """s(i), shape (P,): the sum of the max(1, P - f - 2) least squared distances to others."""
    count = len(squared_PP)
    neighbours = max(1, count - f - 2)
    others_PP = squared_PP.copy()
    np.fill_diagonal(others_PP, np.inf)
    others_PP.partition(neighbours - 1, axis=1)
    scores_P: Float64s = others_PP[:, :neighbours].sum(axis=1)
    return scores_P


def _best(rule: str, updates: Updates, f: int, m: int) -> Aggregate:
    count, _ = shape_of(updates)
    require_inputs(rule, count, least=2 * f + 3, f=f)
    scores_P = krum_scores(squared_distances(updates), f)
    share_P = np.zeros(count)
    share_P[np.argsort(scores_P, kind="stable")[:m]] = 1 / m
    return Aggregate(combine(updates, share_P), share_P.astype(np.float32))
