"""Multi-layer perceptrons (MLP) over one flat vector of parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from troth.learning.forms import Activation, DenseStack, Frame
from troth.learning.models import Model, Purpose
from troth.streams import Stream
from troth.wire import Float32s

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class Perceptron(Model):
    """Fully connected layers with an activation between them.

    Parameters are, layer by layer, W row by row, then b: those of a chain of `torch.nn.Linear`.

    Args:
      purpose: its outputs are K, the units of the last layer.
      hidden: units of the hidden layers.
      frame: what `predict` puts its examples into before the first layer; None: nothing.
    """

    def __init__(
        self,
        purpose: Purpose,
        *,
        hidden: Sequence[int],
        activation: Activation,
        frame: Frame | None = None,
    ) -> None:
        inputs = frame.channels * frame.padded**2 if frame else purpose.inputs
        self.sizes = (inputs, *hidden, purpose.outputs)
        self.activation: Activation = activation
        super().__init__(
            purpose,
            dimension=sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(self.sizes)),
            floats_per_example=purpose.inputs + 2 * self.sizes[0] + 4 * sum(self.sizes[1:]),
        )

        self.form = DenseStack(self.sizes, (activation,) * len(hidden), frame)

    def init(self, stream: Stream) -> Float32s:
        """Uniform in +-1/sqrt(fan in), weights and biases, as `torch.nn.Linear` starts."""
        generator = stream.generator()
        layers = []
        for fan_in, fan_out in pairwise(self.sizes):
            bound = fan_in**-0.5
            layers.append(generator.uniform(-bound, bound, (fan_in + 1) * fan_out))
        return np.concatenate(layers).astype(np.float32)

    def predict(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        act = _ACTIVATIONS[self.activation]
        # One split, so that its derivative is one concatenation and not a padded sum per layer.
        pieces = torch.split(
            params_D,
            [n for fan_in, fan_out in pairwise(self.sizes) for n in (fan_in * fan_out, fan_out)],
        )
        value = x_BF
        for layer, (fan_in, fan_out) in enumerate(pairwise(self.sizes)):
            if layer:
                value = act(value)
            weights = pieces[2 * layer].view(fan_out, fan_in)
            value = linear(value, weights, pieces[2 * layer + 1])
        return value
