"""A contributor's part of a round: train, hide the update, show it, share it (steps 1 to 6 of the
paper's figure 1)."""

from __future__ import annotations

import msgspec

from troth.crypto import vrf
from troth.crypto.noise_table import Seeds
from troth.errors import PeerError
from troth.ids import NodeId
from troth.learning.requests import LocalUpdate
from troth.protocols.biscotti.blaming.offences import bad_grant
from troth.protocols.biscotti.duties.desk import GRANTED, JUDGED, Desk
from troth.protocols.biscotti.duties.verifier import check_verdict
from troth.protocols.biscotti.hiding.dealing import DealShares
from troth.protocols.biscotti.hiding.masking import GrantedNoise, MaskedUpdate, MaskUpdate
from troth.protocols.biscotti.ledger.block import DEALING
from troth.protocols.biscotti.messages import (
    Accepted,
    Doubt,
    Masked,
    NoiseGrant,
    NoiseRequest,
    NoiseUse,
    NoNoise,
    NoUpdate,
    RandomRows,
    Shares,
)
from troth.protocols.biscotti.texts import (
    GRANT,
    MASKED_UPDATE,
    ROWS,
    dealing_of,
    dealing_text,
    grant_text,
    masked_text,
    rows_text,
    seeds_digest,
    update_id,
)
from troth.roles.messages import RoundMessage
from troth.wire import Float32s


