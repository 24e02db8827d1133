"""The networks of `benchmarks/simulation.py` in PyTorch, for the peers that train with it.

They begin where Troth's begin: softmax at 0, the others with PyTorch's own initialisation. A batch
is (B, 784).
"""

from __future__ import annotations

import mnist_idx
import torch
from torch import nn


def softmax() -> nn.Module:
    """784 x 10 weights and 10 biases."""
    model = nn.Linear(784, 10)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def mlp() -> nn.Module:
    """128 hidden ReLU units."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    """Troth's `shokri_cnn` for MNIST."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 32, 5),
        nn.Tanh(),
        nn.MaxPool2d(3),
        nn.Conv2d(32, 64, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 200),
        nn.Tanh(),
        nn.Linear(200, 10),
    )


NETWORKS = {"softmax": softmax, "mlp": mlp, "cnn": cnn}
"""What makes each network, by the name that `--model` has for it."""


def accuracy(model: nn.Module) -> float:
    """The share of MNIST's 10,000 test rows that the model gets right."""
    test = mnist_idx.load("t10k")
    with torch.no_grad():
        predicted_T = model(torch.from_numpy(test.x_NF)).argmax(dim=1)
    return float((predicted_T == torch.from_numpy(test.y_N)).double().mean())
