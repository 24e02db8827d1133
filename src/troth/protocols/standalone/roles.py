"""`standalone` has one role: a party, which trains alone on its own rows."""

from __future__ import annotations

from functools import partial

from troth.protocols.protocol import Casting
from troth.protocols.standalone.parameters import Standalone
from troth.roles.alone import Silence, train_alone
from troth.roles.node import Cast


def make_cast(casting: Casting[Standalone]) -> Cast:
    """Who plays what: every party is a node, and ends with a model of its own."""
    agreed = casting.agreed
    role = partial(train_alone, initial_D=agreed.initial_D, training=agreed.training)
    return Cast(dict.fromkeys(agreed.parties, role), agreed.parties, (Silence,), own_models=True)
