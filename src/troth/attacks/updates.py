"""Attacks on what is sent.

Legend of shapes: P colluding attackers, D dimension of the model.
"""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import assert_never

import msgspec
import numpy as np

from troth.attacks.spec import (
    ALIE,
    CallableAttack,
    InnerProduct,
    RandomWeights,
    Scaled,
    SignFlip,
    UpdateAttack,
)
from troth.errors import CharterError, LocalError
from troth.references import raised, resolve
from troth.wire import Float32s, Float64s


class AttackContext(msgspec.Struct, frozen=True):
    """What attackers know of the run: the round, all parties and the attackers among them, and
    D."""

    round: int
    parties: int
    attackers: int
    dimension: int


def malicious_update(
    spec: UpdateAttack,
    update_D: Float32s,
    peers_PD: Float32s,
    context: AttackContext,
    generator: np.random.Generator,
    base: Path | None = None,
) -> Float32s:
    """What the attacker sends instead of its honest update, float32 (D,).

    It is what the attack's formula says, which after an overflow is infinite: a malicious party
    need not send numbers, and receivers must verify.

    | attack           | is sent                                                          |
    |------------------|------------------------------------------------------------------|
    | `random_weights` | N(0, scale^2) in each coordinate                                 |
    | `sign_flip`      | -scale * update                                                  |
    | `scaled`         | scale * update                                                   |
    | `alie`           | mean - z * std of the peers, z from `z_max` unless given         |
    | `inner_product`  | -epsilon * mean of the peers                                     |

    `scaled`: Bagdasaryan et al., AISTATS 2020. `alie`: Baruch et al., NeurIPS 2019, algorithm 3;
    std as in the authors' code, over P. `inner_product`: Xie et al., UAI 2020, section 4.

    Args:
      spec: the attack.
      update_D: the update an honest party would send.
      peers_PD: the honest updates of all that collude, this attacker's included; P is at least 1.
      With
        P = 1, `alie` sends its honest update: nothing tells it how much the others vary.
      context: what attackers know.
      generator: for `random_weights` and an attack of your own.
      base: folder of the scenario file, where an attack of your own is looked for first.

    Raises:
      CharterError: an attack of your own cannot be found, raised, or returned no float32 update
        (D,).
      LocalError: `peers_PD` does not have shape (P, D).
    """
    if peers_PD.ndim != 2 or len(peers_PD) == 0 or peers_PD.shape[1:] != update_D.shape:
        raise LocalError(f"peers have shape {peers_PD.shape}, and the update {update_D.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        match spec:
            case RandomWeights():
                return _times(spec.scale, generator.standard_normal(len(update_D)))
            case SignFlip():
                return _times(-spec.scale, update_D)
            case Scaled():
                return _times(spec.scale, update_D)
            case ALIE():
                z = z_max(context.parties, context.attackers) if spec.z is None else spec.z
                wide_PD = peers_PD.astype(np.float64)
                return _times(1.0, wide_PD.mean(axis=0) - z * wide_PD.std(axis=0))
            case InnerProduct():
                return _times(-spec.epsilon, peers_PD.mean(axis=0, dtype=np.float64))
            case CallableAttack():
                return _own_attack(spec, update_D, peers_PD, context, generator, base)
            case _:
                assert_never(spec)


def _times(factor: float, vector_D: Float32s | Float64s) -> Float32s:
    return np.asarray(factor * vector_D, dtype=np.float32)


def z_max(parties: int, attackers: int) -> float:
    """The largest z with which `alie` still hides among the honest, and at least 0.

    s = floor(n / 2 + 1) - m honest parties must lie farther from the mean than the attackers for
    these to be part of a majority, so Phi(z) = (n - m - s) / (n - m). Baruch et al., NeurIPS 2019,
    section 3.2.

    When m attackers are a majority by themselves, s is below 1 and any z would do; s = 1 then keeps
    them among the honest. Among fewer than five parties no z above 0 hides anybody.

    >>> round(z_max(50, 24), 2)
    1.43
    """
    honest = parties - attackers
    supporters = max(1, parties // 2 + 1 - attackers)
    share = (honest - supporters) / max(1, honest)
    return max(0.0, NormalDist().inv_cdf(share)) if 0 < share < 1 else 0.0


def _own_attack(
    spec: CallableAttack,
    update_D: Float32s,
    peers_PD: Float32s,
    context: AttackContext,
    generator: np.random.Generator,
    base: Path | None,
) -> Float32s:
    attack = resolve(spec.callable, base=base)
    try:
        sent = attack(update_D.copy(), peers_PD.copy(), context, generator, **spec.arguments)
    except (Exception, SystemExit) as error:
        raise CharterError(f"attack {spec.callable} {raised(error)}") from error
    if not isinstance(sent, np.ndarray) or sent.dtype != np.float32 or sent.shape != update_D.shape:
        found = (
            f"{sent.dtype} of shape {sent.shape}"
            if isinstance(sent, np.ndarray)
            else f"a {type(sent).__name__}"
        )
        raise CharterError(
            f"attack {spec.callable} returned {found} instead of float32 of shape {update_D.shape}",
            hint="end it with .astype(numpy.float32)",
        )
    return sent
