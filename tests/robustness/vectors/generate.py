"""Writes byzfl.json and flower.json beside this file: what two independent implementations say.

Needs `byzfl` and `flwr`, which troth does not; in an environment that has both and numpy:

    python tests/robustness/vectors/generate.py

Each vector names the other library's call in `call`, and in `ours` the call of troth that must
agree. Where the two differ in a convention, `note` says how `ours` makes up for it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy as np

SIZES = [(5, 1), (7, 3), (8, 6), (11, 5), (15, 20)]
NEIGHBOURS = (
    "ByzFL sums over n - f - 1 neighbours where the paper has n - f - 2, so its f is our f + 1"
)
ROOT_BIAS = "ByzFL adds tau times the standard deviation with n - 1 in its denominator"


def digits(values):
    """Nine digits tell any two float32 apart."""
    return np.vectorize(lambda value: float(f"{value:.9g}"))(values).tolist()


def inputs():
    for seed, (n, dimension) in enumerate(SIZES):
        generator = np.random.default_rng(seed)
        x_nD = (generator.standard_normal((n, dimension)) + 3).astype(np.float32)
        x_nD[: n // 5] *= -20
        yield n, x_nD


def byzfl_modules():
    # Its __init__ also imports torchvision and plotting, which rules and attacks do without.
    package = types.ModuleType("byzfl")
    package.__path__ = importlib.util.find_spec("byzfl").submodule_search_locations
    sys.modules["byzfl"] = package
    from byzfl.aggregators import aggregators, preaggregators
    from byzfl.attacks import attacks

    return aggregators, preaggregators, attacks


def byzfl_vectors():
    rules, steps, attacks = byzfl_modules()
    for number, (n, x_nD) in enumerate(inputs()):
        x = x_nD.astype(np.float64)

        def vector(call, ours, out, note=None, number=number):
            made = {"call": call, "ours": ours, "input": number, "out": digits(out)}
            return made if note is None else made | {"note": note}

        yield vector("Average()", {"rule": "mean"}, rules.Average()(x))
        yield vector("Median()", {"rule": "median"}, rules.Median()(x))
        yield vector(
            "GeometricMedian(nu=1e-9, T=5000)",
            {"rule": "geometric_median", "iterations": 5000, "tolerance": 1e-9},
            rules.GeometricMedian(nu=1e-9, T=5000)(x),
            "both run until they no longer move; they start from different points",
        )
        for f in range(1, (n - 1) // 2 + 1):
            yield vector(f"TrMean(f={f})", {"rule": "trimmed_mean", "f": f}, rules.TrMean(f=f)(x))
            yield vector(f"NNM(f={f})", {"rule": "nnm", "f": f}, steps.NNM(f=f)(x))
            if n >= 2 * (f - 1) + 3 and n - f - 1 >= 2:
                yield vector(
                    f"Krum(f={f})", {"rule": "krum", "f": f - 1}, rules.Krum(f=f)(x), NEIGHBOURS
                )
                yield vector(
                    f"MultiKrum(f={f})",
                    {"rule": "multi_krum", "f": f - 1, "m": n - f},
                    rules.MultiKrum(f=f)(x),
                    NEIGHBOURS,
                )
        for z in (0.3, 1.5):
            tau = -z * ((n - 1) / n) ** 0.5
            yield vector(
                f"ALittleIsEnough(tau={tau!r})",
                {"attack": "alie", "z": z},
                attacks.ALittleIsEnough(tau=tau)(x),
                ROOT_BIAS,
            )
        yield vector(
            "InnerProductManipulation(tau=0.5)",
            {"attack": "inner_product", "epsilon": 0.5},
            attacks.InnerProductManipulation(tau=0.5)(x),
        )


def flower_vectors():
    from flwr.server.strategy import aggregate as flower

    for number, (n, x_nD) in enumerate(inputs()):

        def results(x_nD=x_nD):
            return [([x_D.astype(np.float64)], 1) for x_D in x_nD]

        def vector(call, ours, out, number=number):
            return {"call": call, "ours": ours, "input": number, "out": digits(out[0])}

        weights = list(range(1, n + 1))
        weighted = [(arrays, w) for (arrays, _), w in zip(results(), weights, strict=True)]
        yield vector(
            "aggregate(num_examples=1..n)",
            {"rule": "mean", "weights": weights},
            flower.aggregate(weighted),
        )
        yield vector("aggregate_median", {"rule": "median"}, flower.aggregate_median(results()))
        for f in range((n - 3) // 2 + 1):
            # With one neighbour, two updates nearest to each other tie.
            if n - f - 2 < 2:
                continue
            yield vector(
                f"aggregate_krum(num_malicious={f}, to_keep=0)",
                {"rule": "krum", "f": f},
                flower.aggregate_krum(results(), f, 0),
            )
            yield vector(
                f"aggregate_krum(num_malicious={f}, to_keep={n - f})",
                {"rule": "multi_krum", "f": f, "m": None},
                flower.aggregate_krum(results(), f, n - f),
            )
            yield vector(
                f"aggregate_krum(num_malicious={f}, to_keep=2)",
                {"rule": "multi_krum", "f": f, "m": 2},
                flower.aggregate_krum(results(), f, 2),
            )
        for f in range(1, (n - 3) // 4 + 1):
            yield vector(
                f"aggregate_bulyan(num_malicious={f}, aggregate_krum, to_keep=0)",
                {"rule": "bulyan", "f": f},
                flower.aggregate_bulyan(results(), f, flower.aggregate_krum, to_keep=0),
            )


def main():
    for package, vectors in (("byzfl", byzfl_vectors()), ("flwr", flower_vectors())):
        path = Path(__file__).with_name({"byzfl": "byzfl", "flwr": "flower"}[package] + ".json")
        made = list(vectors)
        lines = ",\n".join("  " + json.dumps(vector) for vector in made)
        shared = ",\n".join("  " + json.dumps(digits(x_nD)) for _, x_nD in inputs())
        source = {"package": package, "version": version(package), "made_by": "generate.py"}
        head = f'{{"source": {json.dumps(source)},\n"inputs": [\n{shared}\n],\n'
        path.write_text(f'{head}"vectors": [\n{lines}\n]}}\n')
        print(f"{path.name}: {len(made)} vectors")


if __name__ == "__main__":
    main()
