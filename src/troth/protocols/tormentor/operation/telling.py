"""How a broker of TorMentor says where it is."""

from __future__ import annotations

from troth.deployment.events import Event, EventProgress
from troth.report.progress import Progress
from troth.worlds.real.api.address import Address


class Told:
    """Says where a broker is: to whoever reads, or as events to a program that has started it."""

    def __init__(self, progress: Progress, events: EventProgress | None) -> None:
        self._progress = progress
        self._events = events

    def listening(self, address: Address) -> None:
        """Curators can ask it."""
        if self._events is not None:
            self._events.write(Event(listening=str(address)))
        else:
            self._progress.message(f"the broker is at {address}")

    def deployed(self, address: Address) -> None:
        """Providers can join."""
        if self._events is not None:
            self._events.write(Event(deployed=str(address)))
        else:
            self._progress.message(f"providers come with: troth join {address}")
