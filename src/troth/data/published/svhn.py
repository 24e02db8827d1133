"""SVHN, cropped digits (Netzer et al. 2011): 32x32 colour images of house numbers, in MAT files."""

from __future__ import annotations

import io

import numpy as np

from troth.data.examples import DataSet, Examples
from troth.data.published.files import ELSEWHERE
from troth.errors import DataError

SIDE = 32
CLASSES = tuple(str(digit) for digit in range(10))


def read(training: bytes, testing: bytes) -> DataSet:
    """Pixels divided by 255, channels first; the original split without the extra images.

    Raises:
      DataError: the content is not a MAT file of this shape.
    """
    train, test = _examples(training, "train_32x32.mat"), _examples(testing, "test_32x32.mat")
    return DataSet(
        name="svhn",
        task="classification",
        train=train,
        test=test,
        features=(3, SIDE, SIDE),
        classes=CLASSES,
        notes=[
            f"svhn: cropped digits, the original split, {len(train)} training and {len(test)} test "
            "rows, without the extra set (FDPDDL takes 100,000 training rows); pixels / 255"
        ],
    )


def _examples(content: bytes, name: str) -> Examples:
    from scipy.io import loadmat  # type: ignore[import-untyped]  # scipy ships no types
    from scipy.io.matlab import MatReadError  # type: ignore[import-untyped]  # the same

    try:
        arrays = loadmat(io.BytesIO(content), variable_names=("X", "y"))
        pixels_HWCN, digits_N = arrays["X"], np.ravel(arrays["y"])
    except (MatReadError, KeyError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise DataError(
            f"svhn/{name}: is not a MAT file with X and y: {error}", hint=ELSEWHERE["svhn"]
        ) from None
    rows = len(digits_N)
    if pixels_HWCN.shape != (SIDE, SIDE, 3, rows) or pixels_HWCN.dtype != np.uint8 or rows == 0:
        raise DataError(
            f"svhn/{name}: X is {pixels_HWCN.dtype} of shape {pixels_HWCN.shape}, "
            f"expected uint8 of shape ({SIDE}, {SIDE}, 3, {rows})",
            hint=ELSEWHERE["svhn"],
        )
    if digits_N.min() < 1 or digits_N.max() > 10:
        raise DataError(f"svhn/{name}: a label is outside 1..10", hint=ELSEWHERE["svhn"])
    x_NF = pixels_HWCN.transpose(3, 2, 0, 1).reshape(rows, -1).astype(np.float32)
    x_NF /= np.float32(255)
    # The files write the digit 0 as class 10.
    return Examples(x_NF=x_NF, y_N=digits_N.astype(np.int64) % 10)
