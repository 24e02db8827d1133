"""What a run says of itself before it starts: how likely its committees fail, and what it rests on.

The paper's sizes do not keep an honest majority over a training (docs/protocols/biscotti.md), so
nobody should have to work that out alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from troth.errors import CharterError, RoundFailedError
from troth.ids import NodeId
from troth.learning.training import Training
from troth.protocols.biscotti.ledger.committees import (
    CommitteeSizes,
    FailureProbabilities,
    failure_probabilities,
)
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy, NoMask, Property
from troth.protocols.biscotti.setting import Setting
from troth.protocols.protocol import CharterTables

PROPERTIES: tuple[Property, ...] = ("privacy", "integrity", "liveness", "unmasking")
UNSERVED = 0.05
"""The share of requests for noise that may find no slot left without a run saying so."""

CHOOSING = (
    "not covered by them: a leader knows the next round's seed before it builds its block, and by "
    "what it puts into it chooses among several next committees; with committees of 3 and 30 % of "
    "the stake, privacy failed so in 91 to 98 of 100 rounds, instead of 21"
)
"""What the printed probabilities leave out, as it was measured."""

_LARGER_COMMITTEES = {
    "privacy": "raise aggregators, or tolerated with quorum",
    "integrity": "raise verifiers",
    "liveness": "lower quorum, or tolerated with it, or raise aggregators and verifiers",
    "unmasking": "raise privacy.noisers",
}


@dataclass(frozen=True)
class AdversarialReport:
    """How likely the committees fail while adversaries hold the charter's `adversarial_stake`."""

    round: FailureProbabilities
    """How likely they fail in one round."""
    training: FailureProbabilities
    """How likely they fail in at least one of all rounds."""


def adversarial_report(
    charter_tables: CharterTables[Biscotti], table: StakeTable
) -> AdversarialReport:
    """The failure probabilities of the committees of a charter.

    Args:
      table: the stake that they are drawn by. It is that of the genesis; rewards change it, and
        with it the probabilities of later rounds.

    Raises:
      CharterError: there are too few peers with stake, or a property is likelier to fail in the
        training than `most_failures` allows and `accept_failures` does not name it.
    """
    protocol, privacy = charter_tables.parameters, charter_tables.privacy
    rounds = charter_tables.training.rounds
    sizes = CommitteeSizes(
        # Without a mask, no noiser has to be adversarial for a verifier to see an update.
        noisers=0 if isinstance(privacy.mask, NoMask) else privacy.noisers,
        verifiers=protocol.verifiers,
        aggregators=protocol.aggregators,
        tolerated=protocol.resolved_tolerated,
        # A block needs a majority's signatures, too.
        quorum=_quorum(protocol),
    )
    try:
        round = failure_probabilities(table, sizes, adversarial_share=protocol.adversarial_stake)
    except RoundFailedError as error:
        raise CharterError(error.message, key="protocol", hint=error.hint) from None
    report = AdversarialReport(round, round.over(rounds))
    for name, most in protocol.most_failures.items():
        found = getattr(report.training, name)
        if found > most and name not in protocol.accept_failures:
            raise CharterError(
                f"is less than {found:.2g}, how likely {name} fails in {rounds} rounds if "
                f"{_percent(protocol)} of the stake is adversarial",
                key=f"protocol.most_failures.{name}",
                value=most,
                hint=f'{_LARGER_COMMITTEES[name]}, or set accept_failures = ["{name}"]',
            )
    return report


def run_notes(
    charter_tables: CharterTables[Biscotti], parties: Sequence[NodeId], setting: Setting
) -> tuple[str, ...]:
    """What a reader of a run of these parties must know of it, one sentence in each text.

    Raises:
      CharterError: as `adversarial_report`.
    """
    protocol, training = charter_tables.parameters, charter_tables.training
    privacy: MaskedPrivacy = charter_tables.privacy
    table = StakeTable.of(dict.fromkeys(parties, protocol.stake.initial))
    report = adversarial_report(charter_tables, table)
    notes = [
        f"failure probabilities assume that peers with up to {_percent(protocol)} of the genesis' "
        "stake are adversarial and choose no seeds; honest peers that are away come on top",
    ]
    for name in PROPERTIES:
        accepted = ", accepted by the charter" if name in protocol.accept_failures else ""
        notes.append(
            f"{name} fails ({_meaning(protocol, privacy, name)}): "
            f"{getattr(report.round, name):.2g} a round, "
            f"{getattr(report.training, name):.2g} in {training.rounds} rounds{accepted}"
        )
    notes += [
        CHOOSING,
        _faults(protocol),
        _sharing(setting),
        _ledger(protocol, privacy),
        _update(protocol, training),
    ]
    notes += _demand(protocol, privacy, len(parties))
    return tuple(notes)


