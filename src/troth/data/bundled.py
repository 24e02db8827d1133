"""The data sets that come with scikit-learn: always there, offline.

They are scaled by ranges stated here, never by statistics of the rows, and split by a fixed stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from troth.data.examples import DataSet, Examples
from troth.data.split import fixed_split

TEST_SHARE = 0.2

_TUMOUR = (
    30, 40, 200, 2600, 0.2, 0.4, 0.5, 0.25, 0.4, 0.1,
    3, 5, 25, 600, 0.04, 0.15, 0.4, 0.06, 0.08, 0.03,
    40, 50, 260, 4500, 0.25, 1.1, 1.3, 0.3, 0.7, 0.25,
)  # fmt: skip
"""Upper ends, above the largest values in scikit-learn's description: mean, standard error and
worst of radius, texture, perimeter, area, smoothness, compactness, concavity, concave points,
symmetry and fractal dimension. The lower ends are 0."""

RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "digits": ((0, 16),) * 64,
    "breast_cancer": tuple((0, upper) for upper in _TUMOUR),
    "diabetes": (
        (18, 80), (1, 2), (15, 45), (60, 140), (80, 320),
        (40, 250), (20, 100), (1, 10), (3, 6.5), (50, 130),
    ),
    "wine": (
        (11, 15), (0.5, 6), (1, 3.5), (10, 30), (70, 165), (0.9, 4), (0.3, 5.5), (0.1, 0.7),
        (0.4, 3.6), (1, 13), (0.4, 1.8), (1.2, 4), (270, 1700),
    ),
    "iris": ((4, 8), (2, 4.5), (1, 7), (0, 2.6)),
}  # fmt: skip
"""Least and greatest value of each feature."""

SHAPES: dict[str, tuple[int, ...]] = {"digits": (1, 8, 8)}
_GREATEST_PROGRESSION = 346.0
"""The greatest target of `diabetes`, in its description."""


def read(name: str) -> DataSet:
    """The bundled set called `name`: features in [0, 1], a fixed 80/20 split."""
    from sklearn import datasets

    load: Callable[..., Any] = getattr(datasets, f"load_{name}")
    regression = name == "diabetes"
    # `diabetes` alone is offered already scaled, by statistics of its own rows.
    found = load(scaled=False) if regression else load()
    minimum_F, maximum_F = np.asarray(RANGES[name], dtype=np.float64).T
    x_NF = ((found.data - minimum_F) / (maximum_F - minimum_F)).astype(np.float32)
    y_N = found.target.astype(np.int64)
    notes: list[str] = []
    if regression:
        y_N = (found.target / _GREATEST_PROGRESSION).astype(np.float32)
        notes.append("diabetes: the target, disease progression, is divided by 346")
    rows = Examples(x_NF=x_NF, y_N=y_N)
    train, test = fixed_split(rows, TEST_SHARE, name)
    return DataSet(
        name=name,
        task="regression" if regression else "classification",
        train=train,
        test=test,
        features=SHAPES.get(name, (x_NF.shape[1],)),
        classes=() if regression else tuple(str(label) for label in found.target_names),
        target_floor=0.01 if regression else 1e-6,
        notes=[
            f"{name}: from scikit-learn; a fixed split of {len(train)} training and "
            f"{len(test)} test rows; features scaled to [0, 1] by fixed ranges",
            *notes,
        ],
    )
