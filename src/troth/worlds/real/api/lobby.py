"""The connections of strangers to a broker, which knows nothing else of who they are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from troth.worlds.real.limits import Limits
from troth.worlds.real.rate import TokenBucket


class Guest:
    """One connection. Several may be of one stranger, and nothing tells which."""

    def __init__(self, transport: asyncio.Transport, limits: Limits) -> None:
        self.transport = transport
        self.address: str = (transport.get_extra_info("peername") or ("",))[0]
        self.bucket = TokenBucket(limits.requests_per_s, limits.requests_at_once)
        self.strikes = 0
        """How many questions in a row were malformed, forged or refused."""
        self.busy = False
        """Whether it has asked something and is not answered yet."""
        self.has_paid = False
        """Whether it has asked a paid question (`Question.is_paid`) that was not refused."""
        self.idle_since_s = time.monotonic()


class Lobby:
    """Takes connections in, as many as the limits say.

    When it is full, the one goes that has said nothing for longest and has never paid. So whoever
    opens connections and leaves them open keeps nobody out.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.guests: set[Guest] = set()
        self._by_address: Counter[str] = Counter()

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
            self.guests.remove(guest)
            self._by_address[guest.address] -= 1
            if not self._by_address[guest.address]:
                del self._by_address[guest.address]

    def _make_room(self, address: str | None) -> None:
        idle = [
            guest
            for guest in self.guests
            if not guest.busy and not guest.has_paid and address in (None, guest.address)
        ]
        if idle:
            longest = min(idle, key=lambda guest: guest.idle_since_s)
            self.leave(longest)
            longest.transport.abort()
