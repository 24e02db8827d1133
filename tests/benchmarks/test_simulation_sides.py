"""Equal work: the peers of the simulation's benchmark train the networks that Troth trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import troth_mnist
from peers import torch_models
from peers.side import MODELS, parser

from troth.charter.loading import load_text
from troth.learning.build import build_model

SCENARIO = Path("scenario.toml")
WORK = "--started 0 --parties 100 --rounds 2 --local-steps 5 --batch-size 10 --learning-rate 0.1"


@pytest.mark.parametrize("name", MODELS)
def test_a_network_gives_the_scores_that_troths_gives(name: str) -> None:
    options = parser("").parse_args([*WORK.split(), "--model", name])
    options.seed, options.participation = 0, 0.5
    charter = load_text(
        troth_mnist.scenario(options), path=SCENARIO, base=SCENARIO.parent
    ).scenario.charter
    ours = build_model(charter.task.model, features=(28, 28), outputs=10, task="classification")
    theirs = torch_models.NETWORKS[name]()

    generator = np.random.default_rng(0)
    params_D = torch.from_numpy(generator.normal(0, 0.1, ours.dimension).astype(np.float32))
    x_BF = torch.from_numpy(generator.random((10, 784), dtype=np.float32))
    torch.nn.utils.vector_to_parameters(params_D, theirs.parameters())
    with torch.no_grad():
        expected_BC, found_BC = ours.predict(params_D, x_BF), theirs(x_BF)
    torch.testing.assert_close(found_BC, expected_BC, rtol=1e-4, atol=1e-5)


def test_one_round_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser("").parse_args([*WORK.replace("rounds 2", "rounds 1").split(), "--model", "mlp"])
    assert "1 is below 2: round 1 is start-up" in capsys.readouterr().err
