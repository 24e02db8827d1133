"""What everything in learning knows of a model: a function of one flat float32 vector.

Array names end in their shape: P parties, B examples of a batch, F features of an example after
flattening, K scores of an example (see `troth.learning.losses`), D parameters.

Regularisation: with l2 > 0 a party minimises mean loss + l2/2 * ||w||^2 over *all* parameters,
biases included, as `weight_decay` of torch.optim.SGD does. It is in the gradients and in no
reported loss, so that losses of differently regularised models can be compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from troth.learning.forms import Form
from troth.learning.losses import Loss
from troth.learning.spec import TaskKind
from troth.streams import Stream
from troth.wire import Float32s

WORKSPACE_BYTES = 8 * 2**20
"""Temporary memory that one vectorised call aims at on a CPU. Small enough to be reused warm:
gathering 100 MB of rows at once measured 20 times slower than the same rows in tenths."""

CUDA_WORKSPACE_BYTES = 512 * 2**20
"""The same on a GPU, which small kernels leave idle."""

ONE_BY_ONE_BYTES = 2**20
"""Where a party's batch takes at least this much, a CPU goes through the parties one by one: there
is nothing left to gain from small operations, and a convolution with other weights for each party
measured 2 times slower than as many convolutions."""


def workspace_bytes(device: torch.device) -> int:
    """Temporary memory that one vectorised call on `device` aims at."""
    return WORKSPACE_BYTES if device.type == "cpu" else CUDA_WORKSPACE_BYTES


@dataclass(frozen=True)
class Purpose:
    """What a model is made for.

    Args:
      features: shape of one example.
      outputs: number of classes, or 1 for regression.
      l2: the regularisation, see above.
    """

    features: tuple[int, ...]
    outputs: int
    task: TaskKind
    loss: Loss
    l2: float

    @property
    def inputs(self) -> int:
        """F, how many numbers one example has after flattening."""
        return prod(self.features)


@dataclass(frozen=True)
class Beginning:
    """What a model of the user's own is when it has just been built, to be compared with the same
    model in another process."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    """Names and shapes of its parameters, in the order of the flat vector."""
    scores: Float32s
    """What it makes of the examples that it was checked with."""


class Model(ABC):
    """A model and its loss, without parameters of its own.

    An implementation gives `predict` and `init`, and calls `__init__` with its sizes; the rest
    follows from them by autograd. Its promises, which `troth.learning.conformance.check_model`
    checks:

    | promise                                                  | broken, it means               |
    |----------------------------------------------------------|--------------------------------|
    | `predict` is a pure function                             | runs do not repeat             |
    | an example's scores do not depend on the rest of a batch | filling up a batch changes it  |
    | `gradients` equals `gradient` party by party             | engines disagree               |
    | `init` draws from its stream only                        | parties start at unequal models|

    Args:
      dimension: D.
      floats_per_example: about how many floats one example takes during a gradient, its features
        included; sets how many examples are worked on at once, and nothing else.
    """

    def __init__(self, purpose: Purpose, *, dimension: int, floats_per_example: int) -> None:
        self.features, self.inputs = purpose.features, purpose.inputs
        self.outputs = purpose.outputs
        self.task: TaskKind = purpose.task
        self.loss, self.l2 = purpose.loss, purpose.l2
        self.dimension = dimension
        self.floats_per_example = floats_per_example
        self.form: Form | None = None
        """The fast form that the model has; `predict` says the same, and gradients of other forms
        than it says would train to another model."""
        self.vectorised = True
        """Whether `torch.func.vmap` has a rule for all that `predict` does; where it has not,
        parties are gone over one by one."""
        self.notes: list[str] = []
        """What whoever trains the model should know, for `troth check` and reports."""

    @abstractmethod
    def init(self, stream: Stream) -> Float32s:
        """Initial parameters (D,), equal for equal streams."""

    @abstractmethod
    def predict(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        """Scores (B, K); works under torch.func."""

    def scores(self, params_D: Tensor, x_BF: Tensor) -> Tensor:
        """What `predict` gives, (B, K), where no gradient is asked for; not under torch.func."""
        return self.predict(params_D, x_BF)

    def begins(self) -> Beginning | None:
        """How the model begins; None: by its table alone."""
        return None

    def check_begins(self, elsewhere: Beginning | None) -> None:  # noqa: B027  # as `begins`
        """Compare this model with the same one in the process that leads.

        Raises:
          CharterError: it is another one.
        """

    def move(self, device: torch.device) -> None:  # noqa: B027  # most models have nothing to move
        """Take whatever constants `predict` needs to `device`."""

    def classes(self, scores: Tensor) -> Tensor:
        """The class (...,) that scores (..., K) speak for; of equal scores the lowest class."""
        if scores.shape[-1] == 1:
            return (scores.squeeze(-1) > 0).long()
        return scores.argmax(-1)

    def losses(self, params_D: Tensor, x_BF: Tensor, y_B: Tensor) -> Tensor:
        """Loss (B,) of every example, without l2; works under torch.func."""
        return self.loss.values(self.predict(params_D, x_BF), y_B)

    def gradient(
        self, params_D: Tensor, x_BF: Tensor, y_B: Tensor, weight_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One party's gradient, by autograd: the plain version of `gradients`.

        Args:
          weight_B: each example's weight, used as given: 1/B for the mean of a batch.

        Returns:
          the gradient (D,) of sum_b weight_b loss_b + l2/2 ||w||^2, and sum_b weight_b loss_b.
        """
        grad_D = self.l2 * params_D
        loss = torch.zeros((), device=params_D.device)
        for rows in self._slices(1, len(x_BF), params_D.device):
            leaf_D = params_D.detach().requires_grad_()
            part = (self.losses(leaf_D, x_BF[rows], y_B[rows]) * weight_B[rows]).sum()
            grad_D += torch.autograd.grad(part, leaf_D)[0]
            loss += part.detach()
        return grad_D, loss

    def gradients(
        self, params: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of many parties at once.

        Args:
          params: (P, D), or (D,) when all parties are at the same point.
          weight_PB: as in `gradient`; 0 for examples that only fill up a party's row.

        Returns:
          (P, D) and (P,): for every party what `gradient` gives, within 1e-5 of its largest value.
        """
        parties, examples = y_PB.shape
        slices = self._slices(parties, examples, params.device)
        grad_PD, loss_P = self._data_gradients(
            params, x_PBF[:, slices[0]], y_PB[:, slices[0]], weight_PB[:, slices[0]]
        )
        for rows in slices[1:]:
            more_PD, more_P = self._data_gradients(
                params, x_PBF[:, rows], y_PB[:, rows], weight_PB[:, rows]
            )
            grad_PD += more_PD
            loss_P += more_P
        if self.l2:
            grad_PD.add_(params, alpha=self.l2)
        return grad_PD, loss_P

    def _data_gradients(
        self, params: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`gradients` without l2, in new tensors; overridden where there is a closed form."""
        parties, examples = y_PB.shape
        # What fails in the loop as well has its error from there. The choice is made anew each
        # time: kept, it would depend on what was computed before, and a resumed run would differ.
        if self._one_by_one(parties, examples, params.device):
            return self._loop_gradients(params, x_PBF, y_PB, weight_PB)

        def objective(params_D: Tensor, x_BF: Tensor, y_B: Tensor, weight_B: Tensor) -> Tensor:
            return (self.losses(params_D, x_BF, y_B) * weight_B).sum()

        shared = None if params.dim() == 1 else 0
        each = torch.func.vmap(torch.func.grad_and_value(objective), in_dims=(shared, 0, 0, 0))
        try:
            grad_PD, loss_P = each(params, x_PBF, y_PB, weight_PB)
        except RuntimeError:
            return self._loop_gradients(params, x_PBF, y_PB, weight_PB)
        return grad_PD, loss_P

    def _loop_gradients(
        self, params: Tensor, x_PBF: Tensor, y_PB: Tensor, weight_PB: Tensor
    ) -> tuple[Tensor, Tensor]:
        parties = len(y_PB)
        grad_PD = params.new_empty(parties, self.dimension)
        loss_P = params.new_empty(parties)
        with self.watched():
            for p, params_D in enumerate(params.expand(parties, -1)):
                leaf_D = params_D.detach().requires_grad_()
                loss = (self.losses(leaf_D, x_PBF[p], y_PB[p]) * weight_PB[p]).sum()
                grad_PD[p] = torch.autograd.grad(loss, leaf_D)[0]
                loss_P[p] = loss.detach()
        return grad_PD, loss_P

    def predictions(self, params_PD: Tensor, x: Tensor) -> Tensor:
        """Scores (P, B, K) of many models at once.

        Args:
          x: (P, B, F), or (B, F) when all models look at the same examples.
        """
        parties = len(params_PD)
        if self._one_by_one(parties, x.shape[-2], params_PD.device):
            return self._loop_predictions(params_PD, x)
        each: Callable[[Tensor, Tensor], Tensor] = torch.func.vmap(
            self.predict, in_dims=(0, None if x.dim() == 2 else 0)
        )
        try:
            return each(params_PD, x)
        except RuntimeError:
            return self._loop_predictions(params_PD, x)

    def _loop_predictions(self, params_PD: Tensor, x: Tensor) -> Tensor:
        pairs = zip(params_PD, x.expand(len(params_PD), -1, -1), strict=True)
        with self.watched():
            return torch.stack([self.predict(params_D, x_BF) for params_D, x_BF in pairs])

    def watched(self) -> AbstractContextManager[None]:
        """Within this context the model is computed without vmap, which refuses to draw random
        numbers by itself.

        Raises:
          CharterError: a model of the user's own has drawn some there.
        """
        return nullcontext()

    def rows_at_once(self, parties: int, device: torch.device) -> int:
        """How many examples of each of `parties` fit into the workspace, at least 1."""
        return max(1, workspace_bytes(device) // (4 * self.floats_per_example * parties))

    def _one_by_one(self, parties: int, examples: int, device: torch.device) -> bool:
        large = 4 * examples * self.floats_per_example >= ONE_BY_ONE_BYTES
        return parties == 1 or not self.vectorised or (large and device.type == "cpu")

    def _slices(self, parties: int, examples: int, device: torch.device) -> list[slice]:
        rows = self.rows_at_once(parties, device)
        return [slice(start, start + rows) for start in range(0, examples, rows)]
