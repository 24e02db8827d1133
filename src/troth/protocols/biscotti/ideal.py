"""What `biscotti` comes to when nothing goes wrong, as one function without messages and with no
cryptography but the lotteries: fault-free runs must give the same, bit by bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from troth.crypto import vrf
from troth.crypto.noise_table import assign_slots
from troth.ids import NodeId
from troth.learning.requests import LocalUpdate
from troth.protocols.biscotti.duties.selecting import SelectUpdates, rule_stream
from troth.protocols.biscotti.hiding.masking import encode_update, to_wire
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import Before, Head, Rules, model_digest
from troth.protocols.biscotti.ledger.lottery import next_seed, seed_input
from troth.protocols.biscotti.ledger.stake import StakeTable, apply_changes, stake_changes
from troth.protocols.protocol import Run
from troth.wire import Float32s, Int64s


@dataclass(frozen=True)
class IdealRound:
    """What one round leaves behind."""

    contributors: tuple[NodeId, ...]
    """The contributors of U, ascending; empty if the round has no sum."""
    aggregate_D: Int64s | None
    """The sum of their updates in steps of the grid, shape (D,); None if the round has no sum."""
    params_D: Float32s
    """w_t, the model after the round, shape (D,)."""
    stake: StakeTable
    """Everybody's stake after the round."""


def ideal(
    rules: Rules,
    keys: Mapping[NodeId, PeerKeys],
    initial_D: Float32s,
    compute: Run,
    secret: Callable[[NodeId, int], bytes],
) -> list[IdealRound]:
    """What every round leaves behind, if everybody answers in time. That is exactly what a
    fault-free run gives, to the last bit: sums are of whole numbers.

    Args:
      keys: of all peers.
      initial_D: w_0, shape (D,).
      compute: the `run` of an engine, which carries out computations.
      secret: the 32 bytes that a peer draws its ledger noise from in a round.
    """
    head = rules.first(initial_D)
    velocities: dict[NodeId, Float32s | None] = {}
    rounds = []
    for _ in range(rules.training.rounds):
        context = rules.context(head.before)
        drawn = context.contributors
        results = compute(
            [
                LocalUpdate(
                    peer, context.round, head.params_D, rules.training, velocities.get(peer)
                )
                for peer in drawn
            ]
        )
        velocities |= {p: result.velocity_D for p, result in zip(drawn, results, strict=True)}
        values = {
            peer: encode_update(rules.setting, result.update_D, secret(peer, context.round))
            for peer, result in zip(drawn, results, strict=True)
        }
        masked = _masked(rules, context, keys, values)
        (selection,) = compute(
            [
                SelectUpdates(
                    rules.setting.fixed,
                    rules.parameters.aggregation,
                    tuple(to_wire(values_D) for values_D in masked.values()),
                    rule_stream(context),
                )
            ]
        )
        chosen = tuple(sorted(list(masked)[place] for place in selection.places))
        head, made = _next(rules, context, head, keys, chosen, values)
        rounds.append(made)
    return rounds


def _masked(
    rules: Rules,
    context: RoundContext,
    keys: Mapping[NodeId, PeerKeys],
    values: Mapping[NodeId, Int64s],
) -> dict[NodeId, Int64s]:
    """The masked updates of the contributors for whom enough noisers have a slot left, each with
    the noise of all of these."""
    if rules.setting.sigma is None:
        return dict(values)
    outputs = {peer: vrf.output(keys[peer].vrf.prove(context.noiser_alpha)) for peer in values}
    asking: dict[NodeId, dict[NodeId, bytes]] = {}
    for peer, output in outputs.items():
        for noiser in context.noisers_of(peer, output):
            asking.setdefault(noiser, {})[peer] = output
    noise: dict[NodeId, list[Int64s]] = {peer: [] for peer in values}
    for noiser, asked in asking.items():
        slots = assign_slots(
            asked,
            noiser=noiser,
            shape=rules.setting.table,
            reserved=context.reserved_slots(noiser),
        )
        for peer, slot in slots.items():
            seeds = keys[noiser].noise.seeds(context.round, slot)
            noise[peer].append(rules.setting.rows.opening(seeds).values_D)
    return {
        peer: values[peer] + np.sum(noise[peer], axis=0)
        for peer in values
        if len(noise[peer]) >= rules.setting.needed
    }


def _next(
    rules: Rules,
    context: RoundContext,
    head: Head,
    keys: Mapping[NodeId, PeerKeys],
    chosen: tuple[NodeId, ...],
    values: Mapping[NodeId, Int64s],
) -> tuple[Head, IdealRound]:
    if len(chosen) < context.fewest:
        chosen = ()
    aggregate_D = None if not chosen else np.sum([values[peer] for peer in chosen], axis=0)
    changes = stake_changes(
        rules.genesis.content.stake_update,
        context.stake,
        contributors=chosen,
        verifiers=context.verifiers if chosen else (),
        aggregators=context.aggregators if chosen else (),
    )
    stake = apply_changes(context.stake, changes, sender=context.leader)
    proof = keys[context.leader].vrf.prove(
        seed_input(context.chain, context.round, head.state.seed)
    )
    params_D, velocity_D = rules.moved(head, aggregate_D, len(chosen))
    state = replace(
        head.state,
        height=context.round,
        seed=next_seed(head.state.seed, context.round, vrf.output(proof)),
        model=model_digest(params_D),
        stake=stake,
    )
    after = Head(
        Before(state, doubted=not chosen),
        head.certified + 1,
        head.anchor,
        params_D,
        velocity_D,
    )
    return after, IdealRound(chosen, aggregate_D, params_D, stake)
