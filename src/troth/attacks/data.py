"""Attacks on one's own data: the attacker then trains like everybody else.

Legend of shapes: N rows, F the shape of one example (one or more axes).
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from troth.attacks.spec import DataAttack, LabelFlip, RandomData
from troth.errors import LocalError
from troth.wire import Float32s, Int64s


def poison(
    spec: DataAttack,
    x_NF: Float32s,
    y_N: Int64s | Float32s,
    classes: int | None,
    generator: np.random.Generator,
) -> tuple[Float32s, Int64s | Float32s]:
    """What the attacker trains on instead of its own rows; the arrays given stay as they are.

    | attack        | rows become                                                                |
    |---------------|----------------------------------------------------------------------------|
    | `label_flip`  | source -> target; without them every class c -> classes - 1 - c            |
    | `random_data` | a `portion` of the rows, rounded, drawn without replacement, gets features |
    |               | uniform in [0, 1], the range that charters scale to; labels stay           |

    `random_data`: Zhao et al., SecProbe (IEEE TIFS 2020), section IV-B; fraction P.

    Args:
      spec: the attack.
      x_NF: features, float32.
      y_N: classes, int64, or targets, float32, for regression.
      classes: their number; None for regression.
      generator: draws rows and noise.

    Raises:
      LocalError: labels are flipped in a regression task, or `source` or `target` is not a class.
    """
    match spec:
        case LabelFlip():
            return x_NF.copy(), _flip(spec, y_N, classes)
        case RandomData():
            rows = generator.permutation(len(x_NF))[: round(spec.portion * len(x_NF))]
            noisy_NF = x_NF.copy()
            noisy_NF[rows] = generator.random((len(rows), *x_NF.shape[1:]), dtype=np.float32)
            return noisy_NF, y_N.copy()
        case _:
            assert_never(spec)


def _flip(spec: LabelFlip, y_N: Int64s | Float32s, classes: int | None) -> Int64s | Float32s:
    if classes is None:
        raise LocalError("label_flip needs classes, and this task is a regression")
    if spec.source is None or spec.target is None:
        return classes - 1 - y_N
    for label in (spec.source, spec.target):
        if label >= classes:
            raise LocalError(f"label_flip names class {label}, and there are {classes} classes")
    flipped_N = y_N.copy()
    flipped_N[y_N == spec.source] = spec.target
    return flipped_N
