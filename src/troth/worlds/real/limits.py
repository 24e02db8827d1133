"""What a node gives its peers at most: memory, requests, time. Every bound has its name here."""

from __future__ import annotations

from dataclasses import dataclass

MIN_BODY_BYTES = 64 * 2**10
"""Room for a message whatever the model's size."""

BYTES_PER_PARAMETER = 16
"""Room for a message with two numbers of eight bytes for every parameter of the model."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one node. Tests set small ones; whoever runs a node sets only the last two."""

    body_bytes: int = MIN_BODY_BYTES
    """Largest message, in either direction; `body_bytes` of this module fits it to a model."""
    waiting_messages: int = 64
    """Messages from one peer, and to one peer, that wait at this node."""
    waiting_bodies: int = 8
    """The same in bytes: so many of the largest message."""
    requests_per_s: float = 100.0
    """Requests of one peer, on average."""
    requests_at_once: int = 200
    """Requests of one peer in a burst."""
    connections_per_peer: int = 4
    handshake_s: float = 10.0
    """How long a TLS handshake, or the first request after it, may take."""
    body_s: float = 120.0
    """How long a message's body may take to arrive."""
    longest_poll_s: float = 20.0
    """How long a request waits for a message at most before it is answered with none."""
    linger_s: float = 15.0
    """How long a node whose role has returned stays for peers to fetch their last messages."""
    unreachable_s: float = 60.0
    """How long a role waits for peers that are not heard of at all."""
    patience: float = 4.0
    """See `troth.worlds.real.deadline`."""

    @property
    def poll_s(self) -> float:
        """The same, short enough that nobody is taken for gone who only has nothing to say."""
        return min(self.longest_poll_s, self.unreachable_s / 4)

    @property
    def waiting_bytes(self) -> int:
        """Bytes from one peer, and to one peer, that wait at this node."""
        return self.waiting_bodies * self.body_bytes


def body_bytes(dimension: int) -> int:
    """The largest message of a protocol that trains a model of so many parameters."""
    return MIN_BODY_BYTES + BYTES_PER_PARAMETER * dimension
