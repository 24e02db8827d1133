"""What a node of a real run brings from files of its own, where its protocol asks for something."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from troth.protocols.protocol import Brought
from troth.report.progress import Display
from troth.wire import Float32s
from troth.worlds.real.journal import Journal


@dataclass(frozen=True)
class NodeFiles:
    """The files that a node is given.

    Args:
      secret: its own.
      genesis: of all peers.
      chain: a chain file to begin with.
      trusted: hash of a block of that file, up to which it is taken on trust.
    """

    secret: Path
    genesis: Path
    chain: Path | None = None
    trusted: bytes | None = None


class Bringing(Protocol):
    """How a node's files come into its run, step by step in this order.

    `Brings.real` in a protocol's record names what makes it: (LoadedScenario, NodeId, NodeFiles) ->
    Bringing.
    """

    def read(self, initial_D: Float32s) -> Brought:
        """Read the files and check them against the scenario and its model before round 1, of
        shape (D,).

        Raises:
          LocalError: they cannot be read, or do not belong to this node and scenario.
        """

    def check(self, opened: ExitStack, progress: Display) -> None:
        """Check whatever takes time, before there is a folder: nothing is written if it fails.

        Args:
          opened: closes what is opened here, after the run.

        Raises:
          LocalError: it does not hold.
        """

    def open(
        self, opened: ExitStack, folder: Path, journal: Journal
    ) -> tuple[Any, tuple[str, ...]]:
        """Open what the node keeps in its folder besides the journal, and put it where it begins.

        Returns:
          The store that its role uses (`troth.roles.stores`), and notes for the summary.

        Raises:
          LocalError: what is there cannot be gone on with.
        """
