"""Proof-of-work puzzles (TorMentor, section 5.2; Back, "Hashcash", 2002).

A solution is a string S for which the digest

    H(model id, provider, round, model digest, difficulty, nonce; S)

ends in `difficulty` zero hexadecimal digits; 16^difficulty hashes are needed on average.

What the fields are for: a puzzle of one model, provider, round or state of the model is no puzzle
of another, so solutions cannot be swapped or kept for later. The nonce is a MAC of all other fields
under a key of the broker. So nobody can precompute a puzzle that was not issued, and the broker can
tell its own puzzles from others without remembering them: a flood of joins makes it hold nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import ceil, log1p
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from troth.compute import Compute
from troth.crypto.digest import DIGEST_BYTES, Digest
from troth.crypto.spec import Argon2Puzzle, Difficulty, PuzzleSpec
from troth.errors import PeerError
from troth.ids import NodeId
from troth.specification import ModelId
from troth.streams import Stream
from troth.wire import Float32s

MAX_SOLUTION_BYTES = 32
_COUNTER_BYTES = 8

Solution = Annotated[bytes, msgspec.Meta(max_length=MAX_SOLUTION_BYTES)]


class Puzzle(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A puzzle as it is sent. `provider` is the pseudonym it was made for."""

    model_id: ModelId
    provider: Digest
    round: Annotated[int, msgspec.Meta(ge=0)]
    model_digest: Digest
    difficulty: Difficulty
    nonce: Digest

    def binding(self) -> bytes:
        """Everything but the nonce, so that no two puzzles give the same bytes."""
        name = self.model_id.encode()
        return b"".join(
            (
                len(name).to_bytes(2),
                name,
                self.provider,
                self.round.to_bytes(8),
                self.model_digest,
                self.difficulty.to_bytes(1),
            )
        )

    def challenge(self) -> bytes:
        """32 bytes that name this puzzle: what is hashed together with a solution, or signed."""
        return sha256(b"troth-puzzle\0" + self.binding() + self.nonce).digest()


class Solved(msgspec.Struct, frozen=True):
    """What came of solving: the solution, and the hashes it took."""

    solution: bytes
    hashes: int


def model_digest(params_D: Float32s) -> bytes:
    """SHA-256 of the parameters as little-endian float32."""
    return sha256(np.ascontiguousarray(params_D, dtype="<f4").data.cast("B")).digest()


def issue(
    key: bytes,
    purpose: str,
    *,
    model_id: str,
    provider: bytes,
    round: int,
    model_digest: bytes,
    difficulty: int,
) -> Puzzle:
    """A puzzle that only the holder of `key` can make.

    Args:
      purpose: what the solution is good for; a puzzle for one purpose is none for another.
    """
    blank = Puzzle(model_id, provider, round, model_digest, difficulty, bytes(DIGEST_BYTES))
    return msgspec.structs.replace(blank, nonce=_mac(key, purpose, blank))


def check_issued(key: bytes, purpose: str, puzzle: Puzzle, *, sender: NodeId) -> None:
    """Check that `issue` made this puzzle with this key for this purpose.

    Raises:
      PeerError: it did not; the culprit is `sender`.
    """
    if not hmac.compare_digest(_mac(key, purpose, puzzle), puzzle.nonce):
        raise PeerError("sent a puzzle that was not issued here", culprits=(sender,))


def _mac(key: bytes, purpose: str, puzzle: Puzzle) -> bytes:
    return hmac.digest(key, f"troth-{purpose}\0".encode() + puzzle.binding(), "sha256")


def check_solution(
    spec: PuzzleSpec,
    puzzle: Puzzle,
    solution: bytes,
    *,
    ground_up_to: int | None,
    sender: NodeId,
) -> None:
    """Check that `solution` solves `puzzle`; one hash.

    Args:
      ground_up_to: None outside simulations; see `SolvePuzzle`.

    Raises:
      PeerError: it does not; the culprit is `sender`.
    """
    digits = _digits(puzzle, ground_up_to)
    if not _ends_in_zeros(_hash(spec, puzzle.challenge())(solution), digits):
        raise PeerError(
            f"sent a wrong solution to a puzzle of difficulty {puzzle.difficulty}",
            culprits=(sender,),
        )


@dataclass(frozen=True, eq=False)
class SolvePuzzle(Compute[object, Solved]):
    """Try 0, 1, 2, ... until one is a solution.

    A unit of work is one hash, so a cost model `seconds = { solve_puzzle = 1e-6 }` is a machine
    that makes a million a second.

    Args:
      ground_up_to: None: all of the work is done. A number, in simulations only: at most so many
        zero digits are really looked for, while simulated time is charged for all of them. The
        number of hashes is then drawn from the geometric distribution it would have.
    """

    spec: PuzzleSpec
    puzzle: Puzzle
    ground_up_to: int | None

    label: ClassVar[str] = "solve_puzzle"

    def units(self) -> float:
        return float(self._hashes_drawn())

    def run(self, bench: object) -> Solved:  # noqa: ARG002  (the contract's name)
        digits = _digits(self.puzzle, self.ground_up_to)
        hash_of = _hash(self.spec, self.puzzle.challenge())
        tried = 0
        while True:
            solution = tried.to_bytes(_COUNTER_BYTES)
            tried += 1
            if _ends_in_zeros(hash_of(solution), digits):
                break
        really = digits == self.puzzle.difficulty
        return Solved(solution, tried if really else self._hashes_drawn())

    def _hashes_drawn(self) -> int:
        """Hashes until the first success, each a success with probability 16^-difficulty.

        The puzzle's own challenge is the seed: known before the work is done, as a scheduler needs
        it, and the same however often it is asked.
        """
        if self.puzzle.difficulty == 0:
            return 1
        seed = int.from_bytes(self.puzzle.challenge())
        uniform = Stream(seed, ("hashes",)).generator().random()
        return max(1, ceil(log1p(-uniform) / log1p(-(16.0**-self.puzzle.difficulty))))


def _digits(puzzle: Puzzle, ground_up_to: int | None) -> int:
    return puzzle.difficulty if ground_up_to is None else min(puzzle.difficulty, ground_up_to)


def _hash(spec: PuzzleSpec, challenge: bytes) -> Callable[[bytes], bytes]:
    """The digest of a solution, 32 bytes, with everything else already hashed."""
    if isinstance(spec, Argon2Puzzle):
        # Imported here: a charter that asks for SHA-256 need not load the library.
        from argon2.low_level import Type, hash_secret_raw

        def argon2(solution: bytes) -> bytes:
            return hash_secret_raw(
                secret=solution,
                salt=challenge,
                time_cost=spec.passes,
                memory_cost=spec.memory_kib,
                parallelism=1,
                hash_len=DIGEST_BYTES,
                type=Type.ID,
            )

        return argon2
    begun = sha256(challenge)

    def plain(solution: bytes) -> bytes:
        hashed = begun.copy()
        hashed.update(solution)
        return hashed.digest()

    return plain


def _ends_in_zeros(digest: bytes, digits: int) -> bool:
    """Whether the hexadecimal form ends in so many zeros."""
    whole, half = divmod(digits, 2)
    tail = digest[len(digest) - whole :]
    return not any(tail) and (not half or digest[-whole - 1] & 0x0F == 0)
