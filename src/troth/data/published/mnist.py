"""MNIST (LeCun, Cortes, Burges): 28x28 grey images of digits, in IDX files."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from troth.data.examples import DataSet, Examples
from troth.errors import DataError

SIDE = 28
CLASSES = tuple(str(digit) for digit in range(10))
_IMAGES_MAGIC = 0x0803
_LABELS_MAGIC = 0x0801


def read(
    train_images: bytes, train_labels: bytes, test_images: bytes, test_labels: bytes
) -> DataSet:
    """Pixels divided by 255; the original split.

    Raises:
      DataError: the content is not IDX of this size.
    """
    train = _examples(train_images, train_labels, "train")
    test = _examples(test_images, test_labels, "t10k")
    return DataSet(
        name="mnist",
        task="classification",
        train=train,
        test=test,
        features=(1, SIDE, SIDE),
        classes=CLASSES,
        notes=[
            f"mnist: the original split, {len(train)} training and {len(test)} test rows; "
            "pixels / 255"
        ],
    )


def _examples(images: bytes, labels: bytes, part: str) -> Examples:
    pixels = _idx(images, _IMAGES_MAGIC, f"{part}-images", trailing=(SIDE, SIDE))
    digits_N = _idx(labels, _LABELS_MAGIC, f"{part}-labels", trailing=())
    if len(pixels) != len(digits_N):
        raise _damaged(f"{part}: {len(pixels)} images but {len(digits_N)} labels")
    if digits_N.max(initial=0) > 9:
        raise _damaged(f"{part}: label {digits_N.max()} is above 9")
    x_NF = pixels.reshape(len(pixels), SIDE * SIDE).astype(np.float32)
    x_NF /= np.float32(255)
    return Examples(x_NF=x_NF, y_N=digits_N.astype(np.int64))


def _idx(
    content: bytes, magic: int, name: str, *, trailing: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """The array of an IDX file: a big-endian magic number and sizes, then bytes. Not copied."""
    header = struct.Struct(f">{2 + len(trailing)}I")
    if len(content) < header.size:
        raise _damaged(
            f"{name}: {len(content)} bytes are too few for an IDX header of {header.size}"
        )
    found_magic, count, *sizes = header.unpack_from(content)
    if found_magic != magic or tuple(sizes) != trailing:
        raise _damaged(
            f"{name}: magic {found_magic} and sizes {sizes}, expected {magic} and {list(trailing)}"
        )
    expected_bytes = header.size + count * int(np.prod(trailing, dtype=np.int64))
    if len(content) != expected_bytes or count == 0:
        raise _damaged(
            f"{name}: {len(content)} bytes, but its header says {count} items, "
            f"{expected_bytes} bytes"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header.size).reshape(count, *trailing)


def _damaged(problem: str) -> DataError:
    return DataError(f"mnist/{problem}", hint="fetch it again: troth data fetch mnist")
