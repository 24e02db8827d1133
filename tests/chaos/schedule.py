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

SOON_S, LATE_S = 2.0, 9.0
"""For how long a node is away at most, where it is soon back and where it is not."""

GIVE_UP_S, GENTLE_GIVE_UP_S = 6.0, 60.0
"""`--give-up-after` of all nodes. Where nobody is lost nobody waits so long, and a busy machine
shall not have anybody given up who is there."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Args:
      after: the round after which it does, by whoever reports one first; 0: as soon as all run.
      pause_s: how long the node is away or frozen.
      which, where: from 0 to 1, choose the file and the place in it.
    """

    after: int
    node: str
    kind: Kind
    pause_s: float
    which: float
    where: float

    def __str__(self) -> str:
        return (
            f"after round {self.after}: {self.kind} {self.node}, away {self.pause_s:.2f} s, "
            f"file {self.which:.3f} at {self.where:.4f}"
        )


@dataclass(frozen=True)
class Schedule:
    """All that goes wrong in one run, in order.

    Args:
      gentle: everybody has to come to the end with the right model.
    """

    gentle: bool
    faults: tuple[Fault, ...]

    @property
    def give_up_s(self) -> float:
        """After how long nodes give up whom they do not hear of."""
        return GENTLE_GIVE_UP_S if self.gentle else GIVE_UP_S


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
                pause_s=chance.uniform(0.0, SOON_S if soon else LATE_S),
                which=chance.random(),
                where=chance.random(),
            )
        )
    return Schedule(gentle, tuple(sorted(faults, key=lambda fault: fault.after)))
