"""A block as every chain sees it: what names it, what it stands on, and bytes that only its
protocol can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """A block in its one encoding.

    Whoever makes one promises that `hash`, `height` and `previous` are those of the record in
    `data`. A store takes them at their word; `troth.chain.audit` does not.
    """

    hash: bytes
    """The digest of its record."""
    height: int
    """One more than that of the block below it; a chain's first block has height 1."""
    previous: bytes
    """Hash of the block below it, or the chain's id at height 1."""
    index: bytes
    """The lengths and digests of the fields of its record (`troth.chain.sealed`)."""
    data: bytes
    """The block's record, as bytes."""
    certificate: bytes | None
    """Signatures under its hash, in the protocol's encoding. They are no part of the record, as
    several certificates may certify one block."""


VerifiedBlock = NewType("VerifiedBlock", SealedBlock)
"""One that a node may keep and build on. It comes from one of two sources, and from nowhere else:
all checks of its protocol have passed here; or somebody whom this node's owner trusts has named it,
or a block above it, by its hash (`troth.chain.audit.Trusted`), and what is left of the checks has
passed."""
