"""The agreed set U of a round: which updates are summed, and what committee members say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from troth.chain import bitmap
from troth.crypto.digest import DIGEST_BYTES
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import (
    DEALING_BYTES,
    MAX_PEERS,
    Acknowledgement,
    Block,
    Contribution,
    Verdict,
    pieces,
)
from troth.protocols.biscotti.ledger.context import RoundContext
from troth.protocols.biscotti.messages import SumSet


class FieldError(Exception):
    """What is wrong with one field of a block, or of what becomes part of one."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True)
class Statement:
    """A list that a committee member has signed."""

    entries: tuple[bytes, ...]
    """The entries of the list, ascending."""
    signature: bytes


def sum_set(
    context: RoundContext,
    contributions: Iterable[Contribution],
    acknowledgements: Mapping[NodeId, Statement],
    verdicts: Mapping[NodeId, Statement],
    signature: bytes = bytes(64),
) -> SumSet:
    """The message with the set U and all that committee members have said of it, in the form that a
    block has.

    Args:
      acknowledgements: of aggregators, of which dealings they hold good shares.
      verdicts: of verifiers, which updates they accept.
    """
    acknowledgements = _fitting(acknowledgements, 2 * MAX_PEERS)
    verdicts = _fitting(verdicts, MAX_PEERS)
    dealings = sorted({entry for said in acknowledgements.values() for entry in said.entries})
    candidates = sorted({entry for said in verdicts.values() for entry in said.entries})
    return SumSet(
        context.round,
        tuple(sorted(contributions, key=lambda part: part.contributor)),
        b"".join(dealings),
        tuple(
            Acknowledgement(peer, _bitmap(said.entries, dealings), said.signature)
            for peer, said in sorted(acknowledgements.items())
        ),
        b"".join(candidates),
        tuple(
            Verdict(peer, _bitmap(said.entries, candidates), said.signature)
            for peer, said in sorted(verdicts.items())
        ),
        signature,
    )


def _fitting(said: Mapping[NodeId, Statement], most: int) -> dict[NodeId, Statement]:
    """As many of the statements as name at most `most` entries together. The first to be left out
    is the one that names the most entries which nobody else names."""
    counts = Counter(entry for statement in said.values() for entry in statement.entries)

    def alone(peer: NodeId) -> int:
        return sum(counts[entry] == 1 for entry in said[peer].entries)

    fitting: dict[NodeId, Statement] = {}
    known: set[bytes] = set()
    for peer in sorted(said, key=lambda peer: (alone(peer), peer)):
        more = known | set(said[peer].entries)
        if len(more) <= most:
            fitting[peer], known = said[peer], more
    return fitting


def choose_set(
    context: RoundContext,
    dealt: Mapping[bytes, NodeId],
    acknowledgements: Mapping[NodeId, Statement],
) -> tuple[NodeId, ...]:
    """The set U: the most contributors whose shares one group of tau aggregators holds, ascending.

    Tau aggregators must hold the same set, or none of its sums can be opened.

    Args:
      dealt: the contributor of each dealing (update id and dealing) that may be summed.
      acknowledgements: of aggregators, of which dealings they hold good shares.
    """
    quorum = context.parameters.resolved_quorum
    held = {
        peer: frozenset(entry for entry in said.entries if entry in dealt)
        for peer, said in acknowledgements.items()
    }
    best: frozenset[bytes] = frozenset()
    # The group that leaves the most is not worth a search: those who hold the most come first.
    for size in range(quorum, len(held) + 1):
        group = sorted(held, key=lambda peer: (-len(held[peer]), peer))[:size]
        common = frozenset.intersection(*(held[peer] for peer in group))
        if len(common) > len(best):
            best = common
    return tuple(sorted(dealt[entry] for entry in best))


def check_set(context: RoundContext, block: Block | SumSet) -> None:
    """Check that the set U is one that may be summed: who has said what of it, and that they are
    enough. That they have signed it is checked elsewhere.

    Raises:
      FieldError: names the field and what is wrong with it.
    """
    verdicts: Counter[bytes] = Counter()
    candidates = pieces(block.candidates, DIGEST_BYTES)
    dealings = pieces(block.dealings, DEALING_BYTES)
    # Whoever stood in a list twice would count twice: towards a majority, a quorum, or a sum of
    # enough updates.
    _ascend("contributions", [part.contributor for part in block.contributions])
    _ascend("acknowledgements", [part.aggregator for part in block.acknowledgements])
    _ascend("verdicts", [part.verifier for part in block.verdicts])
    _ascend("dealings", dealings)
    _ascend("candidates", candidates)
    for verdict in block.verdicts:
        if verdict.verifier not in context.verifiers:
            raise FieldError("verdicts", f"are by {verdict.verifier}, who is no verifier")
        verdicts.update(
            candidates[place] for place in _places("verdicts", verdict.accepted, candidates)
        )
    if verdicts.keys() != set(candidates):
        raise FieldError("candidates", "are not what the verdicts accept")
    held: Counter[bytes] = Counter()
    for part in block.acknowledgements:
        if part.aggregator not in context.aggregators:
            raise FieldError("acknowledgements", f"are by {part.aggregator}, no aggregator")
        held.update(dealings[place] for place in _places("acknowledgements", part.held, dealings))
    if held.keys() != set(dealings):
        raise FieldError("dealings", "are not what the acknowledgements are of")
    if len(block.contributions) < context.fewest:
        raise FieldError("contributions", f"are {len(block.contributions)}, too few for a sum")
    for contribution in block.contributions:
        who = contribution.contributor
        if who not in context.contributors:
            raise FieldError("contributions", f"are by {who}, who is no contributor")
        if verdicts[contribution.update] < context.majority:
            raise FieldError("contributions", f"of {who} have no majority of verdicts")
        if held[contribution.update + contribution.dealing] < context.parameters.resolved_quorum:
            raise FieldError("contributions", f"of {who} are not held by a quorum")


def _ascend(field: str, values: Sequence[Any]) -> None:
    if any(before >= after for before, after in pairwise(values)):
        raise FieldError(field, "are not in ascending order, each once")


def _places(field: str, chosen: bytes, table: Sequence[bytes]) -> tuple[int, ...]:
    try:
        return bitmap.places(chosen, len(table))
    except ValueError as error:
        raise FieldError(field, str(error)) from None


def _bitmap(entries: Sequence[bytes], table: Sequence[bytes]) -> bytes:
    places = {entry: place for place, entry in enumerate(table)}
    return bitmap.of((places[entry] for entry in entries), len(table))
