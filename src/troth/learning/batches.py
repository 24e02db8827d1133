"""Which of its rows a party trains on, step by step.

The draws of one update come from the stream node -> round -> "batches":

| update             | one pass                                    | batches                 |
|--------------------|---------------------------------------------|-------------------------|
| `gradient`, `step` | `batch_size` rows drawn without replacement | that one                |
| `delta`            | a fresh permutation of all rows             | cut in order, ends with |
|                    |                                             | what is left            |

`local_steps` goes on into as many passes as it needs. Where a batch is all rows, their order makes
no difference and nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from troth.learning.training import Training
from troth.streams import Stream
from troth.wire import Int64s


class Batches:
    """The batches of one party in one round.

    Args:
      path: names below `stream` of the stream that is drawn from; it is sought when something is.

    Attributes:
      examples: all rows of the party.
      size: rows of a full batch.
      length: rows of one pass.
      steps_per_pass: batches of one pass.
      steps: batches of the whole update.
    """

    __slots__ = (
        "_generator",
        "_path",
        "_rows",
        "_stream",
        "examples",
        "length",
        "size",
        "steps",
        "steps_per_pass",
    )

    def __init__(
        self,
        rows_N: Int64s,
        training: Training,
        stream: Stream,
        path: tuple[str | int, ...] = (),
    ) -> None:
        n = self.examples = len(rows_N)
        self._rows = rows_N
        self._stream, self._path = stream, path
        self._generator: np.random.Generator | None = None
        self.size = n if training.batch_size == "all" else min(n, training.batch_size)
        if training.update == "delta":
            self.length = n
            self.steps_per_pass = -(-n // self.size)
            passes = training.local_epochs or 1
            self.steps = training.local_steps or passes * self.steps_per_pass
        else:
            self.length = self.size
            self.steps_per_pass = self.steps = 1

    def next_pass(self) -> Int64s:
        """Rows (length,) of the next pass, in order."""
        if self.size == len(self._rows):
            return self._rows
        generator = self._generator
        if generator is None:
            stream = self._stream.child(*self._path)
            if self.steps <= self.steps_per_pass:
                # There is no other pass to draw.
                generator = stream.lent_generator()
            else:
                generator = self._generator = stream.generator()
        if self.length == len(self._rows):
            return generator.permutation(self._rows)
        drawn: Int64s = generator.choice(self._rows, self.size, replace=False, shuffle=False)
        return drawn

    def __iter__(self) -> Iterator[Int64s]:
        """The rows of each step in turn, as many steps as the training has."""
        for step in range(self.steps):
            place = step % self.steps_per_pass
            if place == 0:
                rows = self.next_pass()
            yield rows[place * self.size : (place + 1) * self.size]
