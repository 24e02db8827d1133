"""The `[[attacks]]` tables of attacks on `biscotti`, one for each thing that a peer may do wrong.

A peer attacks whenever it has the duty in which it can. Each docstring says what the attacker does,
against which step of the paper's protocol (Shayan et al. 2021, figure 1), and what it would gain.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.attacks.own import OwnAttacks
from troth.attacks.spec import Attack
from troth.errors import CharterError
from troth.protocols.biscotti.parameters import Biscotti, NoMask
from troth.protocols.protocol import CharterTables
from troth.specification import Positive

Withheld = Literal[
    "NoiseGrant", "Masked", "Accepted", "Shares", "Held", "SumSet", "SetVote", "SetQuorum",
    "SumShare", "Proposal", "Endorsement", "Opened", "Accusation", "Announce", "Blocks",
]  # fmt: skip


class LedgerAttack(Attack, tag_field="kind", frozen=True, kw_only=True):
    """An attack of a peer on the ledger or on other peers."""


class NoiseAttack(LedgerAttack, frozen=True, kw_only=True):
    """A `LedgerAttack` that has to do with the noise that masks updates."""


# ------------------------------------------------------------------ noisers


class AuditedSlot(NoiseAttack, tag="audited_slot", frozen=True, kw_only=True):
    """In `biscotti`, a noiser gives contributors the slot of noise that it has to open for
    everybody (step 2): whoever reads the block could take the noise off their masked updates."""


class SameSlot(NoiseAttack, tag="same_slot", frozen=True, kw_only=True):
    """In `biscotti`, a noiser gives all contributors one slot of noise (step 2): verifiers could
    take the difference of two masked updates, which is without noise."""


class UncommittedNoise(NoiseAttack, tag="uncommitted_noise", frozen=True, kw_only=True):
    """In `biscotti`, a noiser gives noise that it has not committed to in the genesis (step 2): it
    could choose the noise when it knows whose update it hides."""


class UncommittedOpening(NoiseAttack, tag="uncommitted_opening", frozen=True, kw_only=True):
    """In `biscotti`, a noiser that is audited opens its slot to noise that it has not committed to
    (section 4.4): it could keep a slot without noise from being found."""


class ZeroNoise(NoiseAttack, tag="zero_noise", frozen=True, kw_only=True):
    """In `biscotti`, a noiser has committed to zeros in all its slots in the genesis (section 4.4),
    and is honest otherwise: updates that it masks would be less hidden than they seem."""


class ZeroSlot(NoiseAttack, tag="zero_slot", frozen=True, kw_only=True):
    """In `biscotti`, a noiser has committed to zeros in one slot of each round (section 4.4), which
    it gives to other attackers only: they could contribute without its noise. See
    `zero_slot_user`."""


class ZeroSlotUser(NoiseAttack, tag="zero_slot_user", frozen=True, kw_only=True):
    """In `biscotti`, a contributor uses the slot without noise of a `zero_slot` noiser, and knows
    how it opens (step 3): verifiers see commitments that open, and its update carries no noise of
    that noiser."""


# ------------------------------------------------------------------ contributors


class OwnNoise(LedgerAttack, tag="own_noise", frozen=True, kw_only=True):
    """In `biscotti`, a contributor adds noise of its own to its masked update (step 4): verifiers
    would judge another update than the one that is summed."""


class CompensatedNoise(NoiseAttack, tag="compensated_noise", frozen=True, kw_only=True):
    """In `biscotti`, a contributor takes its noise off its update before it commits to it (step 3):
    verifiers see the update that it wants to be judged by, and the sum has that noise in it,
    subtracted."""


class ForgedProof(NoiseAttack, tag="forged_proof", frozen=True, kw_only=True):
    """In `biscotti`, a contributor shows a VRF proof of another input (step 2): it could choose its
    noisers."""


class StolenSlot(NoiseAttack, tag="stolen_slot", frozen=True, kw_only=True):
    """In `biscotti`, a contributor names slots of noise that were given to honest contributors
    (step 3): it could choose among all noise, and get the others' updates refused for using a slot
    twice."""


class BadPoint(LedgerAttack, tag="bad_point", frozen=True, kw_only=True):
    """In `biscotti`, a contributor's commitments begin with bytes that are no point of the group
    (step 4): a verifier that does not check them could be stopped, or judge otherwise than the
    next."""


class WrongShare(LedgerAttack, tag="wrong_share", frozen=True, kw_only=True):
    """In `biscotti`, a contributor deals the second aggregator a share that is off by one (step 6):
    sums that take it would not open, and the round would fail."""


class WrongShares(LedgerAttack, tag="wrong_shares", frozen=True, kw_only=True):
    """In `biscotti`, a contributor deals every aggregator a share that is off by one (step 6):
    another update than the accepted one could get into the sum."""


class ShuffledCommitments(LedgerAttack, tag="shuffled_commitments", frozen=True, kw_only=True):
    """In `biscotti`, a contributor deals its shares with commitments in another order than
    verifiers have seen (step 6): another update than the accepted one could get into the sum."""


class OversizedUpdate(LedgerAttack, tag="oversized_update", frozen=True, kw_only=True):
    """In `biscotti`, a contributor sends verifiers a masked update of a million values, signed
    (step 4): peers that keep what they cannot use would run out of memory."""


# ------------------------------------------------------------------ verifiers and aggregators


class FriendsOnly(LedgerAttack, tag="friends_only", frozen=True, kw_only=True):
    """In `biscotti`, a verifier accepts the updates of all attackers, whatever they are, and no
    others (step 5): poisonous updates could get into the sum, and honest ones be kept out."""


class TwoVerdicts(LedgerAttack, tag="two_verdicts", frozen=True, kw_only=True):
    """In `biscotti`, a verifier signs two verdicts, an honest one and an empty one (step 5): peers
    could disagree on who was accepted."""


class WrongSum(LedgerAttack, tag="wrong_sum", frozen=True, kw_only=True):
    """In `biscotti`, an aggregator answers with a sum of shares that is off by one (step 7): the
    sum would not open, and the round would fail without its being known by whom."""


# ------------------------------------------------------------------ leaders


class TwoSets(LedgerAttack, tag="two_sets", frozen=True, kw_only=True):
    """In `biscotti`, a leader asks half of the aggregators for the sum of all updates, and the
    others for the same without one (step 7): the difference of the two sums would be that
    update."""


class RepeatedUpdate(LedgerAttack, tag="repeated_update", frozen=True, kw_only=True):
    """In `biscotti`, a leader asks for the sum of one update, listed as often as a sum must have
    updates (step 7): the sum would give the update away."""


class WrongAggregate(LedgerAttack, tag="wrong_aggregate", frozen=True, kw_only=True):
    """In `biscotti`, a leader proposes a block whose sum has one unit more in a coordinate (step
    8): it could move the model as it likes."""


class TwoBlocks(LedgerAttack, tag="two_blocks", frozen=True, kw_only=True):
    """In `biscotti`, a leader proposes two blocks, each of which holds, to two halves of the
    aggregators (step 8): the chain could fork."""


class OldBlock(LedgerAttack, tag="old_block", frozen=True, kw_only=True):
    """In `biscotti`, a leader proposes the block of the round before again (step 8): an update
    could be counted twice."""


class ChosenSeed(LedgerAttack, tag="chosen_seed", frozen=True, kw_only=True):
    """In `biscotti`, a leader proposes a block with the seed of a VRF proof of another input (step
    8): it could choose the committees of the next round."""


# ------------------------------------------------------------------ any peer


class SilentPeer(LedgerAttack, tag="silent_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer never says anything: each step that waits for it takes all its time,
    and rounds that it leads fail."""


