"""DP-SGD (Abadi et al., CCS 2016, algorithm 1) as a request to the engine.

"Compute gradient: for each i in L_t. Clip gradient. Add noise. Descent." One step of it:

1. every row is in the lot with probability q, independently (Poisson sampling);
2. the gradient of every example's loss is scaled down to L2 norm C;
3. the noisy gradient is (sum + N(0, (z C)^2)) / L, with L the *expected* size of a lot.

Every step is one `SampledEvent(q, z)`, between data sets that differ by a record. Privacy rests on
what follows, so a change here needs a look at each:

- q and L follow from `examples`, a number that the party makes public. The true number of rows, the
  size of a lot and the loss are private, and none of them is in the result.
- Who is in the lot is as secret as the noise, and comes from the same source.
- An example whose gradient is not finite counts as zero: an error would tell that it is there.
- Sums are in double precision: their rounding, some 1e-13 of C, is far inside the margin that
  clipping keeps.
- l2 is added after the noise: it depends on no data.

`run` is the plain loop, one backward pass an example. `run_many` makes one step of many parties at
once, with `torch.func.vmap` of `grad`. Array names: P parties, E examples of all their lots, F
features, D parameters.
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
from troth.errors import LocalError, RoundFailedError
from troth.ids import NodeId
from troth.learning.models import Model, workspace_bytes
from troth.learning.training import Training
from troth.learning.workbench import Workbench
from troth.privacy.clipping import SLACK, check_clip
from troth.privacy.events import SampledEvent
from troth.privacy.noise import SecretSource, normals, uniforms
from troth.privacy.planning import sampling_probability, training_steps
from troth.wire import Float32s, Float64s, Int64s


class PrivateResult(msgspec.Struct, frozen=True):
    """What came of a private local update; all of it may leave, once `event` has been charged
    `times` times.

    `update_D` and `velocity_D` are as in `LocalResult`.
    """

    update_D: Float32s
    event: SampledEvent
    times: int
    velocity_D: Float32s | None = None


@dataclass(frozen=True, eq=False)
class PrivateUpdate(Compute[Workbench, PrivateResult]):
    """`node` trains on its own rows with DP-SGD, drawing from node -> round -> step of `secret`.

    Args:
      training: what a step and an update are; `batch_size` is the expected size of a lot.
      clip: C, the bound on the L2 norm of every example's gradient.
      noise_multiplier: z, the noise's standard deviation over C.
      examples: how many rows the party says it has. If it has more, lots are larger and its updates
        too; what is promised holds all the same.
      secret: of noise and lots; `SystemSecret` in real runs, where the request is then no pure
        function: it is carried out once, and its result saved before it leaves.
      velocity_D: as in `LocalUpdate`.

    Raises (when run):
      RoundFailedError: the node has no rows, or the noisy update is not finite.
    """

    node: NodeId
    round: int
    params_D: Float32s
    training: Training
    clip: float
    noise_multiplier: float
    examples: int
    secret: SecretSource
    velocity_D: Float32s | None = None

    label: ClassVar[str] = "private_update"

    def __post_init__(self) -> None:
        check_clip(self.clip)
        if self.examples < 1:
            raise LocalError(f"examples={self.examples} is below 1")
        # Checks q and z.
        assert self.event

    @property
    def event(self) -> SampledEvent:
        """The privacy event that one step is charged as."""
        return SampledEvent(self.sampling_probability, self.noise_multiplier)

    @property
    def sampling_probability(self) -> float:
        """q, with which a row is in a lot."""
        size = self.training.batch_size
        return sampling_probability(None if size == "all" else size, self.examples)

    @property
    def steps(self) -> int:
        """How many steps the update takes, and so how many events it is."""
        return training_steps(self.training, self.sampling_probability)

    def group(self) -> Hashable:
        return type(self), self.training

    def run(self, bench: Workbench) -> PrivateResult:
        training, model = self.training, bench.model
        start_D = bench.tensor(self.params_D)
        params_D = start_D.clone()
        v_D = (
            torch.zeros_like(start_D) if self.velocity_D is None else bench.tensor(self.velocity_D)
        )
        for step in range(self.steps):
            sum_D = np.zeros(model.dimension)
            for row in self._lot(bench, step).tolist():
                gradient_D = _example_gradient(
                    model, params_D, bench.x_NF[row], bench.y_N[row]
                ).double()
                weight = clipping_weights(
                    gradient_D.unsqueeze(0), torch.tensor([self.clip], dtype=torch.float64)
                )
                sum_D += (torch.nan_to_num(gradient_D) * weight.to(gradient_D)).cpu().numpy()
            g_D = bench.tensor(self._noisy_mean(sum_D, step)) + model.l2 * params_D
            v_D = training.momentum * v_D + g_D
            params_D = params_D - training.rate(self.round) * v_D
        return self._result(params_D - start_D, g_D, v_D)

    @classmethod
    def run_many(cls, requests: Sequence[Self], bench: Workbench) -> Sequence[PrivateResult]:
        # Parameters, gradient, velocity and a double-precision sum for each party.
        parties = max(1, workspace_bytes(bench.device) // (24 * bench.model.dimension))
        results: list[PrivateResult] = []
        for first in range(0, len(requests), parties):
            results += _update_chunk(requests[first : first + parties], bench)
        return results

    def _lot(self, bench: Workbench, step: int) -> Int64s:
        """Rows of the lot L_t, possibly none, in ascending place."""
        rows = bench.rows(self.node)
        bits = self.secret.child(self.node, self.round, step, "lot").bits()
        return rows[uniforms(bits, len(rows)) < self.sampling_probability]

    def _noisy_mean(self, sum_D: Float64s, step: int) -> Float32s:
        bits = self.secret.child(self.node, self.round, step, "noise").bits()
        noise_D = self.noise_multiplier * self.clip * normals(bits, len(sum_D))
        expected = self.sampling_probability * self.examples
        return ((sum_D + noise_D) / expected).astype(np.float32)

    def _result(self, delta_D: Tensor, g_D: Tensor, v_D: Tensor) -> PrivateResult:
        training = self.training
        update_D = g_D if training.update == "gradient" else delta_D
        if not bool(update_D.isfinite().all()):
            # Known from the noisy update alone, so that failing tells nobody anything more.
            raise RoundFailedError(
                f"training diverged: the private update of {self.node} in round {self.round} is "
                f"not finite, at learning_rate = {training.learning_rate}",
                hint="lower [training] learning_rate, or the clip, by which noise scales",
            )
        return PrivateResult(
            update_D=update_D.cpu().numpy(),
            event=self.event,
            times=self.steps,
            velocity_D=v_D.cpu().numpy() if training.keeps_velocity else None,
        )


def _update_chunk(requests: Sequence[PrivateUpdate], bench: Workbench) -> list[PrivateResult]:
    training = requests[0].training
    start_PD = bench.tensor(np.stack([request.params_D for request in requests]))
    params_PD = start_PD.clone()
    v_PD = torch.zeros_like(start_PD)
    for p, request in enumerate(requests):
        if request.velocity_D is not None:
            v_PD[p] = bench.tensor(request.velocity_D)
    g_PD = torch.zeros_like(start_PD)
    for step in range(max(request.steps for request in requests)):
        active = [p for p, request in enumerate(requests) if step < request.steps]
        lots = [requests[p]._lot(bench, step) for p in active]
        clips = [requests[p].clip for p in active]
        sums_PD = _clipped_sums(bench, params_PD[active], lots, clips)
        means = [requests[p]._noisy_mean(sums_PD[i], step) for i, p in enumerate(active)]
        g_PD[active] = bench.tensor(np.stack(means)) + bench.model.l2 * params_PD[active]
        v_PD[active] = training.momentum * v_PD[active] + g_PD[active]
        rate_P1 = torch.tensor(
            [[training.rate(requests[p].round)] for p in active], device=bench.device
        )
        params_PD[active] -= rate_P1 * v_PD[active]
    return [
        request._result(params_PD[p] - start_PD[p], g_PD[p], v_PD[p])
        for p, request in enumerate(requests)
    ]


def _clipped_sums(
    bench: Workbench, params_PD: Tensor, lots: Sequence[Int64s], clips: Sequence[float]
) -> Float64s:
    """Every party's sum (P, D) of the clipped gradients of its lot."""
    model = bench.model
    owner_E = torch.from_numpy(np.repeat(np.arange(len(lots)), [len(lot) for lot in lots]))
    row_E = torch.from_numpy(np.concatenate(lots))
    clip_P = torch.tensor(clips, dtype=torch.float64)
    sums_PD = torch.zeros_like(params_PD, dtype=torch.float64)
    for part in _slices(model, len(row_E), bench.device):
        owner, row = owner_E[part].to(bench.device), row_E[part].to(bench.device)
        g_ED = per_example_gradients(model, params_PD[owner], bench.x_NF[row], bench.y_N[row])
        weight_E = clipping_weights(g_ED, clip_P[owner_E[part]])
        sums_PD.index_add_(0, owner, torch.nan_to_num(g_ED).double() * weight_E.unsqueeze(1))
    return sums_PD.cpu().numpy()


