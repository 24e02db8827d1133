"""What can be wrong with a genesis or with a block, whichever protocol they are of."""

from __future__ import annotations

from troth.errors import PeerError, VerificationError
from troth.ids import NodeId


class GenesisError(VerificationError):
    """A genesis is not what it should be.

    Args:
      field: the first of its fields that is wrong.
      problem: what is wrong with it, and whose it is.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"genesis: {field}: {problem}")
        self.field, self.problem = field, problem


class BlockError(PeerError):
    """A block that somebody sent is wrong.

    Args:
      field: the first of its fields that is wrong; or `encoding`, or `certificate`.
      problem: what is wrong with it.
    """

    def __init__(self, height: int, field: str, problem: str, *, sender: NodeId) -> None:
        super().__init__(f"sent block {height} whose {field} {problem}", culprits=(sender,))
        self.height, self.field, self.problem = height, field, problem
