"""FedAvg of MNIST softmax in Flower's simulation: the peer that `benchmarks/simulation.py` runs.

Each of P parties holds 60,000 / P rows and takes a few SGD steps a round, on batches drawn without
replacement. Written the way Flower's own PyTorch quickstart is (`ClientApp`, `ServerApp`, `FedAvg`,
`run_simulation` on Ray); nothing is evaluated while rounds are timed. Prints one JSON object:

- `startup_s`: from `--started` to the start of round 1
- `first_round_s`: round 1, in which Ray still starts its workers
- `rounds_per_s`: over the rounds after it
- `accuracy`: of the final model on MNIST's 10,000 test rows
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time

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
from torch.utils.data import DataLoader, TensorDataset


def softmax_model() -> torch.nn.Module:
    """784 x 10 weights and 10 biases; D = 7,850."""
    return torch.nn.Linear(784, 10)


def make_client_app(
    parties: int, local_steps: int, batch_size: int, learning_rate: float
) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        partition = int(context.node_config["partition-id"])
        mnist = mnist_idx.load("train")
        own = slice(partition, None, parties)  # MNIST's training rows are in random order already
        rows = TensorDataset(torch.from_numpy(mnist.x_NF[own]), torch.from_numpy(mnist.y_N[own]))
        model = softmax_model()
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
    """Flower's FedAvg, noting when each round begins."""

    def __init__(self, parties: int) -> None:
        super().__init__(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=parties,
            min_evaluate_nodes=0,
            min_available_nodes=parties,
        )
        self.round_starts: list[float] = []

    def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]  # Flower's signature, whose types are not public
        self.round_starts.append(time.time())
        return super().configure_train(server_round, arrays, config, grid)


def accuracy(model: torch.nn.Module) -> float:
    test = mnist_idx.load("t10k")
    with torch.no_grad():
        predicted_T = model(torch.from_numpy(test.x_NF)).argmax(dim=1)
    return float((predicted_T == torch.from_numpy(test.y_N)).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="FedAvg of MNIST softmax in Flower's simulation")
    parser.add_argument("--started", type=float, required=True, help="time.time() before the start")
    parser.add_argument("--parties", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True, help="at least 2: round 1 is start-up")
    parser.add_argument("--local-steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds} is below 2: round 1 is start-up")

    torch.manual_seed(0)
    strategy = TimedFedAvg(options.parties)
    outcome: dict[str, float] = {}
    server_app = ServerApp()

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:  # noqa: ARG001  # Flower calls it so
        model = softmax_model()
        for parameter in model.parameters():  # where Troth's convex models start
            torch.nn.init.zeros_(parameter)
        initial = ArrayRecord(model.state_dict())
        result = strategy.start(grid=grid, initial_arrays=initial, num_rounds=options.rounds)
        finished = time.time()
        first, second = strategy.round_starts[:2]
        model.load_state_dict(result.arrays.to_torch_state_dict())
        outcome["startup_s"] = first - options.started
        outcome["first_round_s"] = second - first
        outcome["rounds_per_s"] = (options.rounds - 1) / (finished - second)
        outcome["accuracy"] = accuracy(model)

    run_simulation(
        server_app=server_app,
        client_app=make_client_app(
            options.parties, options.local_steps, options.batch_size, options.learning_rate
        ),
        num_supernodes=options.parties,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
