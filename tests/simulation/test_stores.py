"""A role's store: whatever is in it, it outlives crashes and comes back from a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from troth import streams
from troth.charter.world import Churn, ConstantLatency, Crash, Faults, Network, ZeroCost
from troth.engines.local import InlineEngine
from troth.ids import NodeId, PartyId, Round
from troth.roles.messages import RoundMessage
from troth.roles.node import Cast, Node, Role
from troth.roles.stores import StoreRequest
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module
from troth.worlds.simulated.world import SimulatedWorld

ANN, BOB = PartyId(NodeId("ann")), PartyId(NodeId("bob"))
LAST = Round(6)


class Account:
    """Payments by number; a balance is asked for as it was after one of them."""

    def __init__(self) -> None:
        self.paid: dict[int, int] = {}
        self.runs = 0
        """How often a payment was carried out, counting those that changed nothing."""


class Accounts:
    """All accounts of a world."""

    def __init__(self) -> None:
        self.accounts: dict[NodeId, Account] = {}

    def of(self, node: NodeId) -> Account:
        return self.accounts.setdefault(node, Account())

    def contents(self) -> object:
        return {node: account.paid for node, account in self.accounts.items()}

    def restore(self, contents: object) -> None:
        for node, paid in msgspec.convert(contents, dict[NodeId, dict[int, int]]).items():
            self.of(node).paid.update(paid)


@dataclass(frozen=True)
class Pay(StoreRequest[Account, None]):
    number: int
    amount: int

    def run(self, store: Account) -> None:
        store.runs += 1
        store.paid.setdefault(self.number, self.amount)

    def change(self) -> tuple[bytes, ...]:
        return b"pay", bytes([self.number, self.amount])


@dataclass(frozen=True)
class Balance(StoreRequest[Account, int]):
    after: int

    def run(self, store: Account) -> int:
        return sum(paid for number, paid in store.paid.items() if number <= self.after)


class Bill(RoundMessage, frozen=True):
    balance: int


class Begun(msgspec.Struct, frozen=True):
    round: int
    balances: tuple[int, ...] = ()


async def party(node: Node) -> None:
    """Pays a little more in each round, and tells the other its balance."""
    other = BOB if node.id == ANN else ANN
    begun = await node.load(Begun) or Begun(1)
    while begun.round <= LAST:
        number = begun.round
        await node.access(Pay(number, number))
        balance = await node.access(Balance(number))
        await node.send(other, Bill(Round(number), balance))
        got = await node.collect(Bill, Round(number), expected=[other], enough=1, deadline_s=5.0)
        balance = await node.access(Balance(number))
        begun = Begun(number + 1, (*begun.balances, balance, len(got.messages)))
        await node.save(begun)


class Nobody:
    """Watches a run and keeps nothing."""

    def report(self, node: object, report: object, simulated_s: float) -> None: ...

    def refused(self, receiver: object, error: object) -> None: ...


def world_of(
    faults: Faults | None = None,
    checkpoint: Callable[[], None] | None = None,
    role: Role = party,
) -> SimulatedWorld:
    return SimulatedWorld(
        Cast({ANN: role, BOB: role}, (ANN, BOB), (Bill,), stores=Accounts),
        engine=InlineEngine(None),
        parties=(ANN, BOB),
        stream=streams.world(1),
        learning=streams.learning(1),
        secret=streams.secret(1),
        observer=Nobody(),  # type: ignore[arg-type]  # nothing of it is looked at
        network=Network(latency=ConstantLatency(seconds=0.1)),
        churn=Churn(),
        faults=faults or Faults(),
        cost=ZeroCost(),
        checkpoint=checkpoint,
    )


def ended(world: SimulatedWorld) -> tuple[str, object]:
    assert world.stores is not None
    return world.trace_digest(), world.stores.contents()


EXPECTED = {round: round for round in range(1, LAST + 1)}


def test_a_store_of_another_kind_serves_a_role() -> None:
    world = world_of()
    world.start()
    world.run()
    assert ended(world)[1] == {ANN: EXPECTED, BOB: EXPECTED}


def test_the_trace_tells_changes_and_no_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    async def curious(node: Node) -> None:
        await node.access(Balance(0))
        await party(node)

    def digest(role: Role) -> str:
        world = world_of(role=role)
        world.start()
        world.run()
        return world.trace_digest()

    before = digest(party)
    assert digest(curious) == before
    monkeypatch.setattr(Pay, "change", lambda _: (b"pay", b"something else"))
    assert digest(party) != before


def test_what_was_changed_survives_a_crash_and_changing_it_again_does_nothing() -> None:
    crash = Crash(node=BOB, at_s=0.25, restart_after_s=0.5)
    world = world_of(Faults(crashes=[crash]))
    world.start()
    world.run()
    assert ended(world)[1] == {ANN: EXPECTED, BOB: EXPECTED}
    assert world.nodes[BOB].store.runs > LAST, "the crash came between a payment and its save"


def test_resumed_from_any_moment_stores_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 1)
    taken: list[bytes] = []

    def checkpoint() -> None:
        taken.append(snapshot.take(whole, scenario_digest="s", observer=b""))

    whole = world_of(checkpoint=checkpoint)
    whole.start()
    whole.run()
    assert len(taken) > LAST
    for data in taken:
        resumed = world_of()
        snapshot.restore(resumed, data, scenario_digest="s")
        assert all(runtime.store.runs == 0 for runtime in resumed.nodes.values())
        resumed.run()
        assert ended(resumed) == ended(whole)