class SlowPeer(LedgerAttack, tag="slow_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer waits before whatever it sends: each step that waits for it takes
    longer."""

    seconds: Positive
    """How long it waits before each message, in simulated seconds."""


class LatePeer(LedgerAttack, tag="late_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer sends all that a step waits for just after that step's time: for some
    it may be in time and for others late, so that peers could disagree on who took part."""

    by_s: Positive = 0.01
    """How long after the step's time, in simulated seconds."""


class WithholdingPeer(LedgerAttack, tag="withholding_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer keeps messages of some kinds to itself: each step that waits for them
    takes all its time, and an update, a verdict or a signature less is counted."""

    messages: Annotated[list[Withheld], msgspec.Meta(min_length=1)]
    """The kinds, as `troth check` calls them."""


class FloodingPeer(LedgerAttack, tag="flooding_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer sends everybody 40 copies of messages that are to be answered or looked
    at, whenever a round begins: others could have no time left for honest ones."""

    of: Literal["noise_requests", "requests", "announcements", "blocks", "accusations"]
    """Requests for noise, requests for blocks, announcements of chains, blocks that nobody asked
    for, or made-up accusations against everybody."""


class FramingPeer(LedgerAttack, tag="framing_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer makes evidence of what it was sent, right or with a bit flipped,
    against everybody: honest peers could lose stake."""


class ReplayingPeer(LedgerAttack, tag="replaying_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer sends everybody messages of the round before again: they could be
    counted twice."""


class EarlyPeer(LedgerAttack, tag="early_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer sends everybody large messages of a round that has not begun: peers
    that keep all that comes early would run out of memory."""


class BoastingPeer(LedgerAttack, tag="boasting_peer", frozen=True, kw_only=True):
    """In `biscotti`, a peer says that it has the longest chain of all: those that catch up could
    ask nobody but it, and for ever."""

    shows: Literal["nothing", "first_block", "nonsense"] = "nothing"
    """What it sends to who asks for blocks of that chain."""


def check(attack: LedgerAttack, charter_tables: CharterTables[Biscotti]) -> None:
    """Refuses an attack on noise where updates carry none.

    Raises:
      CharterError: `privacy.mask` is `none`, and the attack needs a noiser.
    """
    if isinstance(attack, NoiseAttack) and isinstance(charter_tables.privacy.mask, NoMask):
        raise CharterError(
            'has no effect: with privacy.mask = "none" no peer gives noise',
            key="kind",
            value=str(attack.__struct_config__.tag),
            hint="choose another privacy.mask, or another attack",
        )


ATTACKS = OwnAttacks(
    parameters=Biscotti,
    tables=(
        AuditedSlot, SameSlot, UncommittedNoise, UncommittedOpening, ZeroNoise, ZeroSlot,
        ZeroSlotUser, OwnNoise, CompensatedNoise, ForgedProof, StolenSlot, BadPoint, WrongShare,
        WrongShares, ShuffledCommitments, OversizedUpdate, FriendsOnly, TwoVerdicts, WrongSum,
        TwoSets, RepeatedUpdate, WrongAggregate, TwoBlocks, OldBlock, ChosenSeed, SilentPeer,
        SlowPeer, LatePeer, WithholdingPeer, FloodingPeer, FramingPeer, ReplayingPeer, EarlyPeer,
        BoastingPeer,
    ),
    idle="no peer keeps a ledger with others",
    instead='set kind = "sign_flip"',
    cast="troth.attacks.biscotti.casting:recast",
    brings="troth.attacks.biscotti.casting:brought",
    check=check,
)  # fmt: skip
