"""Ports that are known before a node listens on them."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port of this machine on which nobody listens. The system gives it to nobody meanwhile: it
    is below those that Linux gives away by itself."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
