"""The networks of `benchmarks/simulation.py` in JAX, for the peer that trains with it.

A network's parameters are a list of (weights, biases), layer by layer. They begin where Troth's
begin: softmax at 0, the others uniform in +-1/sqrt(fan in), weights and biases, as PyTorch's layers
start. Images are laid out (B, height, width, channels), which XLA's convolutions on CPUs want.

Legend: B rows of a batch, F = 784 features, C = 10 classes, T test rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mnist_idx
import numpy as np

Params = list[tuple[jax.Array, jax.Array]]


class Network(NamedTuple):
    """The shapes of its weights, whose last axis is the layer's outputs, and its forward pass."""

    shapes: tuple[tuple[int, ...], ...]
    scores_BC: Callable[[Params, jax.Array], jax.Array]


def softmax(params: Params, x_BF: jax.Array) -> jax.Array:
    ((weights, biases),) = params
    return x_BF @ weights + biases


def mlp(params: Params, x_BF: jax.Array) -> jax.Array:
    (weights, biases), output = params
    return softmax([output], jax.nn.relu(x_BF @ weights + biases))


def cnn(params: Params, x_BF: jax.Array) -> jax.Array:
    first, second, (weights, biases), output = params
    x = x_BF.reshape(-1, 28, 28, 1)
    x = _pooled(jnp.tanh(_convolved(x, *first)), 3)
    x = _pooled(jnp.tanh(_convolved(x, *second)), 2)
    x_BH = jnp.tanh(x.reshape(len(x), -1) @ weights + biases)
    return softmax([output], x_BH)


NETWORKS = {
    "softmax": Network(((784, 10),), softmax),
    "mlp": Network(((784, 128), (128, 10)), mlp),
    "cnn": Network(((5, 5, 1, 32), (5, 5, 32, 64), (256, 200), (200, 10)), cnn),
}
"""By the name that `--model` has for it."""


def start(name: str, generator: np.random.Generator) -> Params:
    """Where training begins."""
    params = []
    for shape in NETWORKS[name].shapes:
        bound = 0 if name == "softmax" else math.prod(shape[:-1]) ** -0.5
        weights = generator.uniform(-bound, bound, shape)
        biases = generator.uniform(-bound, bound, shape[-1])
        params.append((jnp.float32(weights), jnp.float32(biases)))
    return params


def losses_B(name: str, params: Params, x_BF: jax.Array, y_B: jax.Array) -> jax.Array:
    """The cross-entropy of each row."""
    log_BC = jax.nn.log_softmax(NETWORKS[name].scores_BC(params, x_BF))
    return -jnp.take_along_axis(log_BC, y_B[:, None], axis=1)[:, 0]


def accuracy(name: str, params: Params) -> float:
    """The share of MNIST's 10,000 test rows that the model gets right."""
    test = mnist_idx.load("t10k")
    predicted_T = NETWORKS[name].scores_BC(params, jnp.asarray(test.x_NF)).argmax(axis=1)
    return float(np.mean(np.asarray(predicted_T) == test.y_N))


def _convolved(x: jax.Array, weights: jax.Array, biases: jax.Array) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weights, (1, 1), "VALID", dimension_numbers=layout) + (
        biases
    )


def _pooled(x: jax.Array, side: int) -> jax.Array:
    window = (1, side, side, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
