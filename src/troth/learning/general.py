"""The local updates of many parties by any model's `gradients`: the path of models that have no
faster form, and of all on a GPU.

At the first step all parties usually stand at the same parameters. They are then given to the model
once, as (D,), which makes the forward pass one matrix product.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from troth.learning.batches import Batches
from troth.learning.chunk import Chunk, Feeder, Plan
from troth.learning.models import Model
from troth.learning.results import LocalResult

_VECTORS_PER_PARTY = 4
"""Parameters, gradient, velocity and update of a party live at the same time."""


def plan(batches: Batches, model: Model, workspace_bytes: int) -> Plan:
    """How to compute the update of a party with these batches."""
    examples = batches.size * model.floats_per_example
    return Plan(
        kind="general",
        bytes_per_party=4 * (examples + _VECTORS_PER_PARTY * model.dimension),
        chunk_bytes=workspace_bytes,
        even=False,
        update=update_chunk,
    )


def update_chunk(chunk: Chunk) -> list[LocalResult]:
    """The result of every party of `chunk`."""
    bench, training, model = chunk.bench, chunk.training, chunk.bench.model
    feeder = Feeder(chunk.batches)
    start = _start(chunk)
    rate_P1 = torch.from_numpy(chunk.rate_P[:, np.newaxis]).to(bench.device)
    loss_P = torch.zeros(len(chunk), device=bench.device)
    v_PD = None if chunk.velocities is None else bench.tensor(np.stack(chunk.velocities))
    params = start
    for number in range(chunk.steps):
        step = feeder.step(number)
        active = step.active
        index = torch.from_numpy(step.row_PB.reshape(-1)).to(bench.device)
        here = params if params.dim() == 1 else params[:active]
        g_PD, step_loss_P = model.gradients(
            here,
            bench.x_NF.index_select(0, index).view(*step.row_PB.shape, -1),
            bench.y_N.index_select(0, index).view(*step.row_PB.shape),
            torch.from_numpy(step.weight_PB).to(bench.device),
        )
        loss_P[:active] += step_loss_P
        if training.update == "gradient":
            return _results(chunk, g_PD, loss_P, None)
        if v_PD is None or not training.momentum:
            v_PD = g_PD
        else:
            v_PD[:active].mul_(training.momentum).add_(g_PD)
        if number == 0:
            params = torch.addcmul(start, v_PD, rate_P1, value=-1)
        else:
            params[:active].addcmul_(v_PD[:active], rate_P1[:active], value=-1)
    loss_P /= torch.tensor([batches.steps for batches in chunk.batches], device=bench.device)
    return _results(chunk, params - start, loss_P, v_PD)


def _start(chunk: Chunk) -> Tensor:
    """Where the parties start: (D,) if at the same point, else (P, D)."""
    shared = chunk.shared_start
    return chunk.bench.tensor(np.stack(chunk.starts) if shared is None else shared)


def _results(
    chunk: Chunk, update_PD: Tensor, loss_P: Tensor, v_PD: Tensor | None
) -> list[LocalResult]:
    updates = update_PD.cpu().numpy()
    velocities = None
    if v_PD is not None and chunk.training.keeps_velocity:
        velocities = v_PD.cpu().numpy()
    # Copies: a row of the whole would keep the whole.
    return [
        chunk.hand_out(
            p, updates[p].copy(), loss, None if velocities is None else velocities[p].copy()
        )
        for p, loss in enumerate(loss_P.tolist())
    ]
