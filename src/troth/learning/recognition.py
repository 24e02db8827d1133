"""Which fast form a torch module is, if it is one of those that are known."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from torch import nn

from troth.learning.forms import (
    Activation,
    Convolution,
    ConvolutionalStack,
    DenseStack,
    Form,
)

_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
}


def recognise(module: nn.Module, features: tuple[int, ...]) -> Form | None:
    """The form of a chain of layers for examples of shape `features`; None: it may be anything.

    Only what is certain is recognised: `nn.Sequential` and layers of torch's own types, not of
    types derived from them, without hooks, each with a bias, used once, and trained.
    """
    layers = list(_chain(module))
    trained = [parameter for layer in layers for parameter in layer.parameters()]
    if (
        len({id(layer) for layer in layers}) < len(layers)
        or len({id(parameter) for parameter in trained}) < len(trained)
        or not all(parameter.requires_grad for parameter in trained)
        or not all(_plain(part) for part in (module, *module.modules()))
    ):
        return None
    first = next((at for at, layer in enumerate(layers) if type(layer) is nn.Linear), None)
    if first is None:
        return None
    dense = _dense(layers[first:])
    before = [layer for layer in layers[:first] if type(layer) is not nn.Identity]
    if dense is None:
        return None
    sizes, activations = dense
    if all(_flattens(layer) for layer in before) and (before or len(features) == 1):
        return DenseStack(sizes, activations) if sizes[0] == prod(features) else None
    image = _image(before, features)
    if image is None or not before or not _flattens(before.pop()):
        return None
    convolutions = _convolutions(before)
    if not convolutions:
        return None
    form = ConvolutionalStack(image, convolutions, sizes[1:], activations)
    return form if prod(form.images[-1]) == sizes[0] else None


def _chain(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) is nn.Sequential:
        for part in module:
            yield from _chain(part)
    else:
        yield module


def _plain(module: nn.Module) -> bool:
    """Whether nothing is attached to it that could change what it does."""
    hooks = (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_backward_hooks",
        "_backward_pre_hooks",
    )
    return "forward" not in vars(module) and not any(getattr(module, name) for name in hooks)


def _flattens(layer: nn.Module) -> bool:
    return type(layer) is nn.Flatten and layer.start_dim == 1 and layer.end_dim == -1


def _dense(layers: list[nn.Module]) -> tuple[tuple[int, ...], tuple[Activation, ...]] | None:
    """Sizes and activations of Linear, activation, Linear, ..., Linear."""
    linear, between = layers[::2], layers[1::2]
    activations = [_ACTIVATIONS.get(type(layer)) for layer in between]
    if len(linear) != len(between) + 1 or None in activations:
        return None
    sizes: list[int] = []
    for layer in linear:
        if type(layer) is not nn.Linear or layer.bias is None:
            return None
        if sizes and sizes[-1] != layer.in_features:
            return None
        sizes += [layer.out_features] if sizes else [layer.in_features, layer.out_features]
    return tuple(sizes), tuple(name for name in activations if name is not None)


def _image(layers: list[nn.Module], features: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Channels, height and width of an example; takes a layer that adds the channel off."""
    if len(features) == 3:
        channels, height, width = features
        return channels, height, width
    if len(features) == 2 and layers and type(layers[0]) is nn.Unflatten:
        height, width = features
        if layers[0].dim in (-2, 1) and tuple(layers[0].unflattened_size) == (1, height):
            layers.pop(0)
            return 1, height, width
    return None


def _convolutions(layers: list[nn.Module]) -> tuple[Convolution, ...] | None:
    """Each with its activation and its pooling, in either order, or without pooling."""
    found: list[Convolution] = []
    while layers:
        layer = layers.pop(0)
        if type(layer) is not nn.Conv2d or layer.bias is None or not _square(layer):
            return None
        activation: Activation | None = None
        pool: int | None = None
        while layers and type(layers[0]) is not nn.Conv2d:
            after = layers.pop(0)
            if type(after) in _ACTIVATIONS and activation is None:
                activation = _ACTIVATIONS[type(after)]
            elif type(after) is nn.MaxPool2d and pool is None and _tiles(after):
                pool = _side(after.kernel_size)
            else:
                return None
        if activation is None:
            return None
        found.append(Convolution(layer.out_channels, layer.kernel_size[0], activation, pool or 1))
    return tuple(found)


def _square(layer: nn.Conv2d) -> bool:
    return (
        len(set(layer.kernel_size)) == 1
        and tuple(layer.stride) == (1, 1)
        and layer.padding in ((0, 0), "valid")
        and tuple(layer.dilation) == (1, 1)
        and layer.groups == 1
    )


def _tiles(layer: nn.MaxPool2d) -> bool:
    side = _side(layer.kernel_size)
    return (
        side is not None
        and _side(layer.stride) == side
        and _side(layer.padding) == 0
        and _side(layer.dilation) == 1
        and not layer.return_indices
        and not layer.ceil_mode
    )


def _side(size: int | tuple[int, ...]) -> int | None:
    if isinstance(size, int):
        return size
    return size[0] if len(set(size)) == 1 else None
