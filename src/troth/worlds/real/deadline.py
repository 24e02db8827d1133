"""How long to wait for peers, learnt from how long they took.

A charter's `deadline_s` says how long a round waits at least. It cannot know the machines and the
network that a real run meets: a round that no party can answer in time would be repeated for ever.
So a real node waits longer where answers have been slow:

    wait_s = max(deadline_s, mean_s + patience * deviation_s)

with mean and mean deviation of past answers smoothed as TCP does it (RFC 6298, section 2). The one
knob is `patience`; 0 waits for the mean, TCP's K = 4 for nearly everybody.
"""

from __future__ import annotations

ALPHA, BETA = 1 / 8, 1 / 4
"""Weights of the newest answer in mean and deviation (RFC 6298, 2.3)."""


class AdaptiveDeadline:
    """What one node knows of its peers' speed."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._mean_s: float | None = None
        self._deviation_s = 0.0

    def answered(self, after_s: float) -> None:
        """An answer came so long after it was first waited for."""
        if self._mean_s is None:
            self._mean_s, self._deviation_s = after_s, after_s / 2
            return
        self._deviation_s += BETA * (abs(self._mean_s - after_s) - self._deviation_s)
        self._mean_s += ALPHA * (after_s - self._mean_s)

    def wait_s(self, deadline_s: float) -> float:
        """How long to wait where the protocol says `deadline_s`."""
        if self._mean_s is None:
            return deadline_s
        return max(deadline_s, self._mean_s + self._patience * self._deviation_s)
