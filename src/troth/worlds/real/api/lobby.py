"""The connections of strangers to a broker, which knows nothing else of who they are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from troth.worlds.real.alarm import Alarm
from troth.worlds.real.limits import Limits
from troth.worlds.real.rate import TokenBucket


class Guest:
    """One connection. Several may be of one stranger, and nothing tells which."""

    def __init__(self, transport: asyncio.Transport, limits: Limits) -> None:
        self.transport = transport
        self.address: str = (transport.get_extra_info("peername") or ("",))[0]
        self.alarm = Alarm(asyncio.get_running_loop())
        """Rings when what it does now takes too long: its question comes, is held, or is
        answered."""
        self.bucket = TokenBucket(limits.requests_per_s, limits.requests_at_once)
        self.strikes = 0
        """How many questions in a row were malformed, forged or refused."""
        self.busy = False
        """Whether it has asked something and is not answered yet."""
        self.asking: bytes | None = None
        """The place for which it asks something and is not answered yet (`Question.place`)."""
        self.place: bytes | None = None
        """The place that it holds: for which it was the last to show the payment."""
        self.idle_since_s = time.monotonic()

    @property
    def has_paid(self) -> bool:
        """Whether it holds a place."""
        return self.place is not None


class Lobby:
    """Takes connections in, as many as the limits say.

    When it is full, the one goes that has said nothing for longest and has never paid. So whoever
    opens connections and leaves them open keeps nobody out. A place that was paid for is worth one
    connection: the last that has shown the payment. So whoever shows one payment over many keeps
    nobody out either, nor does whoever has many of them wait for its answer.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.guests: set[Guest] = set()
        self._by_address: Counter[str] = Counter()
        self._holders: dict[bytes, Guest] = {}
        """Who holds a place, by its name; of connections that there are only."""

    def enter(self, transport: asyncio.Transport) -> Guest | None:
        """Take in a new connection, in place of an idle one if need be; None without room."""
        guest = Guest(transport, self.limits)
        if self._by_address[guest.address] >= self.limits.connections_per_address:
            self._make_room(guest.address)
        elif len(self.guests) >= self.limits.connections:
            self._make_room(None)
        if (
            self._by_address[guest.address] >= self.limits.connections_per_address
            or len(self.guests) >= self.limits.connections
        ):
            return None
        self.guests.add(guest)
        self._by_address[guest.address] += 1
        return guest

    def leave(self, guest: Guest) -> None:
        """Forget a connection that has ended."""
        if guest in self.guests:
            guest.alarm.close()
            self.guests.remove(guest)
            self._take_back(guest)
            self._by_address[guest.address] -= 1
            if not self._by_address[guest.address]:
                del self._by_address[guest.address]

    def paid(self, guest: Guest, place: bytes | None) -> None:
        """A connection has shown the payment for a place, and holds it from now on; whichever held
        it before does so no more."""
        if guest not in self.guests or place is None:
            return
        if place in self._holders:
            self._take_back(self._holders[place])
        self._take_back(guest)
        self._holders[place] = guest
        guest.place = place

    def _take_back(self, guest: Guest) -> None:
        if guest.place is not None:
            del self._holders[guest.place]
            guest.place = None

    def _make_room(self, address: str | None) -> None:
        idle = [
            guest
            for guest in self.guests
            if not guest.busy and not guest.has_paid and address in (None, guest.address)
        ]
        going = min(
            idle or self._doubled(address), key=lambda guest: guest.idle_since_s, default=None
        )
        if going is not None:
            self.leave(going)
            going.transport.abort()

    def _doubled(self, address: str | None) -> list[Guest]:
        """The connections that wait for an answer for which several wait, of one place."""
        waiting = Counter(guest.asking for guest in self.guests if guest.asking is not None)
        return [
            guest
            for guest in self.guests
            if guest.asking is not None
            and waiting[guest.asking] > 1
            and address in (None, guest.address)
        ]
