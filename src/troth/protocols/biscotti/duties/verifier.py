"""A verifier's part of a round: check masked updates, and accept the best (steps 4 and 5 of the
paper's figure 1)."""

from __future__ import annotations

from itertools import pairwise

from troth.crypto.digest import DIGEST_BYTES
from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.blaming.offences import bad_update, reused_slot
from troth.protocols.biscotti.duties.desk import MASKED, Desk
from troth.protocols.biscotti.duties.selecting import SelectUpdates, rule_stream
from troth.protocols.biscotti.hiding.masking import CheckMasked, check_sizes
from troth.protocols.biscotti.ledger.agreed_set import Statement
from troth.protocols.biscotti.ledger.block import VERDICT, pieces, signed_list
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import Accepted, Masked, NoiseUse, NoUpdate
from troth.protocols.biscotti.texts import update_id
from troth.roles.messages import RoundMessage


class Verifier:
    """The duty of a member of the verification committee: to accept or reject the masked updates of
    the round."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._updates: dict[NodeId, Masked] = {}
        self._without: set[NodeId] = set()
        """Contributors that have said that they have no update, or have sent one of another
        size."""
        self._misfits: dict[NodeId, Masked] = {}
        """Updates of another size, by their sender, until the sender is accused."""
        self._over = False

    def next_due(self) -> float | None:
        """When `advance` has something to do even if no message comes; None: never."""
        return None if self._over else self._desk.due(MASKED)

    def take(self, sender: NodeId, message: RoundMessage) -> None:
        """Take a contributor's masked update, or its word that it has none; drop anything else.
        What else is wrong with an update is found out for all of them together, in `advance`.

        Raises:
          PeerError: the update has not the size of one; the culprit is `sender`.
        """
        if isinstance(message, Masked) and sender in self._desk.context.contributors:
            try:
                check_sizes(self._desk.setting, sender, message)
            except PeerError:
                if sender not in self._without:
                    self._misfits[sender] = message
                    self._without.add(sender)
                raise
            self._updates.setdefault(sender, message)
        elif isinstance(message, NoUpdate) and sender in self._desk.context.contributors:
            self._without.add(sender)

    async def advance(self, now_s: float) -> None:
        """Check and judge the updates, and send the verdict, when all have come or their time is
        over."""
        # Biscotti, section 4.5: "Once the verifier receives a sufficiently large number of updates
        # R, it proceeds with selecting the best updates using Multi-Krum".
        # Differs from the paper: the R contributors are drawn before anybody computes, because all
        # verifiers then judge the same set, and no update is computed and masked for nothing.
        desk, context = self._desk, self._desk.context
        while self._misfits:
            await desk.accuse(bad_update(*self._misfits.popitem()))
        if self._over or (
            not self._without.union(self._updates) >= set(context.contributors)
            and now_s < desk.due(MASKED)
        ):
            return
        self._over = True
        good = await self._checked()
        selection = await desk.node.compute(
            SelectUpdates(
                desk.setting.fixed,
                desk.rules.parameters.aggregation,
                tuple(self._updates[sender].values for sender in good),
                rule_stream(context),
                desk.base,
            )
        )
        # Biscotti, section 4, step 4: "Each member in the verification committee signs the
        # commitment to the peer's unmasked update if it passes Multi-Krum"; section 4.5, rule 3:
        # "The verifier signs the COMM(Δw_i) using its public key for all the accepted updates."
        # Differs from the paper: it signs one list of the ids, which are hashes of the commitments,
        # because one signature does for all of them; and with its secret key, as one must.
        accepted = sorted(
            (update_id(self._updates[good[place]].commitments), good[place])
            for place in selection.places
        )
        updates = b"".join(update for update, _ in accepted)
        text = signed_list(context.chain, context.round, updates)
        verdict = Accepted(
            context.round,
            updates,
            tuple(sender for _, sender in accepted),
            desk.keys.signing.sign(VERDICT, text),
        )
        await desk.send((*context.contributors, *context.aggregators), verdict)

    async def _checked(self) -> list[NodeId]:
        """The contributors whose updates hold, ascending. Those whose do not are accused."""
        desk = self._desk
        senders = tuple(sorted(self._updates))
        if not senders:
            return []
        checked = await desk.node.compute(
            CheckMasked(
                desk.setting,
                desk.context,
                senders,
                tuple(self._updates[sender] for sender in senders),
                desk.secret("verify"),
            )
        )
        for place in checked.problems:
            await desk.accuse(bad_update(senders[place], self._updates[senders[place]]))
        used: dict[tuple[NodeId, int], tuple[NodeId, NoiseUse]] = {}
        good = []
        for sender in (senders[place] for place in checked.good):
            fresh = True
            for use in self._updates[sender].noise:
                other = used.setdefault((use.noiser, use.slot), (sender, use))
                if other[0] != sender:
                    fresh = False
                    await desk.accuse(
                        reused_slot(use.noiser, desk.context.round, use.slot, other, (sender, use))
                    )
            if fresh:
                good.append(sender)
        return good


def check_verdict(context: RoundContext, sender: NodeId, message: Accepted) -> Statement:
    """The list of updates that a verifier has signed, once its signature was checked.

    Raises:
      PeerError: `sender` is no verifier, or has not signed it; the culprit is `sender`.
    """
    if sender not in context.verifiers:
        raise PeerError("gives a verdict without being a verifier", culprits=(sender,))
    entries = split(message.updates, DIGEST_BYTES, sender=sender)
    if not len(message.contributors) == len(entries) <= len(context.contributors):
        raise PeerError("gives a verdict on nobody's update", culprits=(sender,))
    text = signed_list(context.chain, context.round, message.updates)
    context.check_signed(sender, VERDICT, text, message.signature)
    return Statement(entries, message.signature)


def split(table: bytes, width: int, *, sender: NodeId) -> tuple[bytes, ...]:
    """The entries, each of `width` bytes, of a list that a peer sent as one piece.

    Raises:
      PeerError: they are not in ascending order, each once; the culprit is `sender`.
    """
    entries = tuple(pieces(table, width))
    whole = len(table) % width == 0
    if not whole or any(before >= after for before, after in pairwise(entries)):
        raise PeerError("sent a list that does not ascend", culprits=(sender,))
    return entries
