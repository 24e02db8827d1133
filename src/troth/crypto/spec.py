"""Tables of what a charter may choose: proof-of-work puzzles, public keys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from troth.specification import Table

MAX_DIFFICULTY = 16
"""Trailing zero digits nobody asks more than: 16^16 hashes take a million years at 1 MHz."""

Difficulty = Annotated[int, msgspec.Meta(ge=0, le=MAX_DIFFICULTY)]
"""Trailing zero hexadecimal digits; one more is sixteen times the work."""

PublicKeyHex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""An Ed25519 public key, 64 lower-case hexadecimal digits."""


class Sha256Puzzle(Table, tag_field="kind", tag="sha256", frozen=True, kw_only=True):
    """Hashcash over SHA-256, as in the paper. Special hardware solves it a million times faster."""


class Argon2Puzzle(Table, tag_field="kind", tag="argon2", frozen=True, kw_only=True):
    """Argon2id (RFC 9106) in place of SHA-256: memory keeps special hardware from pulling ahead.

    A hash takes about a millisecond per MiB, for solver and verifier alike, so fewer digits do.
    """

    memory_kib: Annotated[int, msgspec.Meta(ge=8, le=1_048_576)] = 1024
    passes: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


PuzzleSpec = Sha256Puzzle | Argon2Puzzle
