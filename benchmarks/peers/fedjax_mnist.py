"""FedAvg of MNIST in FedJAX's simulation: a peer that `benchmarks/simulation.py` runs.

Each of P parties holds 60,000 / P rows and takes a few SGD steps a round, on batches drawn without
replacement. Written the way FedJAX's own example is (`fed_avg.federated_averaging`, the compiled
`for_each_client`), with the data sets of all clients made once and kept in memory; nothing is
evaluated while rounds are timed. Prints what `side.py` says.
"""

from __future__ import annotations

import os

# Must be set before JAX is imported: one thread for XLA. More of them hand each operation from one
# to another, and rounds of softmax and of the perceptron were measured to take longer with two.
os.environ.setdefault("NPROC", "1")

from importlib.metadata import version

import fedjax
import jax
import mnist_idx
import numpy as np
from fedjax.algorithms.fed_avg import federated_averaging
from jax_models import Params, accuracy, losses_B, start
from side import Rounds, parser

# FedJAX's last release calls it by this name, which JAX 0.6 took away. JAX 0.5, which still has it,
# trains the perceptron a quarter slower.
jax.tree_map = jax.tree_util.tree_map

Client = tuple[int, fedjax.ClientDataset, jax.Array]


def all_clients(parties: int) -> list[Client]:
    """Every client with its rows and its key, made once.

    The keys may be the same in each round: no model here draws anything, and batches are shuffled
    by other chance.
    """
    mnist = mnist_idx.load("train")
    keys = jax.random.split(jax.random.PRNGKey(0), parties)
    clients = []
    for party, key in enumerate(keys):
        own = slice(party, None, parties)  # MNIST's training rows are in random order already
        rows = {
            "x": np.ascontiguousarray(mnist.x_NF[own]),
            "y": mnist.y_N[own].astype(np.int32),
        }
        clients.append((party, fedjax.ClientDataset(rows), key))
    return clients


def main() -> None:
    options = parser("FedAvg of MNIST in FedJAX's simulation").parse_args()

    def losses(params: Params, batch: dict[str, jax.Array], _key: jax.Array) -> jax.Array:
        return losses_B(options.model, params, batch["x"], batch["y"])

    clients = all_clients(options.parties)
    smallest = min(len(rows) for _, rows, _ in clients)
    algorithm = federated_averaging(
        fedjax.grad(losses),
        client_optimizer=fedjax.optimizers.sgd(options.learning_rate),
        server_optimizer=fedjax.optimizers.sgd(1.0),
        client_batch_hparams=fedjax.ShuffleRepeatBatchHParams(
            # A larger batch would be filled up with the same rows again.
            batch_size=min(options.batch_size, smallest),
            num_epochs=None,
            num_steps=options.local_steps,
        ),
    )
    state = algorithm.init(start(options.model, np.random.default_rng(0)))
    rounds = Rounds()
    rounds.begin()
    for _ in range(options.rounds):
        state, _diagnostics = algorithm.apply(state, clients)
        jax.block_until_ready(state.params)
        rounds.end()
    library = f"FedJAX {version('fedjax')}"
    rounds.print_outcome(library, options.started, accuracy(options.model, state.params))


if __name__ == "__main__":
    main()
