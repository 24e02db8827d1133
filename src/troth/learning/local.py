"""The local update: what a party does with the model between two messages.

There are two versions of it. `LocalUpdate.run` is the plain loop for one party, with gradients by
autograd. `LocalUpdate.run_many` makes one step of many parties at once. Both draw the same batches;
they agree within 1e-5 of the largest parameter change as long as training is stable.

How many parties are made one (P parties, B rows of a batch, F features, D parameters):

1. Parties are sorted by steps, then batch size, largest first, and cut into chunks whose temporary
   arrays fit the workspace. Within a chunk the parties that still have steps left are always the
   first ones, so those that are done freeze by being left out of a slice.
2. A party's last batch may be smaller: its row is filled up with an example of its own, with
   weight 0.
3. At the first step all parties usually stand at the same parameters. They are then given to the
   model once, as (D,), which makes the forward pass one matrix product.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import msgspec
import numpy as np
import torch
from torch import Tensor

from troth.compute import Compute
from troth.errors import RoundFailedError
from troth.ids import NodeId
from troth.learning.batches import Batches
from troth.learning.models import workspace_bytes
from troth.learning.parallel import map_pieces
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.wire import Float32s

_VECTORS_PER_PARTY = 4
"""Parameters, gradient, velocity and update of a party live at the same time."""


class LocalResult(msgspec.Struct, frozen=True):
    """What came of a local update.

    `update_D` is a gradient or a change of the model, as `Training.update` says; `examples` is how
    many rows the party has (n_k of FedAvg), whatever the batch; `loss` is the mean over the steps
    of the mean loss of the batch before the step, without l2; `velocity_D` is set for `update =
    "step"` with momentum.
    """

    update_D: Float32s
    examples: int
    loss: float
    velocity_D: Float32s | None = None


@dataclass(frozen=True, eq=False)
class LocalUpdate(Compute[Workbench, LocalResult]):
    """`node` trains on its own rows from `params_D`, drawing batches from node -> round -> batches.

    Args:
      velocity_D: for `update = "step"` with momentum, what the last step returned; None: 0.

    Raises (when run):
      RoundFailedError: the node has no rows, or its update is not finite.
    """

    node: NodeId
    round: int
    params_D: Float32s
    training: Training
    velocity_D: Float32s | None = None

    label: ClassVar[str] = "local_update"

    def group(self) -> Hashable:
        return type(self), self.training, self.velocity_D is None

    def run(self, bench: Workbench) -> LocalResult:
        training, model = self.training, bench.model
        start_D = bench.tensor(self.params_D)
        params_D = start_D.clone()
        v_D = torch.zeros_like(start_D)
        if self.velocity_D is not None:
            v_D = bench.tensor(self.velocity_D)
        losses = []
        for rows_B in _batches(self, bench):
            index_B = torch.tensor(rows_B, device=bench.device)
            weight_B = torch.full((len(rows_B),), 1.0 / len(rows_B), device=bench.device)
            g_D, loss = model.gradient(params_D, bench.x_NF[index_B], bench.y_N[index_B], weight_B)
            v_D = training.momentum * v_D + g_D
            params_D = params_D - training.rate(self.round) * v_D
            losses.append(loss)
        update_D = g_D if training.update == "gradient" else params_D - start_D
        _check_finite(update_D.unsqueeze(0), [self])
        return LocalResult(
            update_D=update_D.cpu().numpy(),
            examples=len(bench.rows(self.node)),
            loss=float(torch.stack(losses).mean()),
            velocity_D=v_D.cpu().numpy() if training.keeps_velocity else None,
        )

    @classmethod
    def run_many(cls, requests: Sequence[Self], bench: Workbench) -> Sequence[LocalResult]:
        batches = [_batches(request, bench) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (-batches[i].steps, -batches[i].size, i))
        chunks = list(_chunks(order, batches, bench))

        def update(chunk: Sequence[int]) -> list[LocalResult]:
            return _update_chunk([requests[i] for i in chunk], [batches[i] for i in chunk], bench)

        results: dict[int, LocalResult] = {}
        for chunk, found in zip(chunks, map_pieces(update, chunks, bench.device), strict=True):
            results.update(zip(chunk, found, strict=True))
        return [results[i] for i in range(len(requests))]


def _batches(request: LocalUpdate, bench: Workbench) -> Batches:
    stream = bench.stream.child(request.node, request.round, "batches")
    return Batches(bench.rows(request.node), request.training, stream)


def _chunks(
    order: Sequence[int], batches: Sequence[Batches], bench: Workbench
) -> Iterator[list[int]]:
    """Cut `order` where the next party would not fit into the workspace; at least one in each."""
    model = bench.model
    floats = workspace_bytes(bench.device) // 4
    chunk: list[int] = []
    largest = 0
    for i in order:
        grown = max(largest, batches[i].size)
        party = grown * model.floats_per_example + _VECTORS_PER_PARTY * model.dimension
        if chunk and (len(chunk) + 1) * party > floats:
            yield chunk
            chunk, grown = [], batches[i].size
        chunk.append(i)
        largest = grown
    if chunk:
        yield chunk


class _Feeder:
    """Hands out one step's batch of every party of a chunk, padded to the largest."""

    def __init__(self, batches: Sequence[Batches], bench: Workbench) -> None:
        self._batches, self._bench = batches, bench
        self.steps_P = np.array([b.steps for b in batches])
        self._steps_per_pass_P = np.array([b.steps_per_pass for b in batches])
        self._size_P = np.array([b.size for b in batches])
        self._length_P = np.array([b.length for b in batches])
        self._offset_P = np.concatenate(([0], np.cumsum(self._length_P)[:-1]))
        self._rows = np.empty(self._length_P.sum(), dtype=np.int64)

    def step(self, step: int, active: int) -> tuple[Tensor, Tensor, Tensor]:
        """x (P, B, F), y (P, B) and weight (P, B) of the first `active` parties."""
        place_P = step % self._steps_per_pass_P[:active]
        for p in np.flatnonzero(place_P == 0).tolist():
            end = self._offset_P[p] + self._length_P[p]
            self._rows[self._offset_P[p] : end] = self._batches[p].next_pass()
        start_P = place_P * self._size_P[:active]
        count_P = np.minimum(self._size_P[:active], self._length_P[:active] - start_P)
        column_B = np.arange(count_P.max())
        inside_PB = column_B < count_P[:, None]
        first_P = self._offset_P[:active] + start_P
        index_PB = self._rows[first_P[:, None] + np.where(inside_PB, column_B, 0)]
        weight_PB = (inside_PB / count_P[:, None]).astype(np.float32)
        device = self._bench.device
        index = torch.from_numpy(index_PB.reshape(-1)).to(device)
        return (
            self._bench.x_NF.index_select(0, index).view(*index_PB.shape, -1),
            self._bench.y_N.index_select(0, index).view(*index_PB.shape),
            torch.from_numpy(weight_PB).to(device),
        )


