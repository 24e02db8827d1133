"""What a block must hold to follow another: one test changes one thing, and it is named."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import msgspec
import numpy as np
import pytest
from small_chain import (
    BOUND,
    PEERS,
    SENDER,
    certify,
    changed,
    empty,
    follow,
    full_block,
    keys_of,
    make_genesis,
    seed,
    small_blocks,
    small_genesis,
)

from troth.chain import bitmap
from troth.chain.errors import BlockError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import (
    VERDICT,
    Block,
    Certificate,
    CertifiedBlock,
    Evidence,
    StakeChange,
    Verdict,
    seal_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.link import (
    check_certificate,
    check_link,
    double_signers,
    empty_block,
    first_state,
    signers_of,
)
from troth.protocols.biscotti.ledger.lottery import next_seed

STRANGER = NodeId("party-8")
GENESIS = small_genesis()
FIRST = first_state(GENESIS)
BELOW = follow(FIRST, certify(full_block(FIRST)))
GOOD = full_block(BELOW)
OFFENCE = Evidence("bad-share", PEERS[3], Round(2), b"proof")


def test_the_chain_says_what_its_blocks_did() -> None:
    state = FIRST
    stakes = []
    for block in small_blocks():
        state = follow(state, block)
        stakes.append(state.stake.stake)
    assert stakes == [(15, 15, 15, 15), (15, 15, 15, 15), (20, 20, 20, 10)]
    assert (state.height, state.hash) == (3, small_blocks()[-1].hash)
    assert state.punished == {(PEERS[3], "bad-share", 3)}


def line(block: Block, name: str, **fields: object) -> Block:
    """The block with its first line of that list changed."""
    lines = getattr(block, name)
    return changed(block, **{name: (msgspec.structs.replace(lines[0], **fields), *lines[1:])})


def signed_verdict(accepted: bytes, entries: bytes, *, round: Round = GOOD.round) -> Verdict:
    text = signed_list(GENESIS.id, round, entries)
    return Verdict(PEERS[1], accepted, keys_of(PEERS[1]).signing.sign(VERDICT, text))


CASES: dict[str, tuple[Callable[[Block], Block], str, str]] = {
    "another chain": (lambda b: changed(b, chain=bytes(32)), "chain", "another"),
    "a height left out": (lambda b: changed(b, height=3), "height", "follow 1"),
    "an old height": (lambda b: changed(b, height=1), "height", "follow 1"),
    "another block below": (lambda b: changed(b, previous=bytes(32)), "previous", "block 1"),
    "nobody proposed it": (lambda b: changed(b, proposer=None), "proposer", "no peer"),
    "a stranger proposed it": (lambda b: changed(b, proposer=STRANGER), "proposer", "no peer"),
    "another proposer": (lambda b: changed(b, proposer=PEERS[1]), "seed_proof", "not hold"),
    "no proof of the seed": (lambda b: changed(b, seed_proof=b""), "seed_proof", "not hold"),
    "a chosen seed": (lambda b: changed(b, seed=bytes(32)), "seed", "its proof"),
    "the empty block's seed": (
        lambda b: changed(b, seed=next_seed(BELOW.seed, b.round, None)), "seed", "its proof",
    ),
    "a stranger's update": (
        lambda b: line(b, "contributions", contributor=STRANGER), "contributions", "party-8",
    ),
    "an update twice": (
        lambda b: changed(b, contributions=b.contributions * 2), "contributions", "each once",
    ),
    "another update's id": (
        lambda b: line(b, "contributions", update=b.candidates[32:64]), "contributions", "id",
    ),
    "an update nobody accepted": (
        lambda b: line(b, "contributions", update=sha256(b"").digest(), commitments=b""),
        "contributions", "no candidate",
    ),
    "another dealing": (
        lambda b: line(b, "contributions", dealing=bytes(32)), "contributions", "not dealt so",
    ),
    "candidates out of order": (
        lambda b: changed(b, candidates=b.candidates[32:] + b.candidates[:32]),
        "candidates", "ascending",
    ),
    "dealings out of order": (
        lambda b: changed(b, dealings=b.dealings[64:] + b.dealings[:64]), "dealings", "ascending",
    ),
    "an acknowledgement twice": (
        lambda b: changed(b, acknowledgements=b.acknowledgements[:1] + b.acknowledgements),
        "acknowledgements", "each once",
    ),
    "half a candidate": (
        lambda b: changed(b, candidates=b.candidates + b"\xff" * 16), "candidates", "32 for each",
    ),
    "half a dealing": (
        lambda b: changed(b, dealings=b.dealings + b"\xff" * 32), "dealings", "64 for each",
    ),
    "a verdict twice": (lambda b: changed(b, verdicts=b.verdicts * 2), "verdicts", "each once"),
    "a stranger's verdict": (
        lambda b: line(b, "verdicts", verifier=STRANGER), "verdicts", "no peer",
    ),
    "another verifier's verdict": (
        lambda b: line(b, "verdicts", verifier=PEERS[3]), "verdicts", "party-3 do not hold",
    ),
    "a verdict that accepts more": (
        lambda b: line(b, "verdicts", accepted=bitmap.of((0, 1, 2), 3)), "verdicts", "not hold",
    ),
    "a verdict on what is not there": (
        lambda b: line(b, "verdicts", accepted=b"\xff"), "verdicts", "beyond",
    ),
    "last round's verdict": (
        lambda b: changed(
            b,
            verdicts=(
                signed_verdict(bitmap.of((0,), 3), b.candidates[:32], round=Round(BELOW.height)),
            ),
        ),
        "verdicts", "not hold",
    ),
    "a forged acknowledgement": (
        lambda b: line(b, "acknowledgements", signature=bytes(64)), "acknowledgements", "not hold",
    ),
    "an acknowledgement of less": (
        lambda b: line(b, "acknowledgements", held=bitmap.of((0,), 2)),
        "acknowledgements", "not hold",
    ),
    "a stranger's noise": (lambda b: line(b, "openings", noiser=STRANGER), "openings", "party-8"),
    "noise that its noiser did not open": (
        lambda b: line(b, "openings", slot=1), "openings", "not hold",
    ),
    "somebody else's update": (
        lambda b: line(b, "contributions", contributor=PEERS[1]), "contributions", "not hold",
    ),
    "a slot opened twice": (
        lambda b: changed(b, openings=b.openings * 2), "openings", "each once",
    ),
    "no sum": (lambda b: changed(b, aggregate=None), "aggregate", "missing"),
    "the sum of nothing": (lambda b: changed(b, contributions=()), "aggregate", "of nothing"),
    "a short sum": (
        lambda b: changed(b, aggregate=np.zeros(2, np.int64)), "aggregate", "2 entries, not 3",
    ),
    "a sum out of range": (
        lambda b: changed(b, aggregate=np.array([0, 0, BOUND + 1])), "aggregate", "within 1000",
    ),
    "a sum below its range": (
        lambda b: changed(b, aggregate=np.array([0, -(2**63), 0])), "aggregate", "within 1000",
    ),
    "evidence against a stranger": (
        lambda b: changed(b, evidence=(msgspec.structs.replace(OFFENCE, accused=STRANGER),)),
        "evidence", "party-8",
    ),
    "evidence from the future": (
        lambda b: changed(b, evidence=(msgspec.structs.replace(OFFENCE, round=Round(3)),)),
        "evidence", "later round",
    ),
    "evidence without a penalty": (
        lambda b: changed(b, evidence=(OFFENCE,)), "stake_changes", "update function",
    ),
    "stake from nothing": (
        lambda b: changed(
            b, stake_changes=(StakeChange(PEERS[0], 6, "contributed"), *b.stake_changes[1:])
        ),
        "stake_changes", "update function",
    ),
    "a reward for nothing": (
        lambda b: changed(
            b, stake_changes=(*b.stake_changes, StakeChange(PEERS[3], 5, "verified"))
        ),
        "stake_changes", "update function",
    ),
    "a reward kept back": (
        lambda b: changed(b, stake_changes=b.stake_changes[1:]), "stake_changes", "update",
    ),
    "a penalty without evidence": (
        lambda b: changed(b, stake_changes=(StakeChange(PEERS[0], -5, "penalty"),)),
        "stake_changes", "update function",
    ),
    "another table": (lambda b: changed(b, stake=bytes(32)), "stake", "digest"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_named(name: str) -> None:
    """Everybody has signed each of these, so the certificate holds."""
    change, field, says = CASES[name]
    follow(BELOW, certify(GOOD))
    with pytest.raises(BlockError, match=says) as caught:
        follow(BELOW, certify(change(GOOD)))
    assert caught.value.field == field
    assert caught.value.culprits == (SENDER,)


def test_the_last_round_is_the_genesis_last() -> None:
    state = FIRST
    for _ in range(GENESIS.content.rounds):
        state = follow(state, empty(state))
    with pytest.raises(BlockError, match="beyond the last round, 10"):
        follow(state, empty(state))


def test_a_failed_round_may_still_blame() -> None:
    """A certified block without an update: its evidence counts, and nobody is rewarded."""
    changes = (StakeChange(PEERS[3], -5, "penalty"),)
    stake = msgspec.structs.replace(GOOD, evidence=(OFFENCE,))
    nothing = changed(
        stake,
        aggregate=None,
        blindings=b"",
        contributions=(),
        model=BELOW.model,
        stake_changes=changes,
        stake=bytes(32),
    )
    with pytest.raises(BlockError) as caught:
        follow(BELOW, certify(nothing))
    assert caught.value.field == "stake"
    after = {**BELOW.stake.as_dict(), PEERS[3]: 10}
    good = changed(nothing, stake=type(BELOW.stake).of(after).digest())
    assert follow(BELOW, certify(good)).stake.total == BELOW.stake.total - 5
    with pytest.raises(BlockError, match="changed without an update"):
        follow(BELOW, certify(changed(good, model=bytes(32))))


def test_nobody_is_punished_twice_for_the_same() -> None:
    block = certify(full_block(BELOW, evidence=(OFFENCE,)))
    state = follow(BELOW, block)
    with pytest.raises(BlockError, match="was used before"):
        follow(state, certify(full_block(state, evidence=(OFFENCE,))))
    other = msgspec.structs.replace(OFFENCE, round=Round(3))
    assert follow(state, certify(full_block(state, evidence=(other,)))).height == 3


def test_only_the_empty_block_needs_no_certificate() -> None:
    assert follow(BELOW, empty(BELOW)).stake == BELOW.stake
    for block in (
        GOOD,
        changed(empty(BELOW).block.content, seed=bytes(32)),
        changed(empty(BELOW).block.content, model=bytes(32)),
        changed(empty(BELOW).block.content, proposer=PEERS[0]),
    ):
        with pytest.raises(BlockError) as caught:
            follow(BELOW, CertifiedBlock(seal_block(block), None))
        assert caught.value.field == "certificate"


def test_the_empty_block_has_one_form() -> None:
    """A certificate on it would make two of it, one of which counts more."""
    with pytest.raises(BlockError) as caught:
        follow(BELOW, certify(empty(BELOW).block.content))
    assert caught.value.field == "proposer"
    assert empty_block(GENESIS, BELOW) == empty_block(GENESIS, BELOW)
    assert empty_block(GENESIS, BELOW) != empty_block(GENESIS, FIRST)


def test_a_certificate_is_its_signers() -> None:
    good = certify(GOOD, PEERS[1:])
    assert check_certificate(GENESIS, good, sender=SENDER) == PEERS[1:]
    assert signers_of(GENESIS, good) == PEERS[1:]
    assert check_certificate(GENESIS, empty(BELOW), sender=SENDER) == ()
    assert good.certificate is not None
    signature = good.certificate.signature
    for certificate in (
        Certificate(bitmap.of((0, 1, 2), 4), signature),
        Certificate(bitmap.of((0, 1, 2, 3), 4), signature),
        Certificate(bitmap.of((1, 2), 4), signature),
        Certificate(bitmap.of((), 4), signature),
        Certificate(b"\xff", signature),
        Certificate(b"", signature),
        Certificate(good.certificate.signers, bytes(96)),
        Certificate(good.certificate.signers, b"\xc0" + bytes(95)),
    ):
        with pytest.raises(BlockError) as caught:
            check_certificate(GENESIS, CertifiedBlock(good.block, certificate), sender=SENDER)
        assert caught.value.field == "certificate"
    other = seal_block(changed(GOOD, model=seed("other")))
    with pytest.raises(BlockError):
        check_certificate(GENESIS, CertifiedBlock(other, good.certificate), sender=SENDER)


def test_who_signs_two_blocks_of_a_round_is_convicted() -> None:
    one = certify(GOOD, PEERS[:3])
    other = certify(changed(GOOD, model=seed("other")), PEERS[1:])
    assert double_signers(GENESIS, one, other) == (PEERS[1], PEERS[2])
    assert double_signers(GENESIS, one, one) == ()
    # The same block by another majority is no offence, nor is the next round's, nor an empty block.
    assert double_signers(GENESIS, one, certify(GOOD, PEERS[1:])) == ()
    assert double_signers(GENESIS, one, certify(full_block(follow(BELOW, one)))) == ()
    assert double_signers(GENESIS, one, empty(BELOW)) == ()


def test_a_block_of_another_chain_is_nobodys_offence() -> None:
    other = make_genesis(dimension=4)
    block = full_block(BELOW)
    with pytest.raises(BlockError) as caught:
        check_link(other, first_state(other), certify(block), sender=SENDER)
    assert caught.value.field == "chain"
