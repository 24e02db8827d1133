"""Named random streams.

A stream is a path of names below a run's seed: run -> family -> party -> round -> purpose. Two
different paths give independent streams, and what one stream draws never depends on how much
another drew, so adding a party or a fault does not change anybody else's batches.

The families are `world` (latency, loss, ties, which party holds what), `learning` (initialisation,
batches) and `secret` (keys, nonces, noise). The first two may never feed cryptography or privacy
noise in a real run. The third does: in a simulation it follows from the seed, so anybody who has
the file knows every secret; a real run seeds it from the operating system and from no file.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import blake2b, shake_256
from struct import Struct
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

_WORDS = Struct(">QQ")
"""A key of 128 bits as two words, the upper one first."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A place to draw random numbers from, named by `path` below `seed`."""

    seed: int
    path: tuple[str | int, ...] = ()

    def child(self, *names: str | int) -> Stream:
        """The stream below this one called `names`."""
        path = self.path
        for name in names:
            path += (name if isinstance(name, str) else int(name),)
        return Stream(self.seed, path)

    def key(self) -> int:
        """128 bits that depend on the seed and on every name of the path, and on nothing else."""
        return int.from_bytes(self._key_bytes())

    def _key_bytes(self) -> bytes:
        text = repr((self.seed, *self.path))
        return blake2b(text.encode(), digest_size=16, person=b"troth-stream").digest()

    def digest(self, size: int) -> bytes:
        """`size` bytes for keys and nonces: as hard to guess as the seed, two calls give the same.

        SHAKE-256 of the seed and the path; nobody who knows one stream's bytes learns another's.
        """
        return shake_256(repr((self.seed, *self.path)).encode()).digest(size)

    def generator(self) -> np.random.Generator:
        """A generator at the start of this stream; two calls give equal generators."""
        # The stubs name numpy's own `SeedSequence` only; any `ISeedSequence` will do.
        return np.random.Generator(np.random.Philox(_Key(self._key_bytes())))  # type: ignore[arg-type]  # see above

    def lent_generator(self) -> np.random.Generator:
        """What `generator` gives, at a fifth of its cost, for draws that are made at once.

        Each thread has one such generator, which the next call in that thread sets to the start of
        another stream. Whoever keeps it draws from that other stream: then take `generator`.
        """
        high, low = _WORDS.unpack(self._key_bytes())
        return _lent.start((low, high))


class _Key(ISeedSequence):
    """Gives numpy a generator's key. `Philox(key=...)` makes the same generator, and asks the
    operating system for entropy that it does not use, which takes longer than all the rest."""

    def __init__(self, key: bytes) -> None:
        self._words = np.frombuffer(key[::-1], "<u8")

    # The type of the base wants every type of integer, of which Philox asks for this one.
    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The key, as the two 64-bit words that Philox asks for."""
        assert n_words == 2, "Philox has a key of two words"
        assert dtype == np.uint64, "Philox has a key of two words of 64 bits"
        return self._words


class _Lent(threading.local):
    """The generator of a thread. Making one takes longer than most of what is drawn from it."""

    def __init__(self) -> None:
        self._philox = np.random.Philox(0)
        self._generator = np.random.Generator(self._philox)
        # Numbers of Python, which numpy takes in a third of the time that arrays need.
        self._start: Any = {
            "bit_generator": "Philox",
            "state": {"counter": (0, 0, 0, 0), "key": (0, 0)},
            "buffer": (0, 0, 0, 0),
            "buffer_pos": 4,
            "has_uint32": 0,
            "uinteger": 0,
        }

    def start(self, key: tuple[int, int]) -> np.random.Generator:
        """The generator, at the start of the stream with this `key`, its lower word first."""
        self._start["state"]["key"] = key
        self._philox.state = self._start
        return self._generator


_lent = _Lent()


def world(seed: int) -> Stream:
    """Everything the simulated world draws."""
    return Stream(seed, ("world",))


def learning(seed: int) -> Stream:
    """Initial parameters and batches."""
    return Stream(seed, ("learning",))


def secret(seed: int) -> Stream:
    """Keys, nonces and masks of a simulation. A real run takes 256 bits from the operating system
    as the seed instead."""
    return Stream(seed, ("secret",))
