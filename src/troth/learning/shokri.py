"""The networks of Shokri & Shmatikov, "Privacy-preserving deep learning" (CCS 2015), section 6.

alpha-MDL ("two major DNN architectures adapted from [5]"), SecProbe and FDPDDL all refer to them
without repeating them. What is known, and from where:

- CNN, two convolutions with max pooling and one hidden layer of 128 units: SecProbe, which names
  Shokri & Shmatikov as its source.
- MLP of 128 and 64 ReLU units on 32x32 inputs, MNIST padded with zeros; kernels, poolings and tanh
  units of the CNNs, with 200 hidden units on MNIST: public Torch7 scripts for the same experiment.

We do not hold the paper itself, so the networks are inferred from these. They have the parameter
counts commonly quoted from it: on MNIST 140,106 (MLP) and 105,506 (CNN), on SVHN 402,250 and
313,546.

Differs from those scripts: their SVHN network has L2 pooling and subtractive normalisation; here it
has max pooling and no normalisation, as SecProbe tells. Neither has parameters.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from troth.errors import CharterError
from troth.learning.checks import check_images
from troth.learning.forms import Frame
from troth.learning.mlp import Perceptron
from troth.learning.models import Purpose

HIDDEN = (128, 64)

_MNIST_SIDE = 28
_PADDED_SIDE = 32


class ShokriPerceptron(Perceptron):
    """The MLP: 128 and 64 hidden ReLU units.

    Images of 28x28 are padded with zeros to 32x32, two pixels on each side, as the MNIST of Torch7
    is: D = 140,106. Anything else goes in as it is.
    """

    def __init__(self, purpose: Purpose) -> None:
        *channels, height, width = (1, *purpose.features)
        self._padded = height == width == _MNIST_SIDE
        frame = Frame(prod(channels), _MNIST_SIDE, _PADDED_SIDE) if self._padded else None
        super().__init__(
            purpose,
            hidden=HIDDEN,
            activation="relu",
            frame=frame,
        )

    def predict(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        if self._padded:
            margin = (_PADDED_SIDE - _MNIST_SIDE) // 2
            x_BF = pad(torch.unflatten(x_BF, -1, self.features), (margin,) * 4).flatten(1)
        return super().predict(params_D, x_BF)


def shokri_cnn(features: tuple[int, ...], outputs: int) -> nn.Module:
    """The CNN for one channel (MNIST) or more (SVHN), for images (H, W) or (channels, H, W).

    28x28 and 32x32 images of one channel lead to the same 105,506 parameters, so nothing is padded.

    Raises:
      CharterError: the examples are no images, or too small for the network's two poolings.
    """
    check_images(features)
    channels, height, width = (1, *features) if len(features) == 2 else features
    maps, hidden, pooling = ((32, 64), 200, (3, 2)) if channels == 1 else ((64, 64), 128, (2, 2))
    left = [((side - 4) // pooling[0] - 4) // pooling[1] for side in (height, width)]
    if min(left) < 1:
        smallest = (pooling[1] + 4) * pooling[0] + 4
        raise CharterError(
            f"needs images of at least {smallest}x{smallest}, but these are {height}x{width}",
            key="task.model.name",
            value="shokri_cnn",
            hint='take name = "mlp", or a CNN of your own with name = "module"',
        )
    return nn.Sequential(
        nn.Unflatten(-2, (1, height)) if len(features) == 2 else nn.Identity(),
        nn.Conv2d(channels, maps[0], 5),
        nn.Tanh(),
        nn.MaxPool2d(pooling[0]),
        nn.Conv2d(maps[0], maps[1], 5),
        nn.Tanh(),
        nn.MaxPool2d(pooling[1]),
        nn.Flatten(),
        nn.Linear(maps[1] * prod(left), hidden),
        nn.Tanh(),
        nn.Linear(hidden, outputs),
    )
