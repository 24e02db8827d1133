"""FedAvg of MNIST in Flower's simulation: a peer that `benchmarks/simulation.py` runs.

Each of P parties holds 60,000 / P rows and takes a few SGD steps a round, on batches drawn without
replacement. Written the way Flower's own PyTorch quickstart is (`ClientApp`, `ServerApp`, `FedAvg`,
`run_simulation` on Ray); nothing is evaluated while rounds are timed. Prints what `side.py` says;
in round 1 Ray still starts its workers.
"""

from __future__ import annotations

import itertools
import os
from importlib.metadata import version

# Both must be set before the packages are imported; a benchmark has no business on the network.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import mnist_idx
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from side import Rounds, parser
from torch.utils.data import DataLoader, TensorDataset
from torch_models import NETWORKS, accuracy


def make_client_app(
    name: str, parties: int, local_steps: int, batch_size: int, learning_rate: float
) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        partition = int(context.node_config["partition-id"])
        mnist = mnist_idx.load("train")
        own = slice(partition, None, parties)  # MNIST's training rows are in random order already
        rows = TensorDataset(torch.from_numpy(mnist.x_NF[own]), torch.from_numpy(mnist.y_N[own]))
        model = NETWORKS[name]()
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        loader = DataLoader(rows, batch_size=batch_size, shuffle=True)
        for x_BF, y_B in itertools.islice(loader, local_steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x_BF), y_B).backward()
            optimizer.step()
        content = RecordDict(
            {
                "arrays": ArrayRecord(model.state_dict()),
                "metrics": MetricRecord({"num-examples": len(rows)}),
            }
        )
        return Message(content=content, reply_to=message)

    return app


class TimedFedAvg(FedAvg):
    """Flower's FedAvg, noting when each round begins, which ends the one before."""

    def __init__(self, parties: int, rounds: Rounds) -> None:
        super().__init__(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=parties,
            min_evaluate_nodes=0,
            min_available_nodes=parties,
        )
        self._rounds = rounds

    def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]  # Flower's signature, whose types are not public
        if server_round == 1:
            self._rounds.begin()
        else:
            self._rounds.end()
        return super().configure_train(server_round, arrays, config, grid)


def main() -> None:
    options = parser("FedAvg of MNIST in Flower's simulation").parse_args()
    torch.manual_seed(0)
    rounds = Rounds()
    strategy = TimedFedAvg(options.parties, rounds)
    final = NETWORKS[options.model]()
    server_app = ServerApp()

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:  # noqa: ARG001  # Flower calls it so
        initial = ArrayRecord(final.state_dict())
        result = strategy.start(grid=grid, initial_arrays=initial, num_rounds=options.rounds)
        rounds.end()
        final.load_state_dict(result.arrays.to_torch_state_dict())

    run_simulation(
        server_app=server_app,
        client_app=make_client_app(
            options.model,
            options.parties,
            options.local_steps,
            options.batch_size,
            options.learning_rate,
        ),
        num_supernodes=options.parties,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    rounds.print_outcome(f"Flower {version('flwr')}", options.started, accuracy(final))


if __name__ == "__main__":
    main()
