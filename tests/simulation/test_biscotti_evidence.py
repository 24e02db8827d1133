"""Evidence proves what somebody did, and nothing else: whatever is altered, nobody is framed."""

from __future__ import annotations

import random
from functools import cache

import msgspec
import pytest
from biscotti_runs import Run, set_up
from test_biscotti_attackers import BLAMED, attacked, culprit

from troth.attacks.biscotti import contributors
from troth.ids import NodeId, Round
from troth.protocols.biscotti.blaming.offences import (
    NotProvenError,
    bad_grant,
    bad_opening,
    bad_share,
    bad_update,
    judge,
)
from troth.protocols.biscotti.ledger.block import Evidence
from troth.protocols.biscotti.messages import Masked, NoiseGrant, Opened, Shares

SEED = bytes(32)
DRAWS = (1, 2)
KINDS = {kind: (seat, attack) for seat, attack, kind in BLAMED.values()}


@cache
def proven(kind: str, seed: int) -> tuple[Run, Evidence]:
    """A run with an offence of this kind, and the evidence that a block took up."""
    run = attacked(*KINDS[kind], seed=seed)
    lines = [line for block in run.blocks() for line in block.evidence]
    assert {line.accused for line in lines} == {culprit(run)}
    return run, lines[0]


def proves(run: Run, line: Evidence) -> bool:
    """Whether somebody who has seen the whole run is convinced."""
    below = [head for head in run.heads() if head.height + 1 == line.round]
    if not below:
        return False
    try:
        judge(run.plan.rules, run.plan.rules.context(below[0].before), line, SEED)
    except NotProvenError:
        return False
    return True


def altered(line: Evidence, **changes: object) -> Evidence:
    return msgspec.structs.replace(line, **changes)


@pytest.mark.parametrize("seed", DRAWS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_proves_the_offence_against_nobody_else(kind: str, seed: int) -> None:
    run, line = proven(kind, seed)
    assert proves(run, line)
    for peer in run.honest:
        assert not proves(run, altered(line, accused=peer)), peer
    assert not proves(run, altered(line, accused=NodeId("nobody")))
    assert not proves(run, altered(line, round=Round(line.round + 1)))
    for other in {*KINDS, "two-blocks", "unheard-of"} - {kind}:
        assert not proves(run, altered(line, kind=other)), other


@pytest.mark.parametrize("seed", DRAWS)
@pytest.mark.parametrize("kind", KINDS)
def test_altered_anywhere_it_is_refused_or_still_against_the_same(kind: str, seed: int) -> None:
    """Refused, not followed by anything else: a peer that judges stays up."""
    run, line = proven(kind, seed)
    draw = random.Random(kind)
    for _ in range(150):
        data = bytearray(line.data)
        match draw.randrange(4):
            case 0:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            case 1:
                del data[draw.randrange(len(data)) :]
            case 2:
                data.insert(draw.randrange(len(data)), draw.randrange(256))
            case _:
                parts = msgspec.msgpack.decode(line.data)
                at = draw.randrange(len(parts))
                parts[at] = draw.choice([b"", bytes(9), parts[at] * 2, parts[at - 1]])
                data = bytearray(msgspec.msgpack.encode(parts))
        changed = altered(line, data=bytes(data))
        proves(run, changed)
        assert not proves(run, altered(changed, accused=draw.choice(sorted(run.honest))))


def test_what_honest_peers_say_is_no_offence() -> None:
    """Of all that is said in a run without attackers."""
    run = set_up().go()
    judged = 0
    for sender, to, message in run.said:
        match message:
            case Masked():
                lines = [bad_update(sender, message)]
            case Shares():
                lines = [bad_share(sender, number, message) for number in range(3)]
            case NoiseGrant():
                lines = [bad_grant(sender, receiver, message) for receiver in to]
            case Opened():
                lines = [bad_opening(message.opening, message.round)]
            case _:
                continue
        for line in lines:
            assert not proves(run, line)
            judged += 1
    assert judged > 50


@pytest.mark.parametrize("slot", [b"", bytes(3), bytes(5), b"\xff" * 9])
def test_a_slot_of_another_size_proves_nothing(slot: bytes) -> None:
    """A number that did not fit once took the judge down."""
    run, line = proven("reused-slot", 1)
    _, *parts = msgspec.msgpack.decode(line.data)
    assert not proves(run, altered(line, data=msgspec.msgpack.encode([slot, *parts])))


def test_a_punishment_is_for_one_kind_and_round() -> None:
    run = attacked("contributor", contributors.masked_otherwise, rounds=5)
    offences = [
        (line.accused, line.kind, line.round) for block in run.blocks() for line in block.evidence
    ]
    assert len(offences) == len(set(offences)) > 1
