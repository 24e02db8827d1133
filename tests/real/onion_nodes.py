"""The nodes of a brokered run as processes, with Tor between all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brokered_nodes import Brokered

from troth.protocols.tormentor.state import BROKER, CURATOR


class OnionBrokered(Brokered):
    """A broker that is an onion service; the others reach it by Tor.

    Args:
      config: of the private Tor network.
      socks: HOST:PORT of the tor that curator and providers share; None: each has one of its own.
    """

    def __init__(
        self, scenario: Path, folder: Path, config: Path, *, socks: str | None = None
    ) -> None:
        super().__init__(scenario, folder)
        own: list[object] = ["--tor", "--tor-config", config]
        reach = own if socks is None else ["--tor-socks", socks]
        self.further = dict.fromkeys((CURATOR, *self.providers), reach) | {BROKER: own}

    def listening(self) -> list[object]:
        return []


@contextmanager
def onion_brokered(
    scenario: Path, folder: Path, config: Path, *, socks: str | None = None
) -> Iterator[OnionBrokered]:
    nodes = OnionBrokered(scenario, folder, config, socks=socks)
    try:
        yield nodes
    finally:
        for node in nodes.nodes.values():
            node.stop()
