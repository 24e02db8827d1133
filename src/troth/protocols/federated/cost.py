"""How much `federated` sends in one fault-free round."""

from __future__ import annotations

import numpy as np

from troth.ids import Round
from troth.protocols.federated.messages import MESSAGES, TrainRequest, Update
from troth.protocols.federated.parameters import Federated
from troth.protocols.protocol import CharterTables, counted


def messages_per_round(
    charter_tables: CharterTables[Federated], parties: int, dimension: int
) -> dict[str, tuple[int, int]]:
    """How many messages of each type such a round has, and how many bytes all of these have as the
    codec encodes them: by name of the type, (messages, bytes).

    Args:
      parties: how many parties the scenario has.
      dimension: D.
    """
    asked = charter_tables.parameters.asked(parties)
    vector_D = np.zeros(dimension, np.float32)
    messages = (TrainRequest(Round(1), vector_D), Update(Round(1), vector_D, 1))
    return counted(MESSAGES, ((message, asked) for message in messages))
