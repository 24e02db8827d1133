"""How likely committees fail: by formula, and counted over draws of the lottery itself."""

from __future__ import annotations

from troth.ids import NodeId
from troth.protocols.biscotti.ledger.committees import CommitteeSizes, failure_probabilities
from troth.protocols.biscotti.ledger.lottery import draw_committees
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.streams import Stream

ROUNDS = 100
"""Of a training, as in the paper."""


def failures(
    stream: Stream,
    *,
    peers: int,
    size: int,
    tolerated: int,
    noisers: int,
    adversarial: float,
    draws: int,
) -> dict[str, float | list[tuple[float, float]]]:
    """How likely committees of `size` verifiers and `size` aggregators fail, among peers that hold
    the same stake.

    Args:
      stream: what the counted draws follow from.
      tolerated: t, how many adversarial aggregators learn nothing.
      adversarial: the share of all stake that adversaries hold.
      draws: committees that are drawn and counted.
    """
    names = [NodeId(f"peer-{number:03}") for number in range(peers)]
    table = StakeTable.of(dict.fromkeys(names, 10))
    sizes = CommitteeSizes(
        noisers=noisers,
        verifiers=size,
        aggregators=size,
        tolerated=tolerated,
        quorum=size - tolerated,
    )
    round = failure_probabilities(table, sizes, adversarial_share=adversarial)
    adversaries = frozenset(names[: int(adversarial * peers)])
    counted = 0
    for number in range(draws):
        seed = stream.child("draw", number).digest(32)
        drawn = draw_committees(table, seed, verifiers=size, aggregators=size)
        counted += len(adversaries.intersection(drawn.aggregators)) > tolerated
    training = round.over(ROUNDS)
    return {
        "privacy": round.privacy,
        "privacy_counted": counted / draws,
        "integrity": round.integrity,
        "unmasking": round.unmasking,
        "privacy_training": training.privacy,
        "integrity_training": training.integrity,
        "privacy_by_rounds": [(t, round.over(t).privacy) for t in range(1, ROUNDS + 1)],
    }
