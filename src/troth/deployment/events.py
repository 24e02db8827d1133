"""What a node tells a program that started it: one JSON object a line on its standard output."""

from __future__ import annotations

from typing import TextIO

import msgspec

from troth.errors import UsageError
from troth.records import RoundRecord, Summary


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. Exactly one field is set."""

    listening: str | None = None
    """The URL, or a broker's address, that others connect to."""
    deployed: str | None = None
    """A broker: the address by which providers join its model."""
    round: RoundRecord | None = None
    """The record of a round that is over."""
    message: str | None = None
    """A line for whoever watches the node."""
    summary: Summary | None = None
    """The node has ended, whichever way; nothing follows."""


_encoder = msgspec.json.Encoder()


class EventProgress:
    """Writes events instead of a display; a `troth.report.progress.Display`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Writes an event as one line of JSON, and sends it off at once."""
        self._stream.write(_encoder.encode(event).decode() + "\n")
        self._stream.flush()

    def start(self, summary: Summary) -> None:
        """The beginning is told by `listening`."""

    def round(self, record: RoundRecord) -> None:
        """Writes the record of a round that is over."""
        self.write(Event(round=record))

    def finish(self, summary: Summary) -> None:
        """Writes how the node has ended."""
        self.write(Event(summary=summary))

    def message(self, text: str) -> None:
        """Writes a line for whoever watches the node."""
        self.write(Event(message=text))


def read_event(line: bytes) -> Event:
    """The event that a line holds.

    Raises:
      UsageError: it holds none; something else has written to the node's standard output.
    """
    try:
        return msgspec.json.decode(line, type=Event)
    except msgspec.MsgspecError:
        shown = line[:80].decode(errors="replace").strip()
        raise UsageError(
            f"a node printed something else than events: {shown!r}",
            hint="what the scenario names as module:callable must not print",
        ) from None
