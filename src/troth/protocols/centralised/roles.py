"""`centralised` has one role: the trainer, who trains alone on everybody's rows."""

from __future__ import annotations

from functools import partial

from troth.protocols.centralised.parameters import Centralised
from troth.protocols.centralised.protocol import TRAINER
from troth.protocols.protocol import Casting
from troth.roles.alone import Silence, train_alone
from troth.roles.node import Cast


def make_cast(casting: Casting[Centralised]) -> Cast:
    """Who plays what: the trainer alone. Parties are no nodes; they only hand over their rows."""
    agreed = casting.agreed
    role = partial(train_alone, initial_D=agreed.initial_D, training=agreed.training)
    return Cast({TRAINER: role}, (TRAINER,), (Silence,))
