"""How often somebody may do something: a token bucket."""

from __future__ import annotations

import time


class TokenBucket:
    """So many at once, and on average so many a second."""

    def __init__(self, per_s: float, at_once: int) -> None:
        self._per_s = per_s
        self._at_once = float(at_once)
        self._tokens = float(at_once)
        self._then_s = time.monotonic()

    def take(self) -> float:
        """Take a token: 0. Where there is none, nothing is taken: seconds until there will be."""
        now_s = time.monotonic()
        refilled = self._tokens + (now_s - self._then_s) * self._per_s
        self._tokens, self._then_s = min(self._at_once, refilled), now_s
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s

    def owe(self) -> None:
        """Something has been done already: whoever comes next waits for it, for as long as a full
        bucket takes to fill at most."""
        self._tokens = max(-self._at_once, self._tokens - 1)
