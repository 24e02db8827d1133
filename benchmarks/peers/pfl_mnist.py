"""FedAvg of MNIST in pfl-research's simulation: a peer that `benchmarks/simulation.py` runs.

Each of P parties holds 60,000 / P rows and takes a few SGD steps a round, on batches drawn without
replacement. Written the way pfl's own PyTorch examples are (`PyTorchModel`, `FederatedAveraging`,
`SimulatedBackend`), with the data sets of all users made once and kept in memory; nothing is
evaluated while rounds are timed. Prints what `side.py` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib.metadata import version

import mnist_idx
import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from side import Rounds, parser
from torch import Tensor, nn
from torch_models import NETWORKS, accuracy


class DrawnDataset(PyTorchTensorDataset):
    """A user's rows, whose batches are drawn anew each time that they are asked for.

    pfl's own batches are the same in each round and end after one pass. These are a fresh
    permutation of all rows, cut in order, as many as `steps`; where a batch is all rows, nothing is
    drawn. All steps of a pass are gathered at once, which is quicker than one by one.
    """

    def __init__(self, tensors: tuple[Tensor, Tensor], steps: int) -> None:
        super().__init__(tensors)
        self._steps = steps

    def iter(self, batch_size: int) -> Iterator[tuple[Tensor, ...]]:
        x_NF, y_N = self.raw_data
        left = self._steps
        while left:
            if batch_size >= len(y_N):
                batches = [(x_NF, y_N)] * left
            else:
                drawn = torch.randperm(len(y_N))[: left * batch_size]
                cut = (x_NF[drawn].split(batch_size), y_N[drawn].split(batch_size))
                batches = list(zip(*cut, strict=True))
            yield from batches
            left -= len(batches)


class Classifier(nn.Module):
    """A network with the two methods that pfl asks for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, x_BF: Tensor, y_B: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.network(x_BF), y_B)

    def metrics(self, x_BF: Tensor, y_B: Tensor) -> dict[str, float]:
        raise NotImplementedError("nothing is evaluated while rounds are timed")


class UnevaluatedFederatedAveraging(FederatedAveraging):
    """pfl's FedAvg, without the evaluation that its first round has whatever the parameters say."""

    def get_next_central_contexts(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # pfl's signature
        contexts, model, metrics = super().get_next_central_contexts(*args, **kwargs)
        if contexts is not None:
            contexts = tuple(dataclasses.replace(each, do_evaluation=False) for each in contexts)
        return contexts, model, metrics


class Stopwatch(TrainingProcessCallback):
    """Notes when training begins and when each round ends."""

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def on_train_begin(self, *, model: PyTorchModel) -> Metrics:  # noqa: ARG002  # told, not needed
        self._rounds.begin()
        return Metrics()

    def after_central_iteration(
        self,
        aggregate_metrics: Metrics,  # noqa: ARG002  # see above
        model: PyTorchModel,  # noqa: ARG002
        *,
        central_iteration: int,  # noqa: ARG002
    ) -> tuple[bool, Metrics]:
        self._rounds.end()
        return False, Metrics()


def federated_mnist(parties: int, steps: int) -> FederatedDataset:
    """All users' data sets, made once; a cohort of all parties is each of them once."""
    mnist = mnist_idx.load("train")
    users = []
    for party in range(parties):
        own = slice(party, None, parties)  # MNIST's training rows are in random order already
        x_NF, y_N = (np.ascontiguousarray(rows[own]) for rows in mnist)
        users.append(DrawnDataset((torch.from_numpy(x_NF), torch.from_numpy(y_N)), steps))
    sampler = get_user_sampler("minimize_reuse", list(range(parties)))
    return FederatedDataset(users.__getitem__, sampler)


def main() -> None:
    options = parser("FedAvg of MNIST in pfl-research's simulation").parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # where pfl takes its seeds from

    classifier = Classifier(NETWORKS[options.model]())
    model = PyTorchModel(
        model=classifier,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(classifier.parameters(), lr=1.0),
    )
    users = federated_mnist(options.parties, options.local_steps)
    rounds = Rounds()
    UnevaluatedFederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=options.rounds,
            evaluation_frequency=options.rounds,
            train_cohort_size=options.parties,
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=users, val_data=users),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=None,
            local_num_steps=options.local_steps,
            local_batch_size=options.batch_size,
            local_learning_rate=options.learning_rate,
        ),
        callbacks=[Stopwatch(rounds)],
        send_metrics_to_platform=False,
    )
    library = f"pfl-research {version('pfl')}"
    rounds.print_outcome(library, options.started, accuracy(classifier.network))


if __name__ == "__main__":
    main()
