"""How often Python looks for objects that hold each other and nobody else holds."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (100_000, 20, 50)
"""Python's own are (700, 10, 10): with ten thousand parties, whose roles and messages it goes
through each time, looking took longer than all else that a simulated world does."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """In here Python's cyclic garbage collector seldom runs; afterwards as often as before.

    Objects without cycles, as all large ones are, go at once in any case.
    """
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
