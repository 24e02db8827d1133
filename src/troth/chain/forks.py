"""The fork choice: which of several chains peers go on from, and auditors read.

The chain with the most certified blocks wins, then the one whose last certified block has the
smaller hash. So a block that a peer made for itself, when it heard nothing in time, gives way to
the certified block of that height. Two certified blocks of one height need peers who signed both;
`troth.chain.audit` names them.

Biscotti's paper expects forks to be rare, as all committees follow from the last block, and gives
no rule (section 4.7).
"""

from __future__ import annotations


def preference(certified: int, anchor: bytes) -> tuple[int, int]:
    """Of two chains, the one with the larger preference wins. Blocks on top that have no
    certificate count nothing, as each peer makes its own.

    Args:
      certified: how many certified blocks it has.
      anchor: hash of the last of them; the chain's id where there is none.
    """
    return certified, -int.from_bytes(anchor)
