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

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from troth.compute import Compute
from troth.ids import NodeId
from troth.learning.batches import Batches
from troth.learning.chunk import Chunk
from troth.learning.parallel import map_pieces
from troth.learning.plans import Piece, pieces
from troth.learning.results import LocalResult, hand_out, quiet
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.wire import Float32s


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

    @quiet()
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
        return hand_out(
            update_D.cpu().numpy(),
            node=self.node,
            round=self.round,
            training=training,
            examples=len(bench.rows(self.node)),
            loss=float(torch.stack(losses).mean()),
            velocity_D=v_D.cpu().numpy() if training.keeps_velocity else None,
        )

    @classmethod
    def run_many(cls, requests: Sequence[Self], bench: Workbench) -> Sequence[LocalResult]:
        batches = [_batches(request, bench) for request in requests]
        first = requests[0]
        chunks = pieces(batches, first.training, bench, moving=first.velocity_D is not None)

        def update(piece: Piece) -> list[LocalResult]:
            with quiet():
                return piece.plan.update(_chunk(piece.parties, requests, batches, bench))

        results: dict[int, LocalResult] = {}
        for piece, found in zip(chunks, map_pieces(update, chunks, bench.device), strict=True):
            results.update(zip(piece.parties, found, strict=True))
        return [results[i] for i in range(len(requests))]


def _batches(request: LocalUpdate, bench: Workbench) -> Batches:
    path = (request.node, request.round, "batches")
    return Batches(bench.rows(request.node), request.training, bench.stream, path)


def _chunk(
    parties: Sequence[int],
    requests: Sequence[LocalUpdate],
    batches: Sequence[Batches],
    bench: Workbench,
) -> Chunk:
    own = [requests[i] for i in parties]
    velocities = [request.velocity_D for request in own if request.velocity_D is not None]
    # `group` keeps requests with and without a velocity apart.
    assert len(velocities) in (0, len(own))
    return Chunk(
        bench=bench,
        training=own[0].training,
        nodes=[request.node for request in own],
        rounds=[request.round for request in own],
        starts=[request.params_D for request in own],
        velocities=velocities or None,
        batches=[batches[i] for i in parties],
    )
