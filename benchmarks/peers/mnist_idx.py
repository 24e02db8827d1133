"""MNIST for the peers, in NumPy only: they run in an environment of their own, without Troth.

Legend: N rows, F = 784 features.
"""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Mnist(NamedTuple):
    """Pixels scaled to [0, 1], in the files' own order."""

    x_NF: npt.NDArray[np.float32]
    y_N: npt.NDArray[np.int64]


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An IDX file of bytes: magic 0x0800 + dimensions, each length big-endian, the data."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


@cache
def load(split: str) -> Mnist:
    """The `train` (60,000) or `t10k` (10,000) rows, read once per process."""
    folder = Path(os.environ["TROTH_DATA"]) / "mnist"
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")
    x_NF = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    return Mnist(x_NF, labels.astype(np.int64))
