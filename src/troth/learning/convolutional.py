"""Convolutional stacks: the local update written out, one party after another.

A convolution is a product of its kernels with the patches of its input, examples last in memory by
channel: (B, height, width, channels). The largest of each square is taken before the activation,
which is increasing, so that activations are few; a bias, too, is added after. Parameters are kept
in the order that products want, and put back into that of torch at the end.

Array names: B examples of a batch, N places of all examples, C channels, Q numbers of a patch, H
outputs, K scores, D parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import torch
from torch import Tensor

from troth.learning.batches import Batches
from troth.learning.chunk import Chunk, Plan
from troth.learning.dense import APPLY, DERIVE
from troth.learning.descent import Rule, rule_of
from troth.learning.forms import Convolution, ConvolutionalStack
from troth.learning.losses import Targets
from troth.learning.models import Model
from troth.learning.results import LocalResult
from troth.learning.training import Training
from troth.learning.workspace import WORKSPACE
from troth.wire import Float32s, Int64s

_PARTIES = 4
"""Parties of a chunk. They are gone over one by one, so fewer would only be more to hand out."""


def plan(form: ConvolutionalStack, batches: Batches, training: Training, model: Model) -> Plan:
    """How to compute the update of a party."""
    rule = rule_of(training)
    examples = batches.size * model.floats_per_example
    size = 4 * (examples + (4 + rule.states) * model.dimension)
    return Plan(
        kind="convolutional",
        bytes_per_party=size,
        chunk_bytes=_PARTIES * size,
        even=True,
        update=partial(_update_chunk, form, rule),
    )


def _update_chunk(form: ConvolutionalStack, rule: Rule, chunk: Chunk) -> list[LocalResult]:
    trainer = _Trainer(form, rule, chunk)
    return [trainer.update(p) for p in range(len(chunk))]


class _Trainer:
    """Makes the updates of one chunk, in arrays that every party uses again."""

    def __init__(self, form: ConvolutionalStack, rule: Rule, chunk: Chunk) -> None:
        self._chunk, self._rule, self._model = chunk, rule, chunk.bench.model
        dimension = self._model.dimension
        self._params_1D, self._start_1D, self._grad_1D = (
            WORKSPACE.take(name, 1, dimension) for name in ("params", "start", "gradient")
        )
        self._states = [WORKSPACE.take(f"state {i}", 1, dimension) for i in range(rule.states)]
        self._network = _Network(form, self._model, self._params_1D[0], self._grad_1D[0])
        self._rate_P = torch.from_numpy(chunk.rate_P)

    def update(self, p: int) -> LocalResult:
        """The update of party `p`."""
        chunk, network, training = self._chunk, self._network, self._chunk.training
        params_1D, grad_1D = self._params_1D, self._grad_1D
        network.ordered(chunk.starts[p], self._start_1D[0])
        params_1D.copy_(self._start_1D)
        for state in self._states:
            state.zero_()
        if self._states and chunk.velocities is not None:
            network.ordered(chunk.velocities[p], self._states[0][0])
        losses = [self._step(p, row_B) for row_B in chunk.batches[p]]
        changed_1D = grad_1D if training.update == "gradient" else params_1D.sub_(self._start_1D)
        return chunk.hand_out(
            p,
            network.in_torchs_order(changed_1D[0]),
            float(np.mean(losses, dtype=np.float32)),
            network.in_torchs_order(self._states[0][0]) if training.keeps_velocity else None,
        )

    def _step(self, p: int, row_B: Int64s) -> float:
        """Make a step; gives the loss before it."""
        bench, training = self._chunk.bench, self._chunk.training
        x_BF = WORKSPACE.take("examples", len(row_B), self._model.inputs)
        torch.index_select(bench.x_NF, 0, torch.from_numpy(row_B), out=x_BF)
        loss = self._network.gradient(x_BF, bench.targets_N[row_B])
        if self._model.l2:
            self._grad_1D.add_(self._params_1D, alpha=self._model.l2)
        if training.update != "gradient":
            rate_1 = self._rate_P[p : p + 1]
            self._rule.step(self._params_1D, self._states, self._grad_1D, rate_1)
        return loss


@dataclass(frozen=True)
class _Part:
    """A part of the flat vector: how torch has it, and in which order products want it."""

    begin: int
    shape: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def place(self) -> slice:
        return slice(self.begin, self.begin + prod(self.shape))

    @property
    def ordered(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self.order)


class _Network:
    """Forward and backward of one party.

    Args:
      params_D: what it computes with; grad_D: where it writes gradients. Both are in the order of
        products.
    """

    def __init__(
        self, form: ConvolutionalStack, model: Model, params_D: Tensor, grad_D: Tensor
    ) -> None:
        self._form, self._model = form, model
        self._parts: list[_Part] = []
        images = form.images
        for number, (image, layer) in enumerate(zip(images, form.convolutions, strict=False)):
            # The first has its patches by number, the others by place and channel.
            order = (1, 2, 3, 0) if number == 0 else (2, 3, 1, 0)
            shape = (layer.channels, image[0], layer.kernel, layer.kernel)
            self._add(shape, order)
            self._add((layer.channels,), (0,))
        inputs: tuple[int, ...] = images[-1]
        for outputs in form.sizes:
            # The first takes channels first, as torch flattens images.
            self._add((outputs, *inputs), (0, 2, 3, 1) if len(inputs) == 3 else (0, 1))
            self._add((outputs,), (0,))
            inputs = (outputs,)
        parts = self._parts
        many = len(self._form.convolutions)
        pairs = [
            (params_D[part.place].view(part.ordered), grad_D[part.place].view(part.ordered))
            for part in parts
        ]
        self._convolutions = [
            _Convolution(layer, f"convolution {i}", pairs[2 * i], pairs[2 * i + 1], first=i == 0)
            for i, layer in enumerate(self._form.convolutions)
        ]
        self._dense = list(zip(pairs[2 * many :: 2], pairs[2 * many + 1 :: 2], strict=True))

    def _add(self, shape: tuple[int, ...], order: tuple[int, ...]) -> None:
        begin = self._parts[-1].place.stop if self._parts else 0
        self._parts.append(_Part(begin, shape, order))

    def ordered(self, vector_D: Float32s, out_D: Tensor) -> None:
        """Write `vector_D` in the order of products."""
        out = out_D.numpy()
        for part in self._parts:
            given = vector_D[part.place].reshape(part.shape)
            out[part.place].reshape(part.ordered)[...] = given.transpose(part.order)

    def in_torchs_order(self, ordered_D: Tensor) -> Float32s:
        """A new array with the same numbers in the order of torch."""
        found = np.empty(self._model.dimension, dtype=np.float32)
        given = ordered_D.numpy()
        for part in self._parts:
            put = found[part.place].reshape(part.shape).transpose(part.order)
            put[...] = given[part.place].reshape(part.ordered)
        return found

    def gradient(self, x_BF: Tensor, y_B: Targets) -> float:
        """Write the gradient of the mean loss, without l2; gives that loss."""
        form = self._form
        examples = len(x_BF)
        value = x_BF.view(examples, *form.image)
        for convolution in self._convolutions:
            value = convolution.forward(value)
        inputs = [value.view(examples, -1)]
        for number, ((weights, _), (bias_H, _)) in enumerate(self._dense):
            if number:
                APPLY[form.activations[number - 1]](inputs[-1])
            inputs.append(torch.addmm(bias_H, inputs[-1], weights.view(len(bias_H), -1).T))
        scores_KB = inputs.pop().T.contiguous().numpy()
        values_B = self._model.loss.values_and_residuals(scores_KB, y_B)
        by_output = torch.from_numpy(scores_KB).mul_(1 / examples).T
        for number in reversed(range(len(self._dense))):
            (weights, by_weights), (bias_H, by_bias_H) = self._dense[number]
            given = inputs[number]
            torch.mm(by_output.T, given, out=by_weights.view(len(bias_H), -1))
            torch.sum(by_output, 0, out=by_bias_H)
            by_output = torch.mm(by_output, weights.view(len(bias_H), -1))
            if number:
                by_output = DERIVE[form.activations[number - 1]](by_output, given)
        by_image = by_output.view(value.shape)
        for convolution in reversed(self._convolutions):
            by_image = convolution.backward(by_image)
        return float(values_B.mean())


Pair = tuple[Tensor, Tensor]
"""Parameters, and where their gradient is written to."""


class _Convolution:
    """One convolution with its pooling and its activation.

    Args:
      first: it is given images by channel, (B, C, height, width), and nobody asks for the
        derivatives by them. Others are given (B, height, width, C).
    """

    def __init__(
        self, layer: Convolution, name: str, weights: Pair, bias: Pair, *, first: bool
    ) -> None:
        self._layer, self._name, self._first = layer, name, first
        channels = layer.channels
        self._weights_QC, self._by_weights_QC = (pair.view(-1, channels) for pair in weights)
        self._bias_C, self._by_bias_C = bias

    def forward(self, value: Tensor) -> Tensor:
        """What it gives out, (B, height, width, C)."""
        kernel, pool, channels = self._layer.kernel, self._layer.pool, self._layer.channels
        self._patches_NQ = self._by_channel(value) if self._first else self._by_place(value)
        products = WORKSPACE.take(f"{self._name} out", len(self._patches_NQ), channels)
        torch.mm(self._patches_NQ, self._weights_QC, out=products)
        sides = value.shape[2:] if self._first else value.shape[1:3]
        height, width = (side - kernel + 1 for side in sides)
        self._given = value.shape
        self._conv = products.view(len(value), height, width, channels)
        given = self._conv.permute(0, 3, 1, 2)
        if pool > 1:
            largest, self._indices = torch.ops.aten.max_pool2d_with_indices(
                given, [pool, pool], [pool, pool]
            )
            out = largest.permute(0, 2, 3, 1)
        else:
            out = self._conv
        out.add_(self._bias_C)
        self._out = APPLY[self._layer.activation](out)
        return self._out

    def backward(self, by_output: Tensor) -> Tensor:
        """Write the gradient; gives the derivatives by the input, if it is not the first."""
        pool, channels = self._layer.pool, self._layer.channels
        by_sum = DERIVE[self._layer.activation](by_output, self._out)
        torch.sum(by_sum.view(-1, channels), 0, out=self._by_bias_C)
        if pool > 1:
            size = [pool, pool]
            by_conv = torch.ops.aten.max_pool2d_with_indices_backward(
                by_sum.permute(0, 3, 1, 2),
                self._conv.permute(0, 3, 1, 2),
                size,
                size,
                [0, 0],
                [1, 1],
                False,
                self._indices,
                # What was given has been read, and the cache still holds it.
                grad_input=self._conv.permute(0, 3, 1, 2),
            )
            by_sum = by_conv.permute(0, 2, 3, 1)
        by_product_NC = by_sum.reshape(-1, channels)
        torch.mm(self._patches_NQ.T, by_product_NC, out=self._by_weights_QC)
        return by_product_NC if self._first else self._to_input(by_product_NC)

    def _by_channel(self, value: Tensor) -> Tensor:
        """The patches of images (B, C, height, width), each number's together."""
        examples, channels, height, width = value.shape
        kernel = self._layer.kernel
        down, across = height - kernel + 1, width - kernel + 1
        shape = (channels, kernel, kernel, examples, down, across)
        strides = (height * width, width, 1, channels * height * width, width, 1)
        out = WORKSPACE.take(f"{self._name} patches", *shape)
        out.copy_(torch.as_strided(value, shape, strides, value.storage_offset()))
        return out.view(channels * kernel * kernel, -1).T

    def _by_place(self, value: Tensor) -> Tensor:
        """The patches of images (B, height, width, C), each place's together."""
        examples, height, width, channels = value.shape
        kernel = self._layer.kernel
        down, across = height - kernel + 1, width - kernel + 1
        row = width * channels
        shape = (examples, down, across, kernel, kernel * channels)
        strides = (height * row, row, channels, row, 1)
        out = WORKSPACE.take(f"{self._name} patches", *shape)
        out.copy_(torch.as_strided(value, shape, strides, value.storage_offset()))
        return out.view(examples * down * across, -1)

    def _to_input(self, by_product_NC: Tensor) -> Tensor:
        """The derivatives by the input: those by each number of the patches, laid over each other
        where they came from."""
        examples, height, width, channels = self._given
        kernel = self._layer.kernel
        down, across = height - kernel + 1, width - kernel + 1
        weights = self._weights_QC.view(kernel**2, channels, -1).transpose(1, 2)
        by_patches = WORKSPACE.take(f"{self._name} back", kernel**2, len(by_product_NC), channels)
        torch.bmm(by_product_NC.expand(kernel**2, -1, -1), weights, out=by_patches)
        found = WORKSPACE.take(f"{self._name} image", *self._given).zero_()
        layers = by_patches.view(kernel, kernel, examples, down, across, channels).numpy()
        # Numpy begins each of these small sums in a third of the time that torch takes.
        image = found.numpy()
        for y in range(kernel):
            for x in range(kernel):
                part = image[:, y : y + down, x : x + across]
                np.add(part, layers[y, x], out=part)
        return found
