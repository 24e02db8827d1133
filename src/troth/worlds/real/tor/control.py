"""The control connection to a tor of our own (control-spec).

It is one end of a socket pair that tor is started with (`__OwningControllerFD`): nobody else can
speak on it, so there is no control port and no password, and tor ends when it closes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

MAX_EVENTS = 1000
"""The most events that are kept while an event of another kind is waited for; the oldest are
dropped."""


class ControlClosed(Exception):
    """Tor has closed the connection: it is about to end."""


class ControlRefused(Exception):
    """Tor has answered a command with an error; names the command and what tor said."""


class Control:
    """Sends commands to tor, and reads its answers and the events that it reports.

    It reads only inside `ask` and `event`: turn events off (`SETEVENTS`) when nobody waits for them
    any more, or they fill the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._events: deque[str] = deque(maxlen=MAX_EVENTS)

    async def ask(self, command: str) -> list[str]:
        """Send one command, and return the lines of tor's answer without status codes.

        Raises:
          ControlRefused: the command is refused.
          ControlClosed: tor is gone.
        """
        try:
            self._writer.write(f"{command}\r\n".encode())
            await self._writer.drain()
        except ConnectionError:
            raise ControlClosed from None
        while True:
            status, lines = await self._message()
            if status == "250":
                return lines
            if status != "650":
                raise ControlRefused(f"{command.split()[0]}: {' '.join(lines)}")
            self._events.extend(lines)

    async def event(self, kind: str) -> str:
        """Wait for the next event of one kind, such as `HS_DESC`, and return its line.

        Events of other kinds that come before it are kept for later calls.

        Raises:
          ControlClosed: tor is gone.
        """
        for event in self._events:
            if event.split()[0] == kind:
                self._events.remove(event)
                return event
        while True:
            status, lines = await self._message()
            assert status == "650", f"an answer to no command: {lines}"
            if lines[0].split()[0] == kind:
                return lines[0]
            self._events.append(lines[0])

    async def close(self) -> None:
        """Close the connection, which ends tor."""
        self._writer.close()
        # It fails where tor was gone already.
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _message(self) -> tuple[str, list[str]]:
        """Read one answer or event: its status code and its lines.

        `250-a`, `250+b`, data, `.` and `250 c` are one answer of several lines (control-spec 2.3).
        """
        lines: list[str] = []
        while True:
            line = await self._line()
            status, kind, rest = line[:3], line[3:4], line[4:]
            lines.append(rest)
            if kind == "+":
                while (data := await self._line()) != ".":
                    lines.append(data.removeprefix("."))
            elif kind != "-":
                return status, lines

    async def _line(self) -> str:
        try:
            line = await self._reader.readline()
        except ConnectionError:
            line = b""
        if not line.endswith(b"\n"):
            raise ControlClosed
        return line.decode(errors="replace").rstrip("\r\n")
