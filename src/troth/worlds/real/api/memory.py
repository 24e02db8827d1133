"""Bounds how many bytes of questions may be on their way to a broker at once, of all strangers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from troth.worlds.real.api.lobby import Guest
from troth.worlds.real.link import Refusal

OWN_BYTES = 64 * 2**10
"""Bytes of each question that are not counted: a question of a small model is never in anybody's
way."""


class Memory:
    """A number of bytes that all who send something share.

    They are taken as they arrive. So whoever announces much and sends little takes up little. Where
    there are no more, somebody who has never paid makes room for somebody who has.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.taken_bytes = 0
        self._leases: set[Lease] = set()

    @contextmanager
    def lease(self, guest: Guest) -> Iterator[Lease]:
        """A lease for one body that a connection sends; what it took is given back in the end."""
        lease = Lease(self, guest)
        self._leases.add(lease)
        try:
            yield lease
        finally:
            self._release(lease)

    def _take(self, lease: Lease, size_bytes: int) -> None:
        while self.taken_bytes + size_bytes > self.size_bytes:
            unpaid = [other for other in self._leases if not other.guest.has_paid]
            if not lease.guest.has_paid or not unpaid:
                raise Refusal(503, "too much is being sent at once, try again later", close=True)
            largest = max(unpaid, key=lambda other: other.shared_bytes)
            self._release(largest)
            largest.guest.transport.abort()
        self.taken_bytes += size_bytes
        lease.shared_bytes += size_bytes

    def _release(self, lease: Lease) -> None:
        self._leases.discard(lease)
        self.taken_bytes -= lease.shared_bytes
        lease.shared_bytes = 0


class Lease:
    """What one body has taken of a `Memory`."""

    def __init__(self, memory: Memory, guest: Guest) -> None:
        self.guest = guest
        self.shared_bytes = 0
        self._memory = memory
        self._size_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Take `size_bytes` more, which have arrived.

        Raises:
          Refusal: there is no room for them (status 503).
        """
        shared_bytes = max(0, self._size_bytes + size_bytes - OWN_BYTES)
        self._memory._take(self, shared_bytes - max(0, self._size_bytes - OWN_BYTES))
        self._size_bytes += size_bytes
