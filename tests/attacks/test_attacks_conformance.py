"""The conformance suite passes every built-in attack, and notices each broken promise."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from troth.attacks.conformance import ConformanceError, check_attack
from troth.attacks.spec import ALIE, InnerProduct, RandomWeights, Scaled, SignFlip
from troth.attacks.updates import malicious_update


@pytest.mark.parametrize(
    "spec", [ALIE(), ALIE(z=1.5), InnerProduct(), RandomWeights(), Scaled(), SignFlip(scale=3.0)]
)
def test_built_in_attacks_conform(spec):
    calls = []

    def attack(*arguments):
        calls.append(1)
        return malicious_update(spec, *arguments)

    check_attack(attack)
    assert len(calls) == 8


def _in_place(update_D, peers_PD, context, generator):
    update_D *= -1
    return update_D.copy()


def _peers_in_place(update_D, peers_PD, context, generator):
    peers_PD[0] = 0
    return -update_D


BROKEN = {
    "float64": (lambda u, p, c, g: u.astype(np.float64), "float64.*not an array of float32"),
    "a list": (lambda u, p, c, g: u.tolist(), "returns list"),
    "wrong shape": (lambda u, p, c, g: p.reshape(-1)[:-1].copy(), "returns shape"),
    "own chance": (
        lambda u, p, c, g: u * np.float32(np.random.default_rng().normal()),
        "another update the second time",
    ),
    "in place": (_in_place, "another update|changes its arguments"),
    "peers in place": (_peers_in_place, "changes its arguments"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_promises_are_noticed(case):
    attack, message = BROKEN[case]
    with pytest.raises(ConformanceError, match=message):
        check_attack(partial(attack))
