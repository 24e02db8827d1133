"""How a party turns the model and its own data into an update."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import Count, NonNegative, Positive, Table


class Training(Table, frozen=True, kw_only=True, cache_hash=True):
    """The `[training]` table.

    `update` says what a party sends:

    | update     | what is sent, with g the mean gradient over one batch                        |
    |------------|------------------------------------------------------------------------------|
    | `gradient` | g; whoever receives it applies learning rate, decay and momentum (FedSGD)    |
    | `step`     | w' - w after one step; the party keeps its own velocity over rounds          |
    | `delta`    | w' - w after `local_steps` or `local_epochs` (else one pass); v from 0 (FedAvg) |

    A step is v <- momentum * v + g, w <- w - eta_r * v, with
    eta_r = learning_rate / (1 + decay * (r - 1)) in round r (from 1).
    """

    rounds: Count
    """How many rounds the protocol has."""
    update: Literal["gradient", "step", "delta"] = "delta"
    """What a party sends; see above."""
    batch_size: Count | Literal["all"] = 32
    """Rows of a gradient; `all` takes every row the party has."""
    local_steps: Count | None = None
    """Steps in a round, for `delta`; not beside `local_epochs`."""
    local_epochs: Count | None = None
    """Passes over a party's rows in a round, for `delta`; without both it is one."""
    learning_rate: Positive
    """eta, the learning rate in round 1."""
    decay: NonNegative = 0.0
    """How fast the learning rate falls over the rounds; 0 keeps it; see above."""
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Factor of the velocity in a step; 0 is plain gradient descent; see above."""

    def check(self) -> None:
        if self.update == "delta":
            if self.local_steps is not None and self.local_epochs is not None:
                raise CharterError(
                    "contradicts local_steps",
                    key="local_epochs",
                    value=self.local_epochs,
                    hint="keep one of local_steps and local_epochs",
                )
        else:
            for key in ("local_steps", "local_epochs"):
                if getattr(self, key) is not None:
                    raise CharterError(
                        f'does not go with update = "{self.update}", which takes one batch a round',
                        key=key,
                        value=getattr(self, key),
                        hint=f'remove {key}, or set update = "delta"',
                    )

    def rate(self, round: int) -> float:
        """Learning rate eta_r of `round` (from 1)."""
        return self.learning_rate / (1.0 + self.decay * (round - 1))

    @property
    def keeps_velocity(self) -> bool:
        """Whether a party takes its velocity from one round into the next."""
        return self.update == "step" and self.momentum > 0
