"""Attacks on the ledger that a scenario file names: what they do in a run, and where they are
refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from biscotti_runs import CALM, MASK, PARTIES, TEXT

from troth.attacks.biscotti.casting import recast
from troth.attacks.biscotti.spec import ATTACKS, SilentPeer
from troth.chain.ledger import MemoryLedgers
from troth.errors import CharterError
from troth.protocols.biscotti.ledger.block import read_kept
from troth.protocols.biscotti.messages import MESSAGES
from troth.worlds.simulated import snapshot
from troth.worlds.simulated import world as world_module

KINDS = {str(table.__struct_config__.tag): table for table in ATTACKS.tables}
ARGUMENTS = {
    "slow_peer": "seconds = 1.0\n",
    "withholding_peer": 'messages = ["Shares", "Endorsement"]\n',
    "flooding_peer": 'of = "requests"\n',
    "boasting_peer": 'shows = "first_block"\n',
}
"""Of the attacks that cannot do without."""


def attack(kind: str, who: str = "fraction = 0.3") -> str:
    return f'[[attacks]]\nkind = "{kind}"\n{who}\n{ARGUMENTS.get(kind, "")}'


@pytest.fixture
def ledger(tmp_path: Path, simulated: Any) -> Any:
    """Stages a run of the attacks given; the file is written first, and read."""

    def staged(attacks: str, rounds: int = 4, seed: int = 1, **keys: Any) -> Any:
        path = tmp_path / "attacked.toml"
        path.write_text(
            TEXT.format(
                name="attacked", seed=seed, rounds=rounds, protocol=MASK, parties=PARTIES,
                group="modelled", linger_s=20.0, extra=CALM + attacks,
            )
        )  # fmt: skip
        return simulated(path, **keys)

    return staged


def blocks(run: Any) -> list[Any]:
    """The contents of all blocks that a peer has kept."""
    assert isinstance(run.world.stores, MemoryLedgers)
    return [read_kept(block).block.content for block in run.world.stores.shelf.values()]


def punished(run: Any) -> dict[str, set[str]]:
    """For what blocks have punished each peer."""
    found: dict[str, set[str]] = {}
    for block in blocks(run):
        for evidence in block.evidence:
            found.setdefault(evidence.accused, set()).add(evidence.kind)
    return found


def honest_agree(run: Any) -> None:
    """All who follow the protocol end the run, with one model."""
    leading = run.stage.cast.leading
    assert set(leading) == set(run.stage.parties) - run.stage.attackers.keys()
    first, *others = [run.world.nodes[peer].result for peer in leading]
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_can_be_named_and_harms_no_honest_peer(kind: str, ledger: Any) -> None:
    few = kind in ("flooding_peer", "early_peer")
    who, rounds = ('parties = ["party-00"]', 2) if few else ("fraction = 0.3", 4)
    run = ledger(attack(kind, who), rounds).go()
    assert {type(table) for table in run.stage.attackers.values()} == {KINDS[kind]}
    assert len(run.stage.attackers) == (1 if few else 3)
    assert punished(run).keys() <= run.stage.attackers.keys()
    honest_agree(run)


PUNISHED = {
    "own_noise": "bad-update",
    "forged_proof": "bad-update",
    "stolen_slot": "bad-update",
    "bad_point": "bad-update",
    "wrong_share": "bad-share",
    "wrong_shares": "bad-share",
    "wrong_sum": "bad-sum",
    "two_verdicts": "equivocation",
    "uncommitted_noise": "bad-noise",
    "zero_noise": "bad-noise",
    "same_slot": "reused-slot",
}


@pytest.mark.parametrize("kind", PUNISHED)
def test_who_carries_out_a_named_attack_is_punished_for_it(kind: str, ledger: Any) -> None:
    run = ledger(attack(kind, "fraction = 0.25"), rounds=6, seed=2).go()
    found = punished(run)
    assert found
    assert found.keys() <= run.stage.attackers.keys()
    assert {offence for offences in found.values() for offence in offences} == {PUNISHED[kind]}


def test_what_a_named_cheat_contributes_is_in_no_sum(ledger: Any) -> None:
    run = ledger(attack("shuffled_commitments")).go()
    counted = {line.contributor for block in blocks(run) for line in block.contributions}
    assert counted
    assert not counted & run.stage.attackers.keys()


def test_a_named_leader_that_makes_up_blocks_gets_none_certified(ledger: Any) -> None:
    run = ledger(attack("wrong_aggregate"), rounds=6).go()
    proposers = {block.proposer for block in blocks(run)} - {None}
    assert proposers
    assert not proposers & run.stage.attackers.keys()


def test_silent_peers_say_nothing(ledger: Any) -> None:
    run = ledger(attack("silent_peer", 'parties = ["party-00"]')).go()
    assert run.world.nodes["party-00"].messages_sent == 0
    assert run.records
    honest_agree(run)


def test_a_withholding_peer_says_everything_else(ledger: Any) -> None:
    sent = ledger(attack("withholding_peer", 'parties = ["party-00"]')).go()
    names = set(sent.world.nodes["party-00"].sent)
    assert names
    assert not names & {"Shares", "Endorsement"}
    assert names < {kind.__name__ for kind in MESSAGES}


def test_general_attacks_and_those_on_the_ledger_go_together(ledger: Any) -> None:
    """One who accepts friends only accepts a poisoner, who is its friend; two others outvote it."""
    run = ledger(
        attack("friends_only", 'parties = ["party-01"]')
        + '[[attacks]]\nkind = "sign_flip"\nparties = ["party-02"]\nscale = 10.0\n'
    ).go()
    assert punished(run) == {}
    (poisoner,) = (party for party in run.stage.attackers if party == "party-02")
    assert poisoner in run.stage.cast.leading
    assert "party-01" not in run.stage.cast.leading


@pytest.mark.parametrize("kind", ["replaying_peer", "two_sets", "late_peer"])
def test_a_run_with_attackers_is_resumed_from_any_moment(
    kind: str, ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world_module, "EVENTS_BETWEEN_CHECKPOINTS", 7)
    taken: list[bytes] = []

    def checkpoint(run: Any) -> None:
        taken.append(snapshot.take(run.world, scenario_digest="s", observer=run.recorder.state()))

    whole = ledger(attack(kind), rounds=3, checkpoint=checkpoint).go()
    assert len(taken) >= 5
    for data in taken[:: max(1, len(taken) // 6)]:
        run = ledger(attack(kind), rounds=3)
        run.recorder.restore(snapshot.restore(run.world, data, scenario_digest="s"))
        run.finish()
        assert run.world.trace_digest() == whole.world.trace_digest()


def test_a_ledger_needs_a_peer_that_follows_the_protocol(ledger: Any) -> None:
    with pytest.raises(CharterError, match="leave no peer that follows the protocol"):
        ledger(attack("silent_peer", "fraction = 1.0"))


def test_attackers_that_were_not_admitted_play_no_role(ledger: Any) -> None:
    run = ledger("")
    cast = recast(run.stage.cast, {"party-99": SilentPeer(fraction=0.1)})  # type: ignore[dict-item]  # a name
    assert cast.leading == run.stage.cast.leading


def test_tables_have_no_fields_that_a_scenario_cannot_give() -> None:
    for kind, table in KINDS.items():
        needed = {field.name for field in msgspec.structs.fields(table) if field.required}
        given = {line.split(" = ")[0] for line in ARGUMENTS.get(kind, "").splitlines()}
        assert needed <= given, kind
