"""Models whose scores are W x + b: logistic, softmax and linear regression, in closed form.

With r the derivative of the loss by the scores, the gradient is (r x^T, r): two matrix products per
party and batch, no graph. Parameters are W, row by row, then b: those of a `torch.nn.Linear`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from troth.learning.forms import DenseStack
from troth.learning.models import Model, Purpose
from troth.streams import Stream
from troth.wire import Float32s


class Affine(Model):
    """K scores of F features, D = (F + 1) * K.

    K is 1 for logistic regression (log odds of class 1) and linear regression, and the number of
    classes for softmax regression.
    """

    def __init__(self, purpose: Purpose, *, columns: int) -> None:
        super().__init__(
            purpose,
            dimension=(purpose.inputs + 1) * columns,
            floats_per_example=purpose.inputs + 4 * columns,
        )
        self.columns = columns
        self.form = DenseStack((purpose.inputs, columns), ())

    def init(self, stream: Stream) -> Float32s:  # noqa: ARG002  # part of the interface
        """Zeros: the objective is convex, so where it starts needs no chance."""
        return np.zeros(self.dimension, dtype=np.float32)

    def predict(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        weights_KF, bias_K = self._split(params_D)
        return linear(x_BF, weights_KF, bias_K)

    def predictions(self, params_PD: Tensor, x: Tensor) -> Tensor:
        weights_PKF, bias_PK = self._split(params_PD)
        if x.dim() == 3:
            # As (P, K, B) the product runs along both operands' rows, which is twice as fast.
            scores_PKB = torch.baddbmm(bias_PK.unsqueeze(-1), weights_PKF, x.transpose(1, 2))
            return scores_PKB.transpose(1, 2)
        # The same examples for all: one wide product instead of P narrow ones.
        scores = linear(x, weights_PKF.reshape(-1, self.inputs), bias_PK.reshape(-1))
        return torch.unflatten(scores, 1, (-1, self.columns)).transpose(0, 1)

    def _data_gradients(
        self, params: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor
    ) -> tuple[Tensor, Tensor]:
        scores_PBK = (
            self.predict(params, x_PBF) if params.dim() == 1 else self.predictions(params, x_PBF)
        )
        loss_P = (self.loss.values(scores_PBK, y_PB) * weight_PB).sum(1)
        residual_PBK = self.loss.residuals(scores_PBK, y_PB) * weight_PB.unsqueeze(-1)
        grad_PD = params.new_empty(len(y_PB), self.dimension)
        by_weights_PKF, by_bias_PK = self._split(grad_PD)
        # baddbmm_ writes into the strided view; bmm would need a tensor of its own and a copy.
        by_weights_PKF.baddbmm_(residual_PBK.transpose(1, 2), x_PBF, beta=0)
        torch.sum(residual_PBK, 1, out=by_bias_PK)
        return grad_PD, loss_P

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Views (..., K, F) and (..., K) of the parameters (..., D)."""
        shape = (self.columns, self.inputs)
        weights = torch.unflatten(params[..., : -self.columns], -1, shape)
        return weights, params[..., -self.columns :]
