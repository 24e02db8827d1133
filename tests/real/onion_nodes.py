"""The nodes of a brokered run as processes, with Tor between all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brokered_nodes import Brokered

from troth.protocols.tormentor.protocol import BROKER, CURATOR


class OnionBrokered(Brokered):
    """A broker that is an onion service; curator and providers reach it by tors of their own.

    Args:
      config: of the private Tor network.
    """

    def __init__(
        self, scenario: Path, folder: Path, changes: Sequence[str], *, config: Path
    ) -> None:
        super().__init__(scenario, folder, changes)
        for name in (BROKER, CURATOR, *self.providers):
            self.further[name] = ["--tor", "--tor-config", config]

    def listening(self) -> list[object]:
        return []
