"""Simulated runs of `biscotti` that are watched; some peers may not follow the protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from troth import streams
from troth.attacks.biscotti.casting import given_to, with_attackers
from troth.attacks.biscotti.malice import Attack, Attacker
from troth.attacks.biscotti.zero_noise import with_tables
from troth.chain.block import SealedBlock
from troth.chain.ledger import MemoryLedgers
from troth.charter.loading import load_text
from troth.crypto import vrf
from troth.crypto.noise_table import NoiseTable, assign_slots
from troth.errors import PeerError
from troth.ids import NodeId, PartyId
from troth.protocols.biscotti.claims import Witness
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import read_kept
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.roles import Plan, peer
from troth.roles.effects import Effect, Report, Send
from troth.roles.interception import intercept
from troth.roles.node import Node, Role
from troth.wire import Float32s, Message
from troth.worlds.simulated.stage import Stage, prepare
from troth.worlds.simulated.world import SimulatedWorld

PARTIES = 12
ROUNDS = 4
LATENCY = 'latency = { kind = "normal", mean_s = 0.1, std_s = 0.05 }'
CALM = f"[network]\n{LATENCY}\n"
MASK = "[privacy]\nnoisers = 2\nslots = 4\nmask = { kind = 'gaussian', sigma = 0.01 }\n"
"""Stands after the keys of `[protocol]`."""

TEXT = """
name = "{name}"
seed = {seed}
[task]
kind = "classification"
data = "breast_cancer"
model = "logistic"
[training]
rounds = {rounds}
update = "delta"
batch_size = 10
local_steps = 2
learning_rate = 0.1
[protocol]
name = "biscotti"
phase_s = 3.0
linger_s = {linger_s}
neighbours = 5
{protocol}
[parties]
count = {parties}
[cryptography]
group = "{group}"
{extra}
"""


@dataclass(frozen=True)
class FirstRound(RoundContext):
    """Round 1, with the keys of everybody, which tell before the run who will have which occasion.

    Tests choose attackers by it, so that what they show holds for any draw of the committees.
    """

    plan: Plan
    keys: Mapping[NodeId, PeerKeys]

    @classmethod
    def of(cls, plan: Plan, keys: Mapping[NodeId, PeerKeys]) -> FirstRound:
        """Round 1 of a run."""
        context = plan.rules.context(plan.rules.first(plan.initial_D).before)
        known = {field.name: getattr(context, field.name) for field in fields(context)}
        return cls(**known, plan=plan, keys=keys)

    @cached_property
    def given(self) -> dict[NodeId, dict[NodeId, int]]:
        """The slot that each noiser gives to each contributor that has drawn it, if all are honest
        and ask in time."""
        setting = self.plan.rules.setting
        outputs = {
            peer: vrf.output(self.keys[peer].vrf.prove(self.noiser_alpha))
            for peer in self.contributors
        }
        drawn = {peer: self.noisers_of(peer, output) for peer, output in outputs.items()}
        return {
            noiser: assign_slots(
                {peer: output for peer, output in outputs.items() if noiser in drawn[peer]},
                noiser=noiser,
                shape=setting.table,
                reserved=self.reserved_slots(noiser),
            )
            for noiser in self.stake.peers
        }

    @cached_property
    def masking(self) -> tuple[NodeId, ...]:
        """The contributors that are given enough noise to show an update, ascending."""
        return tuple(
            peer
            for peer in self.contributors
            if sum(peer in slots for slots in self.given.values()) >= self.plan.rules.setting.needed
        )

    def users(self, noiser: NodeId) -> tuple[NodeId, ...]:
        """The contributors that show an update with this noiser's noise in it, ascending."""
        return tuple(peer for peer in self.masking if peer in self.given[noiser])


