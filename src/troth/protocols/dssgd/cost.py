"""How much `dssgd` sends in one fault-free round."""

from __future__ import annotations

import numpy as np

from troth.ids import Round
from troth.protocols.dssgd.messages import MESSAGES, Acknowledged, Download, Parameters, Upload
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.dssgd.steps import share
from troth.protocols.protocol import CharterTables, counted


def messages_per_round(
    charter_tables: CharterTables[DSSGD], parties: int, dimension: int
) -> dict[str, tuple[int, int]]:
    """How many messages of each type such a round has, and how many bytes all of these have as the
    codec encodes them: by name of the type, (messages, bytes).

    Args:
      parties: how many parties the scenario has.
      dimension: D.
    """
    parameters = charter_tables.parameters
    down, up = share(parameters.download, dimension), share(parameters.upload, dimension)
    indices = np.zeros(0 if down == dimension else down, np.uint32)
    messages = (
        Download(),
        Parameters(Round(1), indices, np.zeros(down, np.float32)),
        Upload(Round(1), np.zeros(up, np.uint32), np.zeros(up, np.float32)),
        Acknowledged(Round(1)),
    )
    return counted(MESSAGES, ((message, parties) for message in messages))
