"""How good a model is on some examples."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import msgspec
import numpy as np
import torch
from torch import Tensor

from troth.compute import Compute
from troth.ids import NodeId
from troth.learning.models import workspace_bytes
from troth.learning.parallel import map_pieces
from troth.learning.workbench import Workbench
from troth.records import Metrics
from troth.wire import Float32s, Int64s

Attack = tuple[int | None, int | None]
"""The source and the target class of an attack, as `Evaluate` has them."""


class PartyMetrics(msgspec.Struct, frozen=True):
    """Metrics of one model on each of several parties' rows, in the order asked for."""

    metrics: tuple[Metrics, ...]


@dataclass(frozen=True, eq=False)
class Evaluate(Compute[Workbench, Metrics]):
    """`params_D` on the rows of `on`, or on the test set when `on` is None.

    `loss` is the mean without l2. For regression `error` is mean(|y' - y| / max(|y|, floor)) with
    the bench's `target_floor`, so that targets near 0 do not drown the rest. `attack_rate` is the
    share of the examples of class `source` that the model takes for `target`; None when source or
    target is None or no example is of class `source`.

    A model that is no longer finite is measured like any other; its loss may be nan or inf.
    """

    params_D: Float32s
    on: NodeId | None = None
    source: int | None = None
    target: int | None = None

    label: ClassVar[str] = "evaluate"

    def group(self) -> Hashable:
        return type(self), self.on is None, self.source, self.target

    def run(self, bench: Workbench) -> Metrics:
        (found,) = evaluations([self.params_D], bench, self.on, (self.source, self.target))
        return found

    @classmethod
    def run_many(cls, requests: Sequence[Self], bench: Workbench) -> Sequence[Metrics]:
        first = requests[0]
        attack = first.source, first.target
        same = all(request.params_D is first.params_D for request in requests)
        if first.on is None:
            if same:
                return [first.run(bench)] * len(requests)
            return _on_test_set([r.params_D for r in requests], bench, attack)
        rows = [bench.rows(r.on) for r in requests if r.on is not None]
        # `group` keeps requests with and without a node apart.
        assert len(rows) == len(requests)
        if same:
            return _one_model(first.params_D, rows, bench, attack)
        return _own_models([r.params_D for r in requests], rows, bench, attack)


def evaluations(
    models: Sequence[Float32s],
    bench: Workbench,
    on: NodeId | None,
    attack: Attack = (None, None),
) -> list[Metrics]:
    """Each of `models`, of shape (D,), one after another on the same rows, as `Evaluate` would say:
    to the last digit, and the rows are gathered once."""
    x_NF, y_N = bench.test_x_TF, bench.test_y_T
    if on is not None:
        index_N = torch.tensor(bench.rows(on), device=bench.device)
        x_NF, y_N = bench.x_NF[index_N], bench.y_N[index_N]
    at_once = bench.model.rows_at_once(1, bench.device)
    pieces = list(zip(torch.split(x_NF, at_once), torch.split(y_N, at_once), strict=True))

    def evaluation(params: Float32s) -> Metrics:
        params_D, sums = bench.tensor(params), _Sums(bench, attack)

        def measure(rows: tuple[Tensor, Tensor]) -> Tensor:
            x_BF, y_B = rows
            return sums.measure(bench.model.scores(params_D, x_BF), y_B).sum(-1, keepdim=True)

        for sums_Q1 in map_pieces(measure, pieces, bench.device):
            sums.add(sums_Q1)
        return sums.metrics([len(y_N)])[0]

    return [evaluation(params) for params in models]


@dataclass(frozen=True, eq=False)
class EvaluateParties(Compute[Workbench, PartyMetrics]):
    """One model on the own rows of each of `nodes`; each as `Evaluate` would say."""

    params_D: Float32s
    nodes: tuple[NodeId, ...]
    source: int | None = None
    target: int | None = None

    label: ClassVar[str] = "evaluate_parties"

    def run(self, bench: Workbench) -> PartyMetrics:
        rows = [bench.rows(node) for node in self.nodes]
        found = _one_model(self.params_D, rows, bench, (self.source, self.target))
        return PartyMetrics(metrics=tuple(found))


