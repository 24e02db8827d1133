"""Losses, each with its closed-form derivative.

A loss acts on a model's scores, which are what its last layer gives out: (..., K) for K columns. K
is the number of classes, or 1 for regression (the value itself) and for logistic regression (the
log odds of class 1).

| loss          | task           | per example, with p the class probabilities                |
|---------------|----------------|------------------------------------------------------------|
| cross entropy | classification | -log p_y                                                   |
| squared       | classification | 1/2 sum_c (p_c - [y = c])^2, half the score of Brier (1950) |
| squared       | regression     | (y' - y)^2                                                 |
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from troth.learning.checks import check_loss
from troth.learning.spec import LossName, TaskKind
from troth.wire import Float32s

Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]


class Loss(ABC):
    """A loss per example; leading dimensions are the examples, in any number."""

    @abstractmethod
    def values(self, scores: Tensor, y: Tensor) -> Tensor:
        """Losses (...,) of scores (..., K) and targets (...,); works under torch.func."""

    @abstractmethod
    def residuals(self, scores: Tensor, y: Tensor) -> Tensor:
        """Derivatives (..., K) of `values` by the scores.

        Must be exactly that: a wrong sign or scale trains, and trains to the wrong model.
        """

    def values_and_residuals(self, scores_KN: Float32s, y_N: Targets) -> Float32s:
        """Losses (N,) of N examples, classes first; `scores_KN`, which lies in one piece,
        becomes their derivatives.

        Classes first, each operation runs along the examples; and numpy starts it sooner than torch
        does.
        """
        scores = torch.from_numpy(scores_KN).T
        y = torch.from_numpy(y_N)
        values_N = self.values(scores, y)
        scores.copy_(self.residuals(scores, y))
        found: Float32s = values_N.numpy()
        return found


class CrossEntropy(Loss):
    """-log softmax(z)_y for K >= 2 scores z."""

    def values(self, scores: Tensor, y: Tensor) -> Tensor:
        return -scores.log_softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)

    def residuals(self, scores: Tensor, y: Tensor) -> Tensor:
        return scores.softmax(-1).sub_(_one_hot(y, scores))

    def values_and_residuals(self, scores_KN: Float32s, y_N: Targets) -> Float32s:
        place_N = y_N * len(y_N)
        place_N += np.arange(len(y_N))
        flat = scores_KN.reshape(-1)
        scores_KN -= np.maximum.reduce(scores_KN)
        own_N = flat[place_N]
        np.exp(scores_KN, out=scores_KN)
        total_N = np.add.reduce(scores_KN)
        scores_KN /= total_N
        flat[place_N] -= 1
        values_N: Float32s = np.log(total_N, out=total_N)
        values_N -= own_N
        return values_N


class BinaryCrossEntropy(Loss):
    """log(1 + exp(z)) - y z for the log odds z of class 1."""

    def values(self, scores: Tensor, y: Tensor) -> Tensor:
        z = scores.squeeze(-1)
        return binary_cross_entropy_with_logits(z, y.to(z.dtype), reduction="none")

    def residuals(self, scores: Tensor, y: Tensor) -> Tensor:
        return scores.sigmoid().sub_(y.unsqueeze(-1))


class SquaredProbability(Loss):
    """Half the Brier score of softmax(z)."""

    def values(self, scores: Tensor, y: Tensor) -> Tensor:
        return 0.5 * (scores.softmax(-1) - _one_hot(y, scores)).square().sum(-1)

    def residuals(self, scores: Tensor, y: Tensor) -> Tensor:
        p = scores.softmax(-1)
        by_p = p - _one_hot(y, scores)
        return p * (by_p - (p * by_p).sum(-1, keepdim=True))


class BinarySquaredProbability(Loss):
    """(sigmoid(z) - y)^2, which is half the Brier score over both classes."""

    def values(self, scores: Tensor, y: Tensor) -> Tensor:
        return (scores.squeeze(-1).sigmoid() - y).square()

    def residuals(self, scores: Tensor, y: Tensor) -> Tensor:
        p = scores.sigmoid()
        return 2.0 * (p - y.unsqueeze(-1)) * p * (1.0 - p)


class SquaredError(Loss):
    """(z - y)^2 for one score z and a target of any size, kept as given."""

    def values(self, scores: Tensor, y: Tensor) -> Tensor:
        return (scores.squeeze(-1) - y).square()

    def residuals(self, scores: Tensor, y: Tensor) -> Tensor:
        return 2.0 * (scores - y.unsqueeze(-1))


def choose_loss(task: TaskKind, name: LossName | None, *, columns: int) -> Loss:
    """The loss called `name` for models with `columns` scores per example.

    Args:
      name: None is cross entropy for classification and squared error for regression.

    Raises:
      CharterError: cross entropy for regression, which has no classes.
    """
    check_loss(name, task)
    if task == "regression":
        return SquaredError()
    if name == "squared":
        return BinarySquaredProbability() if columns == 1 else SquaredProbability()
    return BinaryCrossEntropy() if columns == 1 else CrossEntropy()


def _one_hot(y: Tensor, scores: Tensor) -> Tensor:
    # A comparison, not a scatter: it has one order of additions on every device.
    classes_K = torch.arange(scores.shape[-1], device=scores.device)
    return (y.unsqueeze(-1) == classes_K).to(scores.dtype)
