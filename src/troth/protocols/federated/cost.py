"""How much `federated` sends in one fault-free round."""

from __future__ import annotations

import numpy as np

from troth.ids import Round
from troth.protocols.federated.messages import MESSAGES, TrainRequest, Update
from troth.protocols.federated.parameters import Federated
from troth.protocols.protocol import CharterTables
from troth.wire import Codec


def messages_per_round(
    charter_tables: CharterTables[Federated], parties: int, dimension: int
) -> dict[str, tuple[int, int]]:
    """How many messages of each type such a round has, and how many bytes all of these have as the
    codec encodes them: by name of the type, (messages, bytes).

    Args:
      parties: how many parties the scenario has.
      dimension: D.
    """
    parameters = charter_tables.parameters
    codec = Codec(MESSAGES)
    asked = parameters.asked(parties)
    vector_D = np.zeros(dimension, np.float32)
    return {
        type(message).__name__: (asked, asked * len(codec.encode(message)))
        for message in (TrainRequest(Round(1), vector_D), Update(Round(1), vector_D, 1))
    }