class Watching:
    """Keeps what is reported and refused."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.refusals: list[tuple[NodeId, PeerError]] = []

    def report(self, node: NodeId, report: Report, simulated_s: float) -> None:
        self.reports.append(report)

    def refused(self, receiver: NodeId, error: PeerError) -> None:
        self.refusals.append((receiver, error))


@dataclass
class Run:
    """A world that has been set up; `go` runs it."""

    text: str
    stage: Stage
    world: SimulatedWorld
    witness: Witness
    watching: Watching
    keys: Mapping[NodeId, PeerKeys]
    said: list[tuple[NodeId, tuple[NodeId, ...], Message]]
    """By honest peers: who, to whom, and what."""
    acted: set[NodeId]
    """The attackers that have done something else than their honest part would have done."""

    @property
    def plan(self) -> Plan:
        return self.witness.plan

    @property
    def honest(self) -> frozenset[NodeId]:
        return self.witness.honest

    def go(self) -> Run:
        """To the end of every honest peer; then the promises of the end are checked."""
        try:
            self.world.start()
            self.world.run()
        finally:
            self.stage.engine.close()
        self.witness.check_end({peer: self.world.nodes[peer].result for peer in self.honest})
        return self

    @property
    def shelf(self) -> dict[bytes, SealedBlock]:
        """Every block that a node has kept, by hash."""
        assert isinstance(self.world.stores, MemoryLedgers)
        return self.world.stores.shelf

    def heads(self) -> list[Head]:
        """The chain after each block of the branch that all agree on, from the genesis on."""
        head = max(self.witness.heads.values(), key=lambda head: (head.preference(), head.height))
        heads = [head]
        while head.height:
            head = self.witness.heads[self.shelf[head.hash].previous]
            heads.append(head)
        return heads[::-1]

    def blocks(self) -> list[Any]:
        """Their contents."""
        return [read_kept(self.shelf[head.hash]).block.content for head in self.heads()[1:]]

    def stake(self) -> dict[NodeId, int]:
        """After all rounds."""
        return self.heads()[-1].state.stake.as_dict()

    def punished(self) -> dict[NodeId, set[str]]:
        """For what each peer has lost stake."""
        found: dict[NodeId, set[str]] = {}
        for block in self.blocks():
            for line in block.evidence:
                found.setdefault(line.accused, set()).add(line.kind)
        return found

    def accepted(self, peer: NodeId) -> int:
        """Blocks that count an update of it."""
        return sum(
            line.contributor == peer for block in self.blocks() for line in block.contributions
        )


def set_up(
    *,
    seed: int = 1,
    protocol: str = MASK,
    extra: str = CALM,
    attacks: Callable[[FirstRound], Mapping[NodeId, Attack]] = lambda _: {},
    staged: Callable[[Members], Mapping[PartyId, NoiseTable]] = lambda _: {},
    group: str = "modelled",
    parties: int = PARTIES,
    rounds: int = ROUNDS,
    linger_s: float = 30.0,
    name: str = "watched",
) -> Run:
    """A watched run.

    Args:
      attacks: given round 1, who does not follow the protocol, and what it does instead.
      staged: tables of noise that peers have committed to in the genesis in place of their own.
    """
    text = TEXT.format(
        name=name, seed=seed, rounds=rounds, protocol=protocol, parties=parties, group=group,
        extra=extra, linger_s=linger_s,
    )  # fmt: skip
    scenario = load_text(text, path=Path("watched.toml"), base=Path()).scenario
    stage = prepare(scenario, base=Path(), root=None)
    assert isinstance(stage.brought, Members)
    given = {id: given_to(role) for id, role in stage.cast.roles.items()}
    keys = {id: arguments["keys"] for id, arguments in given.items()}
    plan = given[NodeId(stage.parties[0])]["plan"]
    members = with_tables(stage.brought, staged(stage.brought), plan.initial_D)
    plan = replace(plan, rules=members.rules)
    attacking = attacks(FirstRound.of(plan, keys))
    acted: set[NodeId] = set()
    cast = with_attackers(
        replace(
            stage.cast,
            roles={
                id: partial(peer, plan=plan, keys=keys[id], table=members.tables[PartyId(id)])
                for id in stage.cast.roles
            },
        ),
        {id: _noticed(attack, acted) for id, attack in attacking.items()},
        friends=frozenset(attacking),
    )
    plan = given_to(cast.roles[cast.leading[0]])["plan"]
    witness = Witness(plan, list(cast.leading))
    said: list[tuple[NodeId, tuple[NodeId, ...], Message]] = []
    roles: dict[NodeId, Role] = {
        id: role if id in attacking else partial(_heard, honest=witness.watch(role), said=said)
        for id, role in cast.roles.items()
    }
    watching = Watching()
    world = SimulatedWorld(
        replace(cast, roles=roles),
        engine=stage.engine,
        parties=stage.parties,
        stream=streams.world(seed),
        learning=streams.learning(seed),
        secret=streams.secret(seed),
        observer=watching,
        network=scenario.network,
        churn=scenario.churn,
        faults=scenario.faults,
        cost=scenario.cost,
    )
    return Run(text, stage, world, witness, watching, keys, said, acted)


def _noticed(attack: Attack, acted: set[NodeId]) -> Attack:
    """The attack; its attacker is in `acted` if its effects have differed from those of its honest
    part."""

    def noticed(attacker: Attacker) -> Role:
        meant: list[Effect[Any]] = []
        done = 0

        async def as_it_is(_: Effect[Any], value: Any) -> Any:
            return value

        def doing(effect: Effect[Any]) -> None:
            nonlocal done
            if done >= len(meant) or meant[done] is not effect:
                acted.add(attacker.me)
            done += 1

        async def honest(node: Node) -> Float32s | None:
            return await intercept(attacker.honest, node, before=meant.append, after=as_it_is)

        malicious = attack(replace(attacker, honest=honest))

        async def role(node: Node) -> Float32s | None:
            return await intercept(malicious, node, before=doing, after=as_it_is)

        return role

    return noticed


async def _heard(
    node: Node, *, honest: Role, said: list[tuple[NodeId, tuple[NodeId, ...], Message]]
) -> Float32s | None:
    def before(effect: Effect[Any]) -> None:
        if isinstance(effect, Send):
            said.append((node.id, effect.to, effect.message))

    async def after(_: Effect[Any], value: Any) -> Any:
        return value

    return await intercept(honest, node, before=before, after=after)
