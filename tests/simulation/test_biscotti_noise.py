"""Noise that is none, and noise that was given to somebody else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import msgspec
import numpy as np
import pytest
from biscotti_runs import FirstRound, Run, set_up

from troth.attacks.biscotti import noisers, thieves, timing, zero_noise
from troth.attacks.biscotti.malice import Attack, Attacker, Malice, acting
from troth.attacks.biscotti.thieves import Wish, assigned, outputs_of, table_of
from troth.attacks.biscotti.zero_noise import BAD_SLOT, MaskWithZeros, zero_table
from troth.crypto.noise_table import NoiseTable, first_slot
from troth.ids import NodeId, PartyId, Round
from troth.protocols.biscotti.blaming.offences import NotProvenError, bad_update, judge
from troth.protocols.biscotti.hiding.masking import (
    CheckedUpdates,
    CheckMasked,
    GrantedNoise,
    MaskUpdate,
)
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.messages import Masked, NoiseGrant, NoiseUse, Opened
from troth.protocols.biscotti.state import PeerState
from troth.protocols.biscotti.texts import (
    GRANT,
    MASKED_UPDATE,
    grant_text,
    masked_text,
    seeds_digest,
)
from troth.roles.effects import Effect, Perform
from troth.roles.node import Node, Role
from troth.streams import Stream

ZERO = NodeId("party-03")
CROWDED = "[privacy]\nnoisers = 4\nslots = 4\nmask = { kind = 'gaussian', sigma = 0.01 }\n"


def without_noise(
    slots: Callable[[int], bool] = lambda _: True,
) -> Callable[[Members], dict[PartyId, NoiseTable]]:
    """The peer ZERO has committed to zeros in some slots of each round."""

    def staged(members: Members) -> dict[PartyId, NoiseTable]:
        keys = members.keys[PartyId(ZERO)]
        return {PartyId(ZERO): zero_table(members.rules.setting, ZERO, keys, slots)}

    return staged


def evidence(run: Run) -> list[Evidence]:
    return [line for block in run.blocks() for line in block.evidence]


# ------------------------------------------------------------------ no noise


@pytest.mark.parametrize("group", ["modelled", "g1"])
@pytest.mark.parametrize("found_by", ["contributor", "audit"])
def test_noise_of_zeros_is_found_though_rows_path_and_root_agree(found_by: str, group: str) -> None:
    """Its seeds expand to something else than what it committed to, for whoever expands them."""
    untold = timing.never(Opened if found_by == "contributor" else NoiseGrant)
    run = set_up(attacks=lambda _: {ZERO: untold}, staged=without_noise(), group=group).go()
    assert run.punished() == {ZERO: {"bad-noise"}}
    for line in evidence(run):
        contributor, _ = msgspec.msgpack.decode(line.data)
        assert bool(contributor) == (found_by == "contributor")
    assert any(block.aggregate is not None for block in run.blocks())


def test_a_contributor_does_not_use_noise_of_zeros() -> None:
    untold = timing.never(Opened)
    run = set_up(attacks=lambda _: {ZERO: untold}, staged=without_noise()).go()
    uses = [
        use.noiser
        for sender, _, message in run.said
        if isinstance(message, Masked) and sender in run.honest
        for use in message.noise
    ]
    assert uses
    assert ZERO not in uses


def in_on_it(used: list[Round]) -> Attack:
    """The contributor that uses no noise; `used` gets the rounds in which it does."""

    def attack(attacker: Attacker) -> Role:
        def noticed(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
            asked = effect.request if isinstance(effect, Perform) else None
            if isinstance(asked, MaskWithZeros) and asked.zeros:
                used.append(malice.context.round)
            return None

        return acting(noticed)(replace(attacker, honest=zero_noise.in_on_it(attacker)))

    return attack


def test_who_uses_no_noise_with_its_noisers_help_is_found_by_audits_of_that_slot() -> None:
    """And by nothing else: verifiers see commitments that open."""
    friend = NodeId("party-07")
    found = unfound = counted = 0
    for seed in range(1, 5):
        used: list[Round] = []
        colluding = {ZERO: zero_noise.bad_slot_for_friends, friend: in_on_it(used)}
        run = set_up(
            seed=seed,
            attacks=lambda _, who=colluding: who,  # type: ignore[misc]  # bound in each turn
            staged=without_noise(lambda slot: slot == BAD_SLOT),
            rounds=8,
        ).go()
        # Evidence of the last round comes too late for a block.
        contexts = [run.plan.rules.context(head.before) for head in run.heads()[:-2]]
        drawn = [
            context.round
            for context in contexts
            if ZERO in context.audited and context.audited_slot(ZERO) == BAD_SLOT
        ]
        assert sorted({line.round for line in evidence(run)}) == drawn
        assert run.punished() in ({}, {ZERO: {"bad-noise"}})
        found, unfound = found + len(drawn), unfound + len(contexts) - len(drawn)
        counted += sum(
            line.contributor == friend
            for block in run.blocks()
            for line in block.contributions
            if block.round in used
        )
    # One of four slots, and eight of twelve peers are audited.
    assert 0 < found < unfound
    assert counted > 0


# ------------------------------------------------------------------ grants, one by one


@dataclass(frozen=True)
class Table:
    """Round 1 of a run, in which masked updates are made by hand."""

    run: Run
    context: RoundContext

    def masked(
        self,
        contributor: NodeId,
        other: Mapping[NodeId, int],
        unsigned: Collection[NodeId] = (),
    ) -> Masked:
        """A masked update that opens.

        Args:
          other: by noiser, slots in place of those that it gives.
          unsigned: noisers that have not given the slot that is named.
        """
        context, setting, keys = self.context, self.run.plan.rules.setting, self.run.keys
        proof = keys[contributor].vrf.prove(context.noiser_alpha)
        _, drawn = context.noisers(contributor, proof)
        grants, uses = [], []
        for noiser in sorted(drawn):
            slot = other.get(noiser, assigned(context, setting, keys, noiser).get(contributor))
            if slot is None:
                continue
            table = table_of(setting, noiser, keys[noiser])
            seeds, path = (
                keys[noiser].noise.seeds(context.round, slot),
                table.path(context.round, slot),
            )
            rows, digest = b"".join(table.rows(context.round, slot)), seeds_digest(seeds)
            text = grant_text(context, contributor, slot, digest, path)
            signature = bytes(64) if noiser in unsigned else keys[noiser].signing.sign(GRANT, text)
            grants.append(GrantedNoise(noiser, table.root, context.round, slot, seeds, rows, path))
            uses.append(NoiseUse(noiser, slot, rows, path, digest, signature))
        update_D = np.zeros(setting.dimension, np.float32)
        result = MaskUpdate(setting, update_D, tuple(grants), contributor.encode() * 4).run(None)
        assert all(result.good)
        message = Masked(
            context.round, result.commitments, result.values, result.blindings, proof,
            tuple(uses), bytes(64),
        )  # fmt: skip
        signature = keys[contributor].signing.sign(MASKED_UPDATE, masked_text(context, message))
        return msgspec.structs.replace(message, signature=signature)

    def checked(self, messages: Mapping[NodeId, Masked]) -> CheckedUpdates:
        setting = self.run.plan.rules.setting
        senders, values = tuple(messages), tuple(messages.values())
        return CheckMasked(setting, self.context, senders, values, bytes(32)).run(None)

    def proves(self, accused: NodeId, message: Masked) -> bool:
        try:
            judge(self.run.plan.rules, self.context, bad_update(accused, message), bytes(32))
        except NotProvenError:
            return False
        return True

    def lot(self, contributor: NodeId, noiser: NodeId) -> int:
        output = outputs_of(self.context, self.run.keys, noiser)[contributor]
        return first_slot(output, noiser=noiser, shape=self.run.plan.rules.setting.table)


@pytest.fixture(scope="module")
def table() -> Table:
    run = set_up(protocol=CROWDED)
    first = run.plan.rules.first(run.plan.initial_D)
    return Table(run, run.plan.rules.context(first.before))


@pytest.fixture(scope="module")
def shared(table: Table) -> tuple[NodeId, list[NodeId]]:
    """A noiser that three contributors have drawn, the first of whom has a lot there that it may
    be given."""
    for noiser in table.context.stake.peers:
        for users in permutations(outputs_of(table.context, table.run.keys, noiser), 3):
            if table.lot(users[0], noiser) not in table.context.reserved_slots(noiser):
                return noiser, list(users)
    raise AssertionError("no seed for this test")


def test_a_slot_that_is_ones_lot_and_nobody_elses_needs_no_grant(
    table: Table, shared: tuple[NodeId, list[NodeId]]
) -> None:
    """But who is accused of it was not given it."""
    noiser, (thief, owner, _) = shared
    message = table.masked(thief, {noiser: table.lot(thief, noiser)}, [noiser])
    assert table.checked({thief: message}).problems == {}
    assert table.proves(thief, message)
    assert not table.proves(owner, message)


def test_any_other_slot_needs_one(table: Table, shared: tuple[NodeId, list[NodeId]]) -> None:
    noiser, (thief, *_) = shared
    lot, reserved = table.lot(thief, noiser), table.context.reserved_slots(noiser)
    for slot in set(range(4)) - reserved - {lot}:
        signed, unsigned = (table.masked(thief, {noiser: slot}, who) for who in ([], [noiser]))
        assert table.checked({thief: signed}).problems == {}
        assert "signature" in table.checked({thief: unsigned}).problems[0]
        assert table.proves(thief, unsigned)
        assert not table.proves(thief, signed)


@pytest.mark.parametrize("thief_first", [True, False])
def test_of_two_that_show_one_slot_who_was_given_it_stays(
    table: Table, shared: tuple[NodeId, list[NodeId]], thief_first: bool
) -> None:
    noiser, (thief, owner, _) = shared
    slot = table.lot(thief, noiser)
    messages = {
        thief: table.masked(thief, {noiser: slot}, [noiser]),
        owner: table.masked(owner, {noiser: slot}),
    }
    senders = list(messages) if thief_first else list(messages)[::-1]
    checked = table.checked({sender: messages[sender] for sender in senders})
    assert [senders[place] for place in checked.good] == [owner]
    assert not table.proves(owner, messages[owner])


def test_of_three_that_show_one_slot_all_who_were_given_it_stay(
    table: Table, shared: tuple[NodeId, list[NodeId]]
) -> None:
    """What is then to be said of the noiser is no longer a matter of this check."""
    noiser, users = shared
    slot = table.lot(users[0], noiser)
    for place in range(3):
        messages = {
            user: table.masked(user, {noiser: slot}, [noiser] if (user == users[0]) else [])
            for user in (*users[place:], *users[:place])
        }
        checked = table.checked(messages)
        assert {list(messages)[at] for at in checked.good} == set(users[1:])


# ------------------------------------------------------------------ grants, in a run


def _lot(malice: Malice, noiser: NodeId) -> int:
    plan, keys = malice.attacker.plan, malice.attacker.all_keys
    output = outputs_of(malice.context, keys, noiser)[malice.me]
    return first_slot(output, noiser=noiser, shape=plan.rules.setting.table)


def own_lot(malice: Malice, noiser: NodeId, slot: int) -> int | None:
    return slot if slot == _lot(malice, noiser) else None


def passed_on(malice: Malice, noiser: NodeId, slot: int) -> int | None:
    """One that nobody shows, as if a contributor that keeps quiet had passed it on."""
    setting, keys = malice.attacker.plan.rules.setting, malice.attacker.all_keys
    taken = {
        *assigned(malice.context, setting, keys, noiser).values(),
        *malice.context.reserved_slots(noiser),
        _lot(malice, noiser),
    }
    return min(set(range(setting.table.slots)) - taken, default=None)


def another_has_my_lot(malice: Malice, noiser: NodeId, slot: int) -> int | None:
    setting, keys = malice.attacker.plan.rules.setting, malice.attacker.all_keys
    taken = assigned(malice.context, setting, keys, noiser)
    lot = _lot(malice, noiser)
    others = {given for peer, given in taken.items() if peer != malice.me}
    return lot if lot in others else None


def has_a_wish(wish: Wish, first: FirstRound, thief: NodeId, friends: frozenset[NodeId]) -> bool:
    """Whether a contributor has a slot to name in round 1 in place of one that it is given."""
    attacker = Attacker(thief, nobody, first.plan, first.keys[thief], None, first.keys, friends)
    state = PeerState(first.plan.rules.first(first.plan.initial_D), Round(0), ())
    malice = Malice(attacker, Node(thief, Stream(0), Stream(0)), state)
    given = [(noiser, slots[thief]) for noiser, slots in first.given.items() if thief in slots]
    return any(wish(malice, noiser, slot) is not None for noiser, slot in given)


async def nobody(_: Node) -> None:
    """Does nothing."""


def thieving(wish: Wish, seed: int, noiser: Attack | None = None) -> tuple[Run, NodeId]:
    """A run with a contributor that shows an update in round 1 and has a slot to name in it.

    The first such one is chosen. That there is none is an error; it happens with none of 60 seeds.

    Args:
      noiser: what a noiser does whose noise two other contributors use in round 1; None if there
        is no such attacker.
    """
    chosen: list[NodeId] = []

    def attacks(first: FirstRound) -> dict[NodeId, Attack]:
        for thief in first.masking:
            used = [peer for peer in first.stake.peers if len({*first.users(peer)} - {thief}) > 1]
            others = [] if noiser is None else [peer for peer in used if peer != thief][:1]
            if (noiser is None or others) and has_a_wish(
                wish, first, thief, frozenset([thief, *others])
            ):
                chosen.append(thief)
                return {thief: thieves.naming(wish)} | {peer: noiser for peer in others if noiser}
        raise AssertionError("no contributor of round 1 has a slot to name")

    run = set_up(attacks=attacks, protocol=CROWDED, seed=seed).go()
    return run, chosen[0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_a_grant_for_ones_own_lot_one_does_no_harm(seed: int) -> None:
    run, thief = thieving(own_lot, seed)
    assert run.acted == {thief}
    assert run.punished() == {}
    assert run.accepted(thief) >= 1


@pytest.mark.parametrize("wish", [passed_on, another_has_my_lot, thieves.somebody_elses])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_names_a_slot_of_somebody_else_is_blamed_and_nobody_else(wish: Wish, seed: int) -> None:
    run, thief = thieving(wish, seed)
    assert run.punished() == {thief: {"bad-update"}}
    counted = {line.contributor for block in run.blocks() for line in block.contributions}
    assert counted - {thief}
    rounds = {line.round for line in evidence(run)}
    for block in run.blocks():
        if block.round in rounds:
            assert thief not in {line.contributor for line in block.contributions}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_thief_does_not_hide_a_noiser_that_gives_one_slot_to_all(seed: int) -> None:
    run, thief = thieving(passed_on, seed, noisers.same_slot)
    blamed = run.punished()
    assert blamed.pop(thief) == {"bad-update"}
    assert list(blamed.values()) == [{"reused-slot"}]


def test_a_contributor_that_finds_no_noise_says_so(scenario_file: Any, simulated: Any) -> None:
    """Or verifiers would wait for it until the time for updates is over."""
    noise = "[privacy]\nnoisers = 6\nneeded = 6\nslots = 2\nmask = { kind = 'gaussian', sigma = 1 }"
    run = simulated(
        scenario_file('name = "biscotti"\nsampled = 0.5\n' + noise, parties=12),
        ['engine.name="inline"'],
    ).go()
    window_s, rounds = 1.0, 4
    assert run.world.traffic["NoUpdate"] > 0
    assert run.records[-1].simulated_s < 2 * window_s * rounds