class _Sums:
    """Sums over examples of the Q quantities that metrics are made of, per party.

    The quantities are loss and error, and where an attack has a target, whether the example is of
    the source class, and whether it is of the source class and taken for the target.
    """

    def __init__(self, bench: Workbench, attack: Attack) -> None:
        self._model, self._floor = bench.model, bench.target_floor
        self._source, self._target = attack
        self._sums_QP: Tensor | float = 0.0

    def measure(self, scores: Tensor, y: Tensor) -> Tensor:
        """The quantities (Q, ...) of every example, from scores (..., K) and targets (...,).

        float64, so that the order in which many examples are summed does not show.
        """
        model = self._model
        if model.task == "classification":
            error = model.classes(scores) != y
        else:
            error = (scores.squeeze(-1) - y).abs() / y.abs().clamp(min=self._floor)
        columns = [model.loss.values(scores, y), error]
        if self._source is not None and self._target is not None and model.task == "classification":
            of_source = y == self._source
            columns += [of_source, of_source & (model.classes(scores) == self._target)]
        return torch.stack([column.double() for column in columns])

    def add(self, sums_QP: Tensor) -> None:
        self._sums_QP = self._sums_QP + sums_QP

    def metrics(self, counts_P: Sequence[int]) -> list[Metrics]:
        """Metrics of parties with `counts_P` examples each, all at least 1."""
        assert isinstance(self._sums_QP, Tensor)
        loss_P, error_P, *attack_QP = self._sums_QP.tolist()
        rate_P: list[float | None] = [None] * len(counts_P)
        if attack_QP:
            rate_P = [
                taken / of_source if of_source else None
                for of_source, taken in zip(*attack_QP, strict=True)
            ]
        return [
            Metrics(loss=loss / n, error=error / n, examples=n, attack_rate=rate)
            for loss, error, rate, n in zip(loss_P, error_P, rate_P, counts_P, strict=True)
        ]


def _one_model(
    params_D: Float32s, rows_P: Sequence[Int64s], bench: Workbench, attack: Attack
) -> list[Metrics]:
    """All parties' rows one after the other: whose they are does not matter to the model."""
    sums = _Sums(bench, attack)
    params = bench.tensor(params_D)
    index_N = torch.tensor(np.concatenate(rows_P), device=bench.device)

    def measure(index_B: Tensor) -> Tensor:
        scores_BK = bench.model.scores(params, bench.x_NF.index_select(0, index_B))
        return sums.measure(scores_BK, bench.y_N.index_select(0, index_B))

    pieces = torch.split(index_N, bench.model.rows_at_once(1, bench.device))
    values_QN = torch.cat(map_pieces(measure, pieces, bench.device), 1).cpu().numpy()
    counts_P = [len(rows) for rows in rows_P]
    starts_P = np.concatenate(([0], np.cumsum(counts_P)[:-1]))
    sums.add(torch.from_numpy(np.add.reduceat(values_QN, starts_P, axis=1)))
    return sums.metrics(counts_P)


def _own_models(
    params_P: Sequence[Float32s], rows_P: Sequence[Int64s], bench: Workbench, attack: Attack
) -> list[Metrics]:
    """Every party's model on its own rows. Sorted by size, so that little is filled up."""
    order = sorted(range(len(rows_P)), key=lambda i: (len(rows_P[i]), i))
    found: dict[int, Metrics] = {}
    for chunk in _chunks(order, bench):
        sums = _Sums(bench, attack)
        counts_P = [len(rows_P[i]) for i in chunk]
        params_PD = bench.tensor(np.stack([params_P[i] for i in chunk]))
        # Filled up with the party's own rows, which are left out of the sums again.
        index_PN = np.stack([np.resize(rows_P[i], max(counts_P)) for i in chunk])
        inside_PN = np.arange(max(counts_P)) < np.array(counts_P)[:, None]
        at_once = bench.model.rows_at_once(len(chunk), bench.device)
        for start in range(0, max(counts_P), at_once):
            index_PB = torch.tensor(index_PN[:, start : start + at_once], device=bench.device)
            inside_PB = torch.tensor(inside_PN[:, start : start + at_once], device=bench.device)
            x_PBF = bench.x_NF.index_select(0, index_PB.flatten()).view(*index_PB.shape, -1)
            scores_PBK = bench.model.predictions(params_PD, x_PBF)
            values_QPB = sums.measure(scores_PBK, bench.y_N[index_PB])
            sums.add(values_QPB.where(inside_PB, 0.0).sum(-1))
        found.update(zip(chunk, sums.metrics(counts_P), strict=True))
    return [found[i] for i in range(len(rows_P))]


def _on_test_set(params_P: Sequence[Float32s], bench: Workbench, attack: Attack) -> list[Metrics]:
    """Every party's model on the test set."""
    found: list[Metrics] = []
    for chunk in _chunks(range(len(params_P)), bench):
        sums = _Sums(bench, attack)
        params_PD = bench.tensor(np.stack([params_P[i] for i in chunk]))
        at_once = bench.model.rows_at_once(len(chunk), bench.device)
        x_parts = torch.split(bench.test_x_TF, at_once)
        for x_BF, y_B in zip(x_parts, torch.split(bench.test_y_T, at_once), strict=True):
            scores_PBK = bench.model.predictions(params_PD, x_BF)
            sums.add(sums.measure(scores_PBK, y_B.expand(len(chunk), -1)).sum(-1))
        found += sums.metrics([len(bench.test_y_T)] * len(chunk))
    return found


def _chunks(order: Sequence[int], bench: Workbench) -> Iterator[Sequence[int]]:
    """Cut `order` into pieces whose parameters take half the workspace; at least one in each."""
    length = max(1, workspace_bytes(bench.device) // (8 * bench.model.dimension))
    for start in range(0, len(order), length):
        yield order[start : start + length]
