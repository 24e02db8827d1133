"""MNIST and the credit data as the paper's peers train on them: every feature with mean 0 and
standard deviation 1.

How large gradients are beside the noise decides whether Multi-Krum sees anything, and that depends
on the features' scale.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from troth.data import DataSet
from troth.data.loading import read_named
from troth.data.root import data_root
from troth.wire import Float32s

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
"""Of all training pixels, divided by 255: what PyTorch's examples scale MNIST by."""


def mnist() -> DataSet:
    """MNIST, all pixels on one scale."""
    return _scaled(
        read_named("mnist", data_root()),
        np.float32(MNIST_MEAN),
        np.float32(MNIST_STD),
        "pixels: less 0.1307, over 0.3081",
    )


def credit(label_copy: bool = False) -> DataSet:
    """The credit data, each attribute by its mean and standard deviation in the 21,000 training
    rows, as in the files that the paper's authors published.

    Args:
      label_copy: keep the attribute of theirs that gives the answer away: the label once more.
    """
    data_set = read_named("credit", data_root())
    if label_copy:
        train, test = (
            replace(examples, x_NF=np.column_stack([examples.x_NF, np.float32(examples.y_N)]))
            for examples in (data_set.train, data_set.test)
        )
        data_set = replace(
            data_set,
            train=train,
            test=test,
            features=(train.x_NF.shape[1],),
            notes=["credit: WITH A COPY OF THE LABEL among the attributes", *data_set.notes[:1]],
        )
    x_NF = data_set.train.x_NF.astype(np.float64)
    return _scaled(
        data_set,
        x_NF.mean(axis=0).astype(np.float32),
        x_NF.std(axis=0).astype(np.float32),
        "attributes: less their mean, over their standard deviation, in the training rows",
    )


def _scaled(
    data_set: DataSet, mean_F: Float32s | np.float32, std_F: Float32s | np.float32, note: str
) -> DataSet:
    train, test = (
        replace(examples, x_NF=(examples.x_NF - mean_F) / std_F)
        for examples in (data_set.train, data_set.test)
    )
    return replace(data_set, train=train, test=test, notes=[*data_set.notes, note])