def _update_chunk(
    requests: Sequence[LocalUpdate], batches: Sequence[Batches], bench: Workbench
) -> list[LocalResult]:
    training, model = requests[0].training, bench.model
    feeder = _Feeder(batches, bench)
    start = _start(requests, bench)
    rate_P1 = torch.tensor([[training.rate(r.round)] for r in requests], device=bench.device)
    loss_P = torch.zeros(len(requests), device=bench.device)
    v_PD = _velocities(requests, bench)
    params = start
    for step in range(feeder.steps_P[0]):
        active = int(np.searchsorted(-feeder.steps_P, -step, side="left"))
        x_PBF, y_PB, weight_PB = feeder.step(step, active)
        here = params if params.dim() == 1 else params[:active]
        g_PD, step_loss_P = model.gradients(here, x_PBF, y_PB, weight_PB)
        loss_P[:active] += step_loss_P
        if training.update == "gradient":
            return _results(requests, bench, g_PD, loss_P, None)
        if v_PD is None or not training.momentum:
            v_PD = g_PD
        else:
            v_PD[:active].mul_(training.momentum).add_(g_PD)
        if step == 0:
            params = torch.addcmul(start, v_PD, rate_P1, value=-1)
        else:
            params[:active].addcmul_(v_PD[:active], rate_P1[:active], value=-1)
    loss_P /= torch.tensor(feeder.steps_P, device=bench.device)
    return _results(requests, bench, params - start, loss_P, v_PD)


def _start(requests: Sequence[LocalUpdate], bench: Workbench) -> Tensor:
    """Where the parties start: (D,) if at the same point, else (P, D)."""
    first = requests[0].params_D
    # Compared by value: after a resume, equal parameters may or may not be one object, and the two
    # ways differ in their last digits.
    if all(r.params_D is first or np.array_equal(r.params_D, first) for r in requests):
        return bench.tensor(first)
    return bench.tensor(np.stack([request.params_D for request in requests]))


def _velocities(requests: Sequence[LocalUpdate], bench: Workbench) -> Tensor | None:
    given = [request.velocity_D for request in requests if request.velocity_D is not None]
    # `group` keeps requests with and without a velocity apart.
    assert len(given) in (0, len(requests))
    return bench.tensor(np.stack(given)) if given else None


def _results(
    requests: Sequence[LocalUpdate],
    bench: Workbench,
    update_PD: Tensor,
    loss_P: Tensor,
    v_PD: Tensor | None,
) -> list[LocalResult]:
    _check_finite(update_PD, requests)
    updates = update_PD.cpu().numpy()
    velocities = None
    if v_PD is not None and requests[0].training.keeps_velocity:
        velocities = v_PD.cpu().numpy()
    return [
        LocalResult(
            update_D=updates[p],
            examples=len(bench.rows(request.node)),
            loss=loss,
            velocity_D=None if velocities is None else velocities[p],
        )
        for p, (request, loss) in enumerate(zip(requests, loss_P.tolist(), strict=True))
    ]


def _check_finite(update_PD: Tensor, requests: Sequence[LocalUpdate]) -> None:
    finite_P = update_PD.isfinite().all(1)
    if bool(finite_P.all()):
        return
    request = requests[finite_P.tolist().index(False)]
    raise RoundFailedError(
        f"training diverged: the update of {request.node} in round {request.round} is not finite, "
        f"at learning_rate = {request.training.learning_rate}",
        hint="lower [training] learning_rate or momentum; if the model itself was poisoned, "
        "choose a robust aggregation rule",
    )