class Contributor:
    """The duty of a peer that was drawn to contribute an update.

    Args:
      velocity_D: what its local update goes on with, shape (D,); see `LocalUpdate`.
    """

    def __init__(self, desk: Desk, velocity_D: Float32s | None) -> None:
        self._desk = desk
        self.shown = False
        """Whether verifiers were sent the update with noise."""
        self.dealt = False
        """Whether aggregators were sent shares of the update."""
        self.velocity_D = velocity_D
        """What the next local update goes on with, shape (D,)."""
        # Biscotti, section 4.3: "In Biscotti, a peer computes this hash by executing their secret
        # key SK_i and the SHA-256 hash of the last block through a verifiable random function
        # (VRF)".
        # Differs from the paper: the VRF's input is the round's seed, because whoever makes a block
        # could try several until it likes the hash.
        self._proof = desk.keys.vrf.prove(desk.context.noiser_alpha)
        self._noisers: tuple[NodeId, ...] = ()
        if desk.setting.sigma is not None:
            self._noisers = desk.context.noisers_of(desk.me, vrf.output(self._proof))
        self._update_D: Float32s | None = None
        self._grants: dict[NodeId, NoiseGrant] = {}
        self._silent: set[NodeId] = set(self._noisers)
        """Noisers of this contributor that have not answered yet."""
        self._masked: MaskedUpdate | None = None
        self._verdicts: dict[NodeId, frozenset[bytes]] = {}
        self._over = False
        """Whether nothing more is to be done in this round, unless the leader doubts the sum."""
        self._update: bytes | None = None
        """The id of the update of which shares were dealt; None before that."""
        self._doubted = False

    def next_due(self) -> float | None:
        """When `advance` has something to do even if no message comes; None: never."""
        if self._over:
            return None
        return self._desk.due(GRANTED if self._masked is None else JUDGED)

    async def begin(self) -> None:
        """Ask this contributor's noisers for noise, and compute the update meanwhile."""
        desk = self._desk
        # Biscotti, section 4.4: "When a peer is ready to contribute an update in an iteration, it
        # runs the noising VRF and contacts each noising peer k, requesting the noise vector"; step
        # 2 of figure 1.
        if self._noisers:
            await desk.send(self._noisers, NoiseRequest(desk.context.round, self._proof))
        # Biscotti, section 4, step 1: "In each iteration, peers locally compute SGD updates".
        result = await desk.node.compute(
            LocalUpdate(
                node=desk.me,
                round=desk.context.round,
                params_D=desk.head.params_D,
                training=desk.training,
                velocity_D=self.velocity_D,
            )
        )
        self._update_D, self.velocity_D = result.update_D, result.velocity_D

    def take(self, sender: NodeId, message: RoundMessage) -> None:
        """Take a noiser's answer, a verifier's verdict, or the leader's doubt; drop anything else.

        Raises:
          PeerError: it is not signed by `sender`, or gives a slot that may not be given; the
          culprit
            is `sender`.
        """
        desk = self._desk
        if isinstance(message, NoiseGrant | NoNoise) and sender in self._silent:
            self._silent.discard(sender)
            if isinstance(message, NoNoise):
                return
            seeds = seeds_digest(Seeds(message.seed, message.blinding_seed))
            text = grant_text(desk.context, desk.me, message.slot, seeds, message.path)
            desk.context.check_signed(sender, GRANT, text, message.signature)
            if message.slot >= desk.setting.table.slots:
                raise PeerError("gave a slot of noise that does not exist", culprits=(sender,))
            if message.slot in desk.context.reserved_slots(sender):
                # Verifiers would take it for ours that nobody may use.
                raise PeerError("gave the slot of noise that is audited", culprits=(sender,))
            self._grants[sender] = message
        elif isinstance(message, Doubt) and sender == desk.context.leader:
            self._doubted = desk.context.optimistic
        elif isinstance(message, Accepted) and sender not in self._verdicts:
            self._verdicts[sender] = frozenset(check_verdict(desk.context, sender, message).entries)

    async def advance(self, now_s: float) -> None:
        """Mask the update when the noise has come or its time is over, and share it when a majority
        of the verifiers has accepted it."""
        desk = self._desk
        if self._doubted and self._update is not None:
            self._doubted = False
            await self._commit_to_rest(self._update)
        if self._over:
            return
        if self._masked is None and (not self._silent or now_s >= desk.due(GRANTED)):
            await self._mask()
        if self._masked is not None and not self._over:
            update = update_id(self._masked.commitments)
            accepted = sum(update in ids for ids in self._verdicts.values())
            refused = len(self._verdicts) - accepted
            context = desk.context
            # Biscotti, section 4, steps 5 and 6: "If the majority of the committee signs an update
            # (step ⑤), the signed update is divided into Shamir secret shares (step ⑥) and given to
            # an aggregation committee."
            if accepted >= context.majority:
                self._over = True
                await self._deal(update)
            elif refused > len(context.verifiers) - context.majority or now_s >= desk.due(JUDGED):
                self._over = True

    async def _mask(self) -> None:
        """Check the noise that has come, add it to the update, and show that to the verifiers."""
        desk, context = self._desk, self._desk.context
        assert self._update_D is not None
        noisers = sorted(self._grants)
        needed = 0 if desk.setting.sigma is None else desk.setting.needed
        if len(noisers) < needed:
            await self._give_up()
            return
        # Biscotti, section 4, step 3: "each peer first masks their update using differentially
        # private noise".
        # Differs from the paper: `needed` of the noisers are enough, because one peer that is away
        # would stop many others; and noise is checked before it is used.
        masked = await desk.node.compute(
            MaskUpdate(
                desk.setting,
                self._update_D,
                tuple(self._granted(noiser) for noiser in noisers),
                desk.secret("mask"),
            )
        )
        uses = []
        for noiser, good in zip(noisers, masked.good, strict=True):
            grant = self._grants[noiser]
            if not good:
                await desk.accuse(bad_grant(noiser, desk.me, grant))
                continue
            seeds = seeds_digest(Seeds(grant.seed, grant.blinding_seed))
            uses.append(
                NoiseUse(noiser, grant.slot, grant.rows, grant.path, seeds, grant.signature)
            )
        if len(uses) < needed:
            await self._give_up()
            return
        self._masked = masked
        # Biscotti, section 4.4: "The peer masks their update using this noise and submits to these
        # verifiers the masked update, a commitment to the noise, and a commitment to the unmasked
        # update. It also submits the noise VRF proof".
        # Differs from the paper: the verifiers are the round's public committee, as its section 4.3
        # has it, and not drawn by the peer's own "verifier VRF", because the verifiers of a round
        # have to compare its updates with each other.
        unsigned = Masked(
            context.round,
            masked.commitments,
            masked.values,
            masked.blindings,
            self._proof,
            tuple(uses),
            bytes(64),
        )
        signature = desk.keys.signing.sign(MASKED_UPDATE, masked_text(context, unsigned))
        self.shown = True
        await desk.send(context.verifiers, msgspec.structs.replace(unsigned, signature=signature))

    async def _give_up(self) -> None:
        """Show nobody the update, which has too little noise on it, and tell the verifiers not to
        wait for it."""
        self._over = True
        await self._desk.send(self._desk.context.verifiers, NoUpdate(self._desk.context.round))

    def _granted(self, noiser: NodeId) -> GrantedNoise:
        grant, context = self._grants[noiser], self._desk.context
        return GrantedNoise(
            noiser,
            context.entries[noiser].noise_root,
            context.round,
            grant.slot,
            Seeds(grant.seed, grant.blinding_seed),
            grant.rows,
            grant.path,
        )

    async def _deal(self, update: bytes) -> None:
        """Send each aggregator its share of the update without noise.

        Args:
          update: its id.
        """
        # Biscotti, section 4.6: "All peers with a sufficient number of signatures from the
        # verification stage submit their SGD updates for aggregation into the global model."
        desk, context, masked = self._desk, self._desk.context, self._masked
        assert masked is not None
        self.dealt = True
        self._update = update
        dealt = await desk.node.compute(self._dealing(masked, optimistic=context.optimistic))
        dealing = dealing_of(context, dealt.commitments, dealt.root)
        signature = desk.keys.signing.sign(DEALING, dealing_text(context, update, dealing))
        for aggregator, path, share in zip(
            context.aggregators, dealt.paths, dealt.shares, strict=True
        ):
            await desk.send(
                [aggregator],
                Shares(context.round, dealt.commitments, dealt.root, path, share, signature),
            )

    async def _commit_to_rest(self, update: bytes) -> None:
        """Send the commitments that optimistic sharing has left out. Dealing again with the same
        seed gives the same shares.

        Args:
          update: the id of the update.
        """
        desk, context, masked = self._desk, self._desk.context, self._masked
        assert masked is not None
        dealt = await desk.node.compute(self._dealing(masked, optimistic=False))
        rows = dealt.commitments[len(masked.commitments) :]
        signature = desk.keys.signing.sign(ROWS, rows_text(context, update, rows))
        await desk.send(context.aggregators, RandomRows(context.round, rows, signature))

    def _dealing(self, masked: MaskedUpdate, *, optimistic: bool) -> DealShares:
        return DealShares(
            self._desk.setting,
            masked.commitments,
            masked.opening_values,
            masked.opening_blindings,
            optimistic,
            self._desk.secret("deal"),
        )