def _slices(model: Model, examples: int, device: torch.device) -> Iterator[slice]:
    # Parameters, gradient and its double-precision product for each example.
    floats = model.floats_per_example + 4 * model.dimension
    rows = max(1, workspace_bytes(device) // (4 * floats))
    for start in range(0, examples, rows):
        yield slice(start, start + rows)


def per_example_gradients(model: Model, params_ED: Tensor, x_EF: Tensor, y_E: Tensor) -> Tensor:
    """Gradients (E, D) of the loss of each example, at its own parameters, without l2."""

    def loss(params_D: Tensor, x_F: Tensor, y: Tensor) -> Tensor:
        return model.losses(params_D, x_F.unsqueeze(0), y.unsqueeze(0)).squeeze(0)

    if model.vectorised:
        try:
            gradients: Tensor = torch.func.vmap(torch.func.grad(loss))(params_ED, x_EF, y_E)
        except RuntimeError:
            # vmap has no rule for these examples; what fails one by one as well, says so there.
            pass
        else:
            return gradients
    return torch.stack(
        [_example_gradient(model, *each) for each in zip(params_ED, x_EF, y_E, strict=True)]
    )


def _example_gradient(model: Model, params_D: Tensor, x_F: Tensor, y: Tensor) -> Tensor:
    leaf_D = params_D.detach().requires_grad_()
    with model.watched():
        loss = model.losses(leaf_D, x_F.unsqueeze(0), y.unsqueeze(0)).sum()
        return torch.autograd.grad(loss, leaf_D)[0]


def clipping_weights(g_ED: Tensor, clip_E: Tensor) -> Tensor:
    """By what each gradient is multiplied so that its L2 norm is at most its bound; 0 if it is not
    finite. Double precision."""
    norm_E = torch.linalg.vector_norm(g_ED, dim=1, dtype=torch.float64)
    aim_E = clip_E.to(device=g_ED.device, dtype=torch.float64) * (1.0 - SLACK)
    weight_E = torch.where(norm_E > aim_E, aim_E / norm_E, 1.0)
    return torch.where(norm_E.isfinite(), weight_E, 0.0)
