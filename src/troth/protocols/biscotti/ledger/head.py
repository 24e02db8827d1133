"""A peer's view of the chain: where it stands after a block, and what a block does to the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np

from troth.chain.forks import preference
from troth.ids import NodeId, Round
from troth.learning.apply import apply_update
from troth.learning.training import Training
from troth.protocols.biscotti.ledger.block import Block, CertifiedBlock
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis, read_genesis
from troth.protocols.biscotti.ledger.link import ChainState, first_state, state_after
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy
from troth.protocols.biscotti.setting import Setting
from troth.protocols.protocol import CharterTables
from troth.wire import Float32s, Int64s

EVIDENCE_ROUNDS = 8
"""Rounds after which an offence can no longer be punished: its round's committees must be known."""


class Before(msgspec.Struct, frozen=True):
    """What a round needs to know of the chain below it."""

    state: ChainState
    doubted: bool
    """Whether the block below has a certificate and no sum: the round before it failed after its
    shares were dealt, so this one is held with all commitments, and finds out whose fault it is."""


class Head(msgspec.Struct, frozen=True):
    """Where a chain stands after a block, or after the genesis."""

    before: Before
    """What the next round needs to know of the chain."""
    certified: int
    """How many certified blocks the chain has."""
    anchor: bytes
    """Hash of the last certified block; the chain's id where there is none."""
    # Biscotti, section 4.2: a block has "a snapshot of the global model w_t at iteration t".
    # Differs from the paper: the block has its digest only, because the chain determines w_t.
    params_D: Float32s
    """w_t, the model after the block, shape (D,)."""
    velocity_D: Float32s
    """The velocity with which the next sum is applied, shape (D,)."""
    recent: tuple[Before, ...] = ()
    """The same as `before` for each of the last rounds, the newest last."""

    @property
    def state(self) -> ChainState:
        """What the chain says after the block: seed, stake, and who was punished."""
        return self.before.state

    @property
    def hash(self) -> bytes:
        """Hash of the last block; the chain's id where there is none."""
        return self.state.hash

    @property
    def height(self) -> int:
        """How many rounds are over."""
        return self.state.height

    def preference(self) -> tuple[int, int]:
        """What the fork choice compares: of two chains the one wins for which it is larger."""
        return preference(self.certified, self.anchor)


@dataclass(frozen=True)
class Rules:
    """What all peers of a run hold blocks against."""

    genesis: CheckedGenesis
    setting: Setting
    charter_tables: CharterTables[Biscotti]

    def __reduce__(self) -> tuple[Any, ...]:
        # Points do not travel to other processes; the genesis' bytes do.
        return _rules, (self.genesis.record.data, self.setting, self.charter_tables)

    @property
    def parameters(self) -> Biscotti:
        """The charter's `[protocol]` table."""
        return self.charter_tables.parameters

    @property
    def training(self) -> Training:
        """The charter's `[training]` table."""
        return self.charter_tables.training

    @property
    def privacy(self) -> MaskedPrivacy:
        """The charter's `[privacy]` table."""
        privacy: MaskedPrivacy = self.charter_tables.privacy
        return privacy

    def context(self, before: Before) -> RoundContext:
        """Who does what in the round on top of `before`."""
        return RoundContext(
            self.genesis.id,
            self.genesis.by_name,
            self.parameters,
            self.privacy,
            before.state,
            self.setting.optimistic and not before.doubted,
        )

    def first(self, initial_D: Float32s) -> Head:
        """Where the chain stands before the first block.

        Args:
          initial_D: w_0, shape (D,).
        """
        return Head(
            Before(first_state(self.genesis), doubted=False),
            0,
            self.genesis.id,
            initial_D,
            np.zeros_like(initial_D),
        )

    def past(self, head: Head, round: Round) -> RoundContext | None:
        """The context of a round: of the one after `head`, or of one of the last before it; None if
        that was too long ago."""
        for before in (*head.recent, head.before):
            if before.state.height + 1 == round:
                return self.context(before)
        return None

    def after(self, head: Head, state: ChainState, block: Block, *, certified: bool) -> Head:
        """Where the chain stands after a block whose checks have passed, or are still to be made.

        Args:
          head: where it stands before the block.
          state: what the chain says after it, as `check_link` gives it.
        """
        params_D, velocity_D = self.moved(head, block.aggregate, len(block.contributions))
        return Head(
            Before(state, doubted=certified and block.aggregate is None),
            head.certified + certified,
            state.hash if certified else head.anchor,
            params_D,
            velocity_D,
            (*head.recent, head.before)[-EVIDENCE_ROUNDS:],
        )

    def follow(self, head: Head, block: CertifiedBlock) -> Head:
        """Where the chain stands after a block that was checked."""
        state = state_after(head.state, block)
        certified = block.certificate is not None
        return self.after(head, state, block.block.content, certified=certified)

    def moved(
        self, head: Head, aggregate_D: Int64s | None, count: int
    ) -> tuple[Float32s, Float32s]:
        """w_t and the velocity with it, each of shape (D,), from the sum of `count` updates in
        steps of the grid; the same bits at every peer. Without a sum both stay as they are."""
        # Biscotti, section 4.6: "The update equation in SGD (see Appendix A) can be re-written as"
        # w_{t+1} = w_t + sum_i dw_i.
        # Differs from the paper: with `combine = "mean"` the mean moves the model, and the
        # learning rate and momentum of `[training]` apply, as in every other protocol here.
        if aggregate_D is None:
            return head.params_D, head.velocity_D
        update_D = self.setting.fixed.decode(aggregate_D)
        if self.parameters.combine == "mean":
            update_D /= count
        return apply_update(
            head.params_D,
            update_D.astype(np.float32),
            head.velocity_D,
            training=self.training,
            round=head.height + 1,
        )


def model_digest(params_D: Float32s) -> bytes:
    """The digest, 32 bytes, by which blocks name w_t: SHA-256 of `model_bytes`."""
    return sha256(model_bytes(params_D)).digest()


def model_bytes(params_D: Float32s) -> bytes:
    """The bytes of a model, shape (D,): little-endian float32, four for each parameter."""
    return np.ascontiguousarray(params_D, dtype="<f4").tobytes()


@cache
def _genesis(data: bytes) -> CheckedGenesis:
    return read_genesis(data, source=NodeId("genesis"))


def _rules(data: bytes, setting: Setting, charter_tables: CharterTables[Biscotti]) -> Rules:
    return Rules(_genesis(data), setting, charter_tables)
