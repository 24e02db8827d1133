"""What goes wrong in a run, and when: drawn from a seed, so that it can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal[
    "kill", "terminate", "freeze", "double", "twin", "flip", "truncate", "delete", "lose"
]
"""
| kind      | what happens to the node                                                          |
|-----------|-----------------------------------------------------------------------------------|
| kill      | SIGKILL, and it is started again                                                  |
| terminate | SIGTERM, and it is started again                                                  |
| freeze    | SIGSTOP, and SIGCONT later                                                        |
| double    | it is started a second time with the same folder                                  |
| twin      | it is started a second time with another folder                                   |
| flip      | as kill, and one bit of one file of its folder is another before it starts again  |
| truncate  | as kill, and one file is cut off somewhere                                        |
| delete    | as kill, and one file is gone                                                     |
| lose      | as kill, and its whole folder is gone                                             |
"""

GENTLE: tuple[Kind, ...] = ("kill", "terminate", "freeze", "double")
"""Kinds after which everybody comes to the end, where the node is soon back."""
ROUGH: tuple[Kind, ...] = ("twin", "flip", "truncate", "delete", "lose")

SOON = 0.3
"""How long a node is away at most in a gentle run, as a share of the time after which others give
it up."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Args:
      after: the round after which it does, by whoever reports one first; 0: as soon as all run.
      pause: how long the node is away or frozen, as a share of the time to give up.
      which, where: from 0 to 1, choose the file and the place in it.
    """

    after: int
    node: str
    kind: Kind
    pause: float
    which: float
    where: float

    def __str__(self) -> str:
        return (
            f"after round {self.after}: {self.kind} {self.node}, away {self.pause:.2f} of the time "
            f"to give up, file {self.which:.3f} at {self.where:.4f}"
        )


@dataclass(frozen=True)
class Schedule:
    """All that goes wrong in one run, in order.

    Args:
      gentle: everybody has to come to the end with the right model.
    """

    gentle: bool
    faults: tuple[Fault, ...]


def draw(seed: int, names: Sequence[str], rounds: int) -> Schedule:
    """The faults that follow from a seed, for nodes of these names in so many rounds."""
    chance = Random(seed)
    gentle = chance.random() < 0.4
    faults = []
    for _ in range(chance.randint(1, 3)):
        kind = chance.choice(GENTLE if gentle else GENTLE + ROUGH + ROUGH)
        soon = gentle or chance.random() < 0.7
        faults.append(
            Fault(
                # Not in the last round: the run would be over before anything is done.
                after=chance.randrange(rounds - 1),
                node=chance.choice(names),
                kind=kind,
                pause=chance.uniform(0.0, SOON if soon else 1.5),
                which=chance.random(),
                where=chance.random(),
            )
        )
    return Schedule(gentle, tuple(sorted(faults, key=lambda fault: fault.after)))
