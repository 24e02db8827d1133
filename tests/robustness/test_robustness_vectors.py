"""Our rules and attacks agree with ByzFL's and Flower's on random inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troth.attacks.spec import ALIE, InnerProduct
from troth.attacks.updates import AttackContext, malicious_update
from troth.robustness.average import mean
from troth.robustness.bulyan import bulyan
from troth.robustness.coordinates import median, trimmed_mean
from troth.robustness.geometric import geometric_median
from troth.robustness.krum import krum, multi_krum
from troth.robustness.preparation import nnm
from troth.wire import Float32s


def vectors() -> list[Any]:
    found = []
    for name in ("byzfl", "flower"):
        file = json.loads((Path(__file__).parent / "vectors" / f"{name}.json").read_text())
        for vector in file["vectors"]:
            updates_PD = np.array(file["inputs"][vector["input"]], np.float32)
            label = f"{name}-{vector['call']}-{len(updates_PD)}x{updates_PD.shape[1]}"
            found.append(pytest.param(vector["ours"], updates_PD, vector["out"], id=label))
    return found


def ours(call: dict[str, Any], updates_PD: Float32s) -> Float32s:
    arguments = {key: value for key, value in call.items() if key not in ("rule", "attack")}
    context = AttackContext(round=1, parties=100, attackers=len(updates_PD), dimension=1)
    match call.get("rule", call.get("attack")):
        case "mean":
            weights = arguments.get("weights", [1] * len(updates_PD))
            return mean(updates_PD, np.array(weights)).update_D
        case "median":
            return median(updates_PD).update_D
        case "trimmed_mean":
            return trimmed_mean(updates_PD, **arguments).update_D
        case "geometric_median":
            return geometric_median(updates_PD, **arguments).update_D
        case "krum":
            return krum(updates_PD, **arguments).update_D
        case "multi_krum":
            return multi_krum(updates_PD, **arguments).update_D
        case "bulyan":
            return bulyan(updates_PD, **arguments).update_D
        case "nnm":
            return nnm(updates_PD, **arguments).updates_BD
        case "alie":
            spec = ALIE(fraction=0.1, **arguments)
        case "inner_product":
            spec = InnerProduct(fraction=0.1, **arguments)
        case other:
            raise AssertionError(f"no call for {other}")
    generator = np.random.default_rng(0)
    return malicious_update(spec, updates_PD[0], updates_PD, context, generator)


@pytest.mark.parametrize(("call", "updates_PD", "out"), vectors())
def test_agrees_with_an_independent_implementation(
    call: dict[str, Any], updates_PD: Float32s, out: list[float]
) -> None:
    np.testing.assert_allclose(ours(call, updates_PD), np.array(out), rtol=2e-5, atol=2e-5)
