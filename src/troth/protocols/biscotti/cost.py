"""How much `biscotti` sends in one fault-free round, and to whom."""

from __future__ import annotations

import numpy as np

from troth.crypto.digest import DIGEST_BYTES
from troth.crypto.group import POINT_BYTES
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import (
    DEALING_BYTES,
    Acknowledgement,
    Contribution,
    NoiseOpening,
    Verdict,
)
from troth.protocols.biscotti.ledger.context import MAX_AUDITED
from troth.protocols.biscotti.messages import (
    MESSAGES,
    Accepted,
    Announce,
    Blocks,
    Endorsement,
    Held,
    Masked,
    NoiseGrant,
    NoiseRequest,
    NoiseUse,
    Opened,
    Proposal,
    SetQuorum,
    SetVote,
    Shares,
    SumSet,
    SumShare,
    Vote,
    Want,
    WireBlock,
)
from troth.protocols.biscotti.parameters import Biscotti, NoMask
from troth.protocols.biscotti.setting import scheme_of, shares_optimistically
from troth.protocols.protocol import CharterTables, counted
from troth.robustness.bounds import largest_byzantine
from troth.wire import Codec, Message

_NAME = NodeId("party-000")
_BLOCK_HEAD = 512
"""About how many bytes a block has besides its lists and its sum."""


def messages_per_round(
    charter_tables: CharterTables[Biscotti], parties: int, dimension: int
) -> dict[str, tuple[int, int]]:
    """How many messages of each type such a round has, and how many bytes all of these have as the
    codec encodes them: by name of the type, (messages, bytes). As many updates are accepted as the
    rule keeps, and every peer gets the block once.

    Args:
      parties: how many peers there are.
      dimension: D.
    """
    protocol, privacy = charter_tables.parameters, charter_tables.privacy
    codec = Codec(MESSAGES)
    one = Round(1)
    v, m = protocol.verifiers, protocol.aggregators
    r = protocol.contributors_drawn(parties)
    byzantine = largest_byzantine(protocol.aggregation, r) or 0
    u = max(0, r - byzantine)
    tau, scheme = protocol.resolved_quorum, scheme_of(protocol, dimension)
    layout = scheme.layout(dimension)
    masked = not isinstance(privacy.mask, NoMask)
    noisers = privacy.noisers if masked else 0
    optimistic = shares_optimistically(protocol, dimension)
    data_rows = bytes(layout.rows * POINT_BYTES)
    all_rows = data_rows if optimistic else bytes(scheme.rows * POINT_BYTES)
    blindings = bytes(32 * layout.rows)
    digest, signature = bytes(DIGEST_BYTES), bytes(64)
    path = (digest,) * 12
    share = bytes(scheme.share_bytes(layout))
    use = NoiseUse(_NAME, 0, data_rows, path, digest, signature)
    opening = NoiseOpening(_NAME, 0, digest, digest, b"".join(path), signature)
    set_ = SumSet(
        one,
        (Contribution(_NAME, digest, data_rows, digest, signature),) * u,
        bytes(DEALING_BYTES * u),
        (Acknowledgement(_NAME, bytes(-(-u // 8)), signature),) * m,
        bytes(DIGEST_BYTES * u),
        (Verdict(_NAME, bytes(-(-u // 8)), signature),) * v,
        signature,
    )
    audited = min(MAX_AUDITED, parties) if masked else 0
    opened = Opened(one, opening)
    block = bytes(
        len(codec.encode(set_)) + 8 * dimension + audited * len(codec.encode(opened)) + _BLOCK_HEAD
    )
    neighbours = 2 * -(-protocol.neighbours // 2)
    sent: list[tuple[Message, int]] = [
        (NoiseRequest(one, bytes(80)), r * noisers),
        (NoiseGrant(one, 0, digest, digest, data_rows, path, signature), r * noisers),
        (
            Masked(
                one,
                data_rows,
                np.zeros(dimension, np.uint32),
                blindings,
                bytes(80),
                (use,) * noisers,
                signature,
            ),
            r * v,
        ),
        (Accepted(one, bytes(DIGEST_BYTES * u), (_NAME,) * u, signature), v * (r + m)),
        (Shares(one, all_rows, digest, path[: m.bit_length()], share, signature), u * m),
        (Held(one, bytes(DEALING_BYTES * u), signature), m - 1),
        (set_, m - 1),
        (SetVote(one, signature), m - 1),
        (SetQuorum(one, (Vote(_NAME, signature),) * tau), m - 1),
        (SumShare(one, share, signature), m - 1),
        (opened, audited),
        (Proposal(one, block), m - 1),
        (Endorsement(one, digest, bytes(96)), m - 1),
        (Announce(digest, 1), parties * neighbours),
        (Want((digest,) * 8), parties - 1),
        (Blocks((WireBlock(block, bytes(128)),), more=False), parties - 1),
    ]
    return counted(MESSAGES, sent)