def _meaning(protocol: Biscotti, privacy: MaskedPrivacy, name: Property) -> str:
    m, verifiers = protocol.aggregators, protocol.verifiers
    match name:
        case "privacy":
            return (
                f"more than {protocol.resolved_tolerated} of {m} aggregators are adversarial, and "
                "read every update"
            )
        case "integrity":
            return (
                f"{verifiers // 2 + 1} of {verifiers} verifiers are adversarial, and have accepted "
                "what they like"
            )
        case "liveness":
            return (
                f"so many are adversarial that fewer than {_quorum(protocol)} of {m} aggregators "
                f"or {verifiers // 2 + 1} of {verifiers} verifiers are left"
            )
        case "unmasking":
            if isinstance(privacy.mask, NoMask):
                return "a verifier is adversarial, and sees an update, which has no mask"
            return (
                f"the noisers of one honest contributor, {privacy.noisers}, are all "
                "adversarial, and a verifier is, and sees its update"
            )


def _faults(protocol: Biscotti) -> str:
    if protocol.faults == "crash":
        return (
            "faults: crash; aggregators are trusted not to lie to each other, and one that does "
            "can open two sums of a round, whose difference may be a single update"
        )
    return (
        "faults: byzantine; no two sums of a round are opened unless more than "
        f"{protocol.resolved_tolerated} of its aggregators are adversarial"
    )


def _sharing(setting: Setting) -> str:
    if setting.optimistic:
        return (
            "sharing: optimistic; who has dealt bad shares is found out in the round after, which "
            "is held with all commitments"
        )
    return "sharing: with all commitments; bad shares are found out before anything is summed"


def _ledger(protocol: Biscotti, privacy: MaskedPrivacy) -> str:
    noise = privacy.ledger_noise
    if noise is None:
        return "ledger: what it shows, the sums and models, carries no differential privacy"
    return (
        f"ledger: its sums carry noise for epsilon = {noise.epsilon:g}, delta = {noise.delta:g} "
        "over all rounds, for all data of a party, as long as of each sum "
        f"{protocol.fewest(0) - noise.corrupt} contributors keep theirs to themselves; which "
        "updates were accepted is not covered by that"
    )


def _update(protocol: Biscotti, training: Training) -> str:
    what = {
        "gradient": "a gradient over one batch, and the learning rate is applied to their",
        "step": "the change of the model after one step, and the model moves by their",
        "delta": "the change of the model after local training, and the model moves by their",
    }[training.update]
    return (
        f"updates: {what} {protocol.combine}; each is scaled down to an L2 norm of "
        f"{protocol.clip:g} at most"
    )


def _demand(protocol: Biscotti, privacy: MaskedPrivacy, peers: int) -> list[str]:
    """A warning if peers are likely to be asked for more noise than they have slots."""
    if isinstance(privacy.mask, NoMask):
        return []
    drawn, slots = protocol.contributors_drawn(peers), privacy.slots
    chance = min(1.0, privacy.noisers / (peers - 1))
    asked = drawn * chance
    served = sum(
        min(count, slots) * comb(drawn, count) * chance**count * (1 - chance) ** (drawn - count)
        for count in range(drawn + 1)
    )
    unserved = 1 - served / asked if asked else 0.0
    if unserved <= UNSERVED:
        return []
    return [
        f"noise: a peer has {slots} slots a round and is asked for {asked:.1f} on average, so "
        f"{unserved:.0%} of requests find none; raise [privacy] slots"
    ]


def _quorum(protocol: Biscotti) -> int:
    """How many aggregators have to answer, or a round fails."""
    return max(protocol.resolved_quorum, protocol.aggregators // 2 + 1)


def _percent(protocol: Biscotti) -> str:
    return f"{100 * protocol.adversarial_stake:g} %"
