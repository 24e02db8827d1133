"""Fast forms: what a model may be known to be, so that many parties' updates are computed quickly.

A model that has one says so (`Model.form`). All others, and all on a GPU, take the path of
`general`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Activation = Literal["relu", "tanh", "sigmoid"]


@dataclass(frozen=True)
class Place:
    """Where a layer's parameters stand in the flat vector: W (H, F), row by row, then b (H,)."""

    name: str
    begin: int
    inputs: int
    outputs: int

    @property
    def weights(self) -> slice:
        return slice(self.begin, self.begin + self.inputs * self.outputs)

    @property
    def bias(self) -> slice:
        return slice(self.weights.stop, self.end)

    @property
    def end(self) -> int:
        return self.begin + (self.inputs + 1) * self.outputs


@dataclass(frozen=True)
class Frame:
    """Zeros around examples that are images (channels, side, side), to (padded, padded)."""

    channels: int
    side: int
    padded: int


@dataclass(frozen=True)
class DenseStack:
    """Fully connected layers, W x + b each, with an activation between every two.

    Args:
      sizes: inputs of the first layer, then outputs of each.
      activations: one fewer than there are layers.
      frame: what the examples are put into; None: nothing.
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]
    frame: Frame | None = None

    def __post_init__(self) -> None:
        assert len(self.activations) == len(self.sizes) - 2

    @property
    def places(self) -> tuple[Place, ...]:
        """Where each layer's parameters stand."""
        places: list[Place] = []
        for number, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            begin = places[-1].end if places else 0
            places.append(Place(f"layer {number}", begin, inputs, outputs))
        return tuple(places)


@dataclass(frozen=True)
class Convolution:
    """A square convolution at every place where it fits, an activation, and the largest of each
    square of `pool` by `pool`, in steps of as much; what is left at the edges is left out.

    Activations are increasing, so which comes first, they or the pooling, makes no difference.
    """

    channels: int
    kernel: int
    activation: Activation
    pool: int = 1


@dataclass(frozen=True)
class ConvolutionalStack:
    """Convolutions, then fully connected layers on all that they give out.

    Args:
      image: channels, height and width of an example.
      convolutions: at least one; parameters as those of `torch.nn.Conv2d`.
      sizes: outputs of each fully connected layer.
      activations: those between them.
    """

    image: tuple[int, int, int]
    convolutions: tuple[Convolution, ...]
    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]

    def __post_init__(self) -> None:
        assert len(self.activations) == len(self.sizes) - 1

    @property
    def images(self) -> tuple[tuple[int, int, int], ...]:
        """Channels, height and width of what each convolution is given, and of what the last one
        gives out."""
        found = [self.image]
        for layer in self.convolutions:
            sides = ((side - layer.kernel + 1) // layer.pool for side in found[-1][1:])
            height, width = sides
            found.append((layer.channels, height, width))
        return tuple(found)


Form = DenseStack | ConvolutionalStack
