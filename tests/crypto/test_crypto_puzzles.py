"""Proof of work: who may make a puzzle, what solves it, and what the solving is charged."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.charter.world import FixedCost, MeasuredCost, ZeroCost
from troth.crypto.puzzles import (
    SolvePuzzle,
    check_issued,
    check_solution,
    issue,
    model_digest,
)
from troth.crypto.spec import Argon2Puzzle, Sha256Puzzle
from troth.errors import PeerError
from troth.ids import NodeId
from troth.worlds.simulated.cost import known_cost_s

SENDER = NodeId("party-0")
KEY = b"k" * 32
SHA = Sha256Puzzle()


def puzzle(difficulty=2, *, key=KEY, purpose="join", provider=b"p" * 32, round=3, model="m"):
    return issue(
        key,
        purpose,
        model_id=model,
        provider=provider,
        round=round,
        model_digest=b"d" * 32,
        difficulty=difficulty,
    )


def solve(puzzle, spec=SHA, ground_up_to=None):
    return SolvePuzzle(spec, puzzle, ground_up_to).run(None)


def test_the_hash_is_sha256_of_challenge_and_solution_with_trailing_zero_digits():
    """Written out, so that somebody else's broker or provider can be made to agree with ours."""
    mine = puzzle(difficulty=3)
    binding = (
        len("m").to_bytes(2) + b"m" + b"p" * 32 + (3).to_bytes(8) + b"d" * 32 + (3).to_bytes(1)
    )
    challenge = sha256(b"troth-puzzle\0" + binding + mine.nonce).digest()
    assert mine.challenge() == challenge
    solved = solve(mine)
    assert sha256(challenge + solved.solution).hexdigest().endswith("000")
    assert int.from_bytes(solved.solution) == solved.hashes - 1
    # It is the first: nobody gets away with less work by trying in this order.
    for earlier in range(solved.hashes - 1):
        tried = sha256(challenge + earlier.to_bytes(8)).hexdigest()
        assert not tried.endswith("000")


@pytest.mark.parametrize("difficulty", [0, 1, 2, 3])
@pytest.mark.parametrize("spec", [SHA, Argon2Puzzle(memory_kib=8)], ids=["sha256", "argon2"])
def test_a_solution_solves_its_own_puzzle_only(spec, difficulty):
    if isinstance(spec, Argon2Puzzle):
        difficulty = min(difficulty, 1)
    mine = puzzle(difficulty)
    solution = solve(mine, spec).solution
    check_solution(spec, mine, solution, ground_up_to=None, sender=SENDER)
    others = [
        puzzle(12, provider=b"q" * 32),
        puzzle(12, round=4),
        puzzle(12, model="n"),
        puzzle(12, key=b"l" * 32),
        msgspec.structs.replace(puzzle(12), model_digest=b"e" * 32),
    ]
    for other in others:
        with pytest.raises(PeerError, match="wrong solution") as caught:
            check_solution(spec, other, solution, ground_up_to=None, sender=SENDER)
        assert caught.value.culprits == (SENDER,)


def test_every_field_is_bound():
    mine = puzzle()
    changed = [
        msgspec.structs.replace(mine, **{name: value})
        for name, value in {
            "model_id": "other",
            "provider": b"q" * 32,
            "round": 4,
            "model_digest": b"e" * 32,
            "difficulty": 0,
            "nonce": b"n" * 32,
        }.items()
    ]
    assert len({p.challenge() for p in [mine, *changed]}) == 7
    check_issued(KEY, "join", mine, sender=SENDER)
    for other in changed:
        with pytest.raises(PeerError, match="not issued here"):
            check_issued(KEY, "join", other, sender=SENDER)
    for key, purpose in ((b"l" * 32, "join"), (KEY, "update")):
        with pytest.raises(PeerError, match="not issued here"):
            check_issued(key, purpose, mine, sender=SENDER)


@given(st.integers(0, 255), st.integers(0, 6))
def test_trailing_zero_digits_are_those_of_the_hexadecimal_form(last, difficulty):
    from troth.crypto.puzzles import _ends_in_zeros

    for digest in (bytes(31) + bytes([last]), b"\1" * 30 + bytes([last, 0]), bytes(32)):
        assert _ends_in_zeros(digest, difficulty) == digest.hex().endswith("0" * difficulty)


def test_a_simulation_grinds_as_far_as_it_is_told_and_charges_for_all():
    hard = puzzle(difficulty=9)
    solved = solve(hard, ground_up_to=1)
    check_solution(SHA, hard, solved.solution, ground_up_to=1, sender=SENDER)
    with pytest.raises(PeerError, match="difficulty 9"):
        check_solution(SHA, hard, solved.solution, ground_up_to=None, sender=SENDER)
    request = SolvePuzzle(SHA, hard, 1)
    assert solved.hashes == request.units()
    seconds = FixedCost(seconds={"solve_puzzle": 1e-6}, otherwise_s=7.0)
    assert known_cost_s(seconds, request) == pytest.approx(1e-6 * solved.hashes)
    assert known_cost_s(FixedCost(otherwise_s=7.0), request) == 7.0
    assert known_cost_s(ZeroCost(), request) == 0.0
    assert known_cost_s(MeasuredCost(), request) is None


@pytest.mark.parametrize("difficulty", [1, 3, 5])
def test_the_work_charged_has_the_geometric_distribution(difficulty):
    """Mean 16^d; with 3,000 puzzles its standard error is below 2 % of that."""
    drawn = np.array(
        [
            SolvePuzzle(SHA, puzzle(difficulty, provider=i.to_bytes(32)), 0).units()
            for i in range(3000)
        ]
    )
    mean = 16.0**difficulty
    assert drawn.mean() == pytest.approx(mean, rel=0.08)
    assert drawn.std() == pytest.approx(mean * (1 - 1 / mean) ** 0.5, rel=0.12)
    assert drawn.min() >= 1


@settings(max_examples=30)
@given(st.integers(0, 2))
def test_the_work_really_done_is_what_is_reported(difficulty):
    mine = puzzle(difficulty)
    assert solve(mine) == solve(mine, ground_up_to=6)
    assert 1 <= solve(mine).hashes < 40 * 16.0**difficulty


def test_the_models_digest_is_of_its_values_not_of_its_memory():
    params_D = np.arange(10, dtype=np.float32)
    assert model_digest(params_D) == sha256(params_D.astype("<f4").tobytes()).digest()
    assert model_digest(params_D[::2]) == model_digest(params_D[::2].copy())
    assert model_digest(params_D) != model_digest(params_D + 1)
