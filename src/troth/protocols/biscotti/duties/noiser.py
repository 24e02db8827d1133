"""A noiser's part of a round: noise for those who have drawn it, and a slot for everybody to check
(step 2 of the paper's figure 1)."""

from __future__ import annotations

from troth.crypto.noise_table import NoiseTable, assign_slots
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId
from troth.protocols.biscotti.duties.desk import Desk
from troth.protocols.biscotti.ledger.block import OPENING, NoiseOpening, opening_text
from troth.protocols.biscotti.messages import NoiseGrant, NoiseRequest, NoNoise, Opened
from troth.protocols.biscotti.texts import GRANT, grant_text, seeds_digest
from troth.roles.messages import RoundMessage


class Noiser:
    """The duty of a peer that has a table of noise: to give one slot of it to each contributor that
    has drawn this peer.

    Contributors that ask within the window get slots by lot, so that who asks sooner has no
    choice; whoever is late gets one that is left.
    """

    def __init__(self, desk: Desk, table: NoiseTable) -> None:
        self._desk = desk
        self._table = table
        self._waiting: dict[NodeId, bytes] = {}
        self._taken: dict[NodeId, int] = {}

    @property
    def _window_over_s(self) -> float:
        return self._desk.due(0)

    def next_due(self) -> float | None:
        """When `advance` has something to do even if no message comes; None: never."""
        return self._window_over_s if self._waiting else None

    async def begin(self) -> None:
        """Open this peer's audited slot for everybody, if the round's seed has drawn this peer."""
        desk = self._desk
        context, me = desk.context, desk.me
        if me not in context.audited:
            return
        slot = context.audited_slot(me)
        seeds = desk.keys.noise.seeds(context.round, slot)
        path = b"".join(self._table.path(context.round, slot))
        text = opening_text(context.chain, context.round, slot, seeds.noise, seeds.blinding, path)
        signature = desk.keys.signing.sign(OPENING, text)
        opening = NoiseOpening(me, slot, seeds.noise, seeds.blinding, path, signature)
        await desk.send([context.leader], Opened(context.round, opening))

    def take(self, sender: NodeId, message: RoundMessage) -> None:
        """Take a contributor's request for noise; drop anything else.

        Raises:
          PeerError: `sender` is no contributor, its VRF proof is wrong, or it has not drawn this
            peer; the culprit is `sender`.
        """
        # Biscotti, section 4.3: the proof allows "other peers to determine that the correct noising
        # committee is selected by the peer".
        if not isinstance(message, NoiseRequest) or sender in self._taken:
            return
        context = self._desk.context
        if sender not in context.contributors:
            raise PeerError("asks for noise without being a contributor", culprits=(sender,))
        try:
            output, drawn = context.noisers(sender, message.proof)
        except RoundFailedError:
            return
        if self._desk.me not in drawn:
            raise PeerError("asks for noise of a noiser that it did not draw", culprits=(sender,))
        self._waiting[sender] = output

    async def advance(self, now_s: float) -> None:
        """Give each contributor that has asked a slot of its own, once the window is over; tell
        those for whom none is left."""
        # Biscotti, section 4, step 2: "This noise is collected from a set of noising peers unique
        # to each client and is selected by a VRF".
        # Differs from the paper: each contributor gets another slot, because two updates masked by
        # the same noise tell their difference.
        if not self._waiting or now_s < self._window_over_s:
            return
        desk = self._desk
        waiting, self._waiting = self._waiting, {}
        reserved = {*desk.context.reserved_slots(desk.me), *self._taken.values()}
        given = assign_slots(waiting, noiser=desk.me, shape=desk.setting.table, reserved=reserved)
        self._taken |= given
        for contributor in sorted(waiting):
            if contributor in given:
                await desk.send([contributor], self._grant(contributor, given[contributor]))
            else:
                await desk.send([contributor], NoNoise(desk.context.round))

    def _grant(self, contributor: NodeId, slot: int) -> NoiseGrant:
        desk = self._desk
        context = desk.context
        seeds = desk.keys.noise.seeds(context.round, slot)
        path = self._table.path(context.round, slot)
        text = grant_text(context, contributor, slot, seeds_digest(seeds), path)
        signature = desk.keys.signing.sign(GRANT, text)
        rows = b"".join(self._table.rows(context.round, slot))
        return NoiseGrant(context.round, slot, seeds.noise, seeds.blinding, rows, path, signature)
