"""How much noise a budget asks for, and the mechanism that a `[privacy]` table means."""

from __future__ import annotations

import math
from functools import lru_cache, partial

import msgspec

from troth.errors import LocalError
from troth.learning.training import Training
from troth.privacy.accounting import smallest_noise_multiplier
from troth.privacy.events import Event, SampledEvent
from troth.privacy.ledger import Budget, PrivacyLedger
from troth.privacy.mechanisms import DiscreteGaussian, Gaussian, Laplace, Mechanism
from troth.privacy.spec import (
    DPSGD,
    Adjacency,
    Budgeted,
    DiscreteGaussianNoise,
    GaussianNoise,
    LaplaceNoise,
    UpdateNoise,
    check_delta,
)

_MECHANISMS: dict[type[Budgeted], type[Mechanism]] = {
    GaussianNoise: Gaussian,
    DiscreteGaussianNoise: DiscreteGaussian,
    LaplaceNoise: Laplace,
}


class NoisePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a party keeps its budget: with this noise, the planned releases just fit."""

    noise_multiplier: float
    event: Event
    times: int
    """Events of one release: steps of training for DP-SGD, else 1."""
    releases: int


def plan(
    spec: Budgeted,
    *,
    rounds: int,
    examples: int,
    batch_size: int | None = None,
    steps: int = 1,
    party: str | None = None,
) -> NoisePlan:
    """The least noise with which `party` can take part in `rounds` rounds.

    Found by bisection over the accountant that will count it, so that the last round fits too; the
    result is at most 0.1 % above the least.

    Args:
      rounds: releases of an update.
      examples: rows of the party, as it says; for DP-SGD the sampling probability is
        `batch_size` / `examples`.
      batch_size: rows of a lot on average; None: all. Only DP-SGD looks at it.
      steps: steps of training in a round, likewise.
      party: whose budget; None: the one for all.

    Raises:
      CharterError: delta is not below 1 / `examples`.
      LocalError: counts below 1, or no noise is enough.
    """
    if min(rounds, examples, steps) < 1:
        raise LocalError(f"rounds={rounds}, examples={examples}, steps={steps}: one is below 1")
    check_delta(spec, examples)
    epsilon = spec.epsilon if party is None else spec.epsilon_of(party)
    kind = type(spec)
    q = 1.0
    if isinstance(spec, DPSGD):
        q = sampling_probability(batch_size, examples)
    else:
        steps = 1
    z = _least(kind, q, rounds * steps, epsilon, spec.delta, spec.adjacency)
    return NoisePlan(noise_multiplier=z, event=_event(kind, q, z), times=steps, releases=rounds)


@lru_cache(maxsize=1024)
def _least(
    kind: type[Budgeted], q: float, times: int, epsilon: float, delta: float, adjacency: Adjacency
) -> float:
    return smallest_noise_multiplier(partial(_event, kind, q), times, epsilon, delta, adjacency)


def _event(kind: type[Budgeted], q: float, z: float) -> Event:
    if kind is DPSGD:
        return SampledEvent(q, z)
    # Whatever the clip is: an event knows noise over sensitivity only.
    return _MECHANISMS[kind](1.0, z).event


def sampling_probability(batch_size: int | None, examples: int) -> float:
    """q of Poisson lots with `batch_size` rows on average; None: every row is in every lot."""
    return 1.0 if batch_size is None else min(1.0, batch_size / examples)


def training_steps(training: Training, q: float) -> int:
    """Steps of one private local update. One pass is 1/q lots, rounded up."""
    if training.update != "delta":
        return 1
    # Rounding is not one more step: 1 / (2 / 98) is 49 and a bit.
    a_pass = math.ceil(1.0 / q - 1e-9)
    return training.local_steps or (training.local_epochs or 1) * a_pass


def mechanism(spec: UpdateNoise, noise_multiplier: float) -> Mechanism:
    """The mechanism that a table with noise on whole updates means."""
    return _MECHANISMS[type(spec)](spec.clip, noise_multiplier, spec.unit, spec.adjacency)


def open_ledger(spec: Budgeted, party: str | None = None) -> PrivacyLedger:
    """An empty ledger with the budget that `spec` gives to `party`."""
    return PrivacyLedger(
        unit=spec.unit if isinstance(spec, UpdateNoise) else "record",
        adjacency=spec.adjacency,
        budget=Budget(spec.epsilon if party is None else spec.epsilon_of(party), spec.delta),
    )
