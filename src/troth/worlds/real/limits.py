"""What a node gives its peers at most: memory, requests, time. Every bound has its name here."""

from __future__ import annotations

from dataclasses import dataclass

MIN_BODY_BYTES = 64 * 2**10
"""Room for a message whatever the model's size."""

BYTES_PER_PARAMETER = 16
"""Room for a message with two numbers of eight bytes for every parameter of the model."""


MESH_BODIES = 2
"""Of the largest message in a mesh, an answer full of blocks, no more wait for one peer, or from
one: there are many peers, and one asks for blocks again when it has none."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one node. Tests set small ones; whoever runs a node sets only the last two."""

    body_bytes: int = MIN_BODY_BYTES
    """Largest message, in either direction; `body_bytes` of this module fits it to a model."""
    waiting_messages: int = 64
    """Messages from one peer, and to one peer, that wait at this node."""
    waiting_bodies: int = 8
    """The same in bytes: so many of the largest message."""
    guests: int = 1_024
    """Questions of strangers that wait at a broker, all together."""
    guests_bodies: int = 64
    """The same in bytes: so many of the largest message."""
    requests_per_s: float = 100.0
    """Requests of one peer, on average."""
    requests_at_once: int = 200
    """Requests of one peer in a burst."""
    connections_per_peer: int = 4
    connections: int = 1_024
    """Connections of strangers, all together. Below the files that a process may open on most
    systems, and no more than the questions that may wait."""
    connections_per_address: int = 512
    """The same from one network address; what comes by Tor has one address, whoever it is from."""
    free_per_s: float = 200.0
    """Questions that cost strangers nothing (to join, say), of all of them together: whoever asks
    more of them lets others wait who want to join, but nobody who has joined."""
    free_at_once: int = 400
    strikes: int = 8
    """Questions of one connection in a row that are malformed, forged or refused for good, after
    which it is closed."""
    answers_at_once: int = 64
    """Answers that carry a model and are on their way to strangers."""
    handshake_s: float = 10.0
    """How long a TLS handshake, or the first request after it, may take."""
    body_s: float = 120.0
    """How long a message's body may take to arrive."""
    stall_s: float = 10.0
    """The time over which `slowest_bytes_per_s` is looked at; a question of a small model is whole
    by then."""
    slowest_bytes_per_s: float = 4_096.0
    """How fast strangers have to send, and to take what they asked for; Tor is faster."""
    idle_s: int = 60
    """How long a stranger's connection may stay open between two questions: while it computes an
    update, say. Connecting by Tor costs seconds."""
    longest_hold_s: float = 30.0
    """How long a stranger's question is held, while others catch up, before it has to be asked
    again. Every time, the update travels once more."""
    longest_poll_s: float = 20.0
    """How long a request waits for a message at most before it is answered with none."""
    linger_s: float = 15.0
    """How long a node whose role has returned stays for peers to fetch their last messages."""
    unreachable_s: float = 60.0
    """How long a role waits for peers that are not heard of at all."""
    patience: float = 4.0
    """How many deviations above the mean a wait may last (`troth.worlds.real.deadline`)."""

    @property
    def poll_s(self) -> float:
        """The same, short enough that nobody is taken for gone who only has nothing to say."""
        return min(self.longest_poll_s, self.unreachable_s / 4)

    @property
    def hold_s(self) -> float:
        """The same, short enough that nobody takes the broker for gone."""
        return min(self.longest_hold_s, self.unreachable_s / 2)

    @property
    def guests_bytes(self) -> int:
        """Bytes of strangers' questions that wait at a broker."""
        return self.guests_bodies * self.body_bytes

    @property
    def waiting_bytes(self) -> int:
        """Bytes from one peer, and to one peer, that wait at this node."""
        return self.waiting_bodies * self.body_bytes


def body_bytes(dimension: int) -> int:
    """The largest message of a protocol that trains a model of so many parameters."""
    return MIN_BODY_BYTES + BYTES_PER_PARAMETER * dimension
