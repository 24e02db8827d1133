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

from dataclasses import dataclass
from hashlib import blake2b, shake_256
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


@dataclass(frozen=True, slots=True)
class Stream:
    """A place to draw random numbers from, named by `path` below `seed`."""

    seed: int
    path: tuple[str | int, ...] = ()

    def child(self, *names: str | int) -> Stream:
        """The stream below this one called `names`."""
        plain = tuple(name if isinstance(name, str) else int(name) for name in names)
        return Stream(self.seed, self.path + plain)

    def key(self) -> int:
        """128 bits that depend on the seed and on every name of the path, and on nothing else."""
        text = repr((self.seed, *self.path))
        return int.from_bytes(
            blake2b(text.encode(), digest_size=16, person=b"troth-stream").digest()
        )

    def digest(self, size: int) -> bytes:
        """`size` bytes for keys and nonces: as hard to guess as the seed, two calls give the same.

        SHAKE-256 of the seed and the path; nobody who knows one stream's bytes learns another's.
        """
        return shake_256(repr((self.seed, *self.path)).encode()).digest(size)

    def generator(self) -> np.random.Generator:
        """A generator at the start of this stream; two calls give equal generators."""
        # The stubs name numpy's own `SeedSequence` only; any `ISeedSequence` will do.
        return np.random.Generator(np.random.Philox(_Key(self.key())))  # type: ignore[arg-type]  # see above


class _Key(ISeedSequence):
    """Gives numpy a generator's key. `Philox(key=...)` makes the same generator, and asks the
    operating system for entropy that it does not use, which takes longer than all the rest."""

    def __init__(self, key: int) -> None:
        self._words = np.frombuffer(key.to_bytes(16, "little"), "<u8")

    # The type of the base wants every type of integer, of which Philox asks for this one.
    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The key, as the two 64-bit words that Philox asks for."""
        assert n_words == 2, "Philox has a key of two words"
        assert dtype == np.uint64, "Philox has a key of two words of 64 bits"
        return self._words


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
