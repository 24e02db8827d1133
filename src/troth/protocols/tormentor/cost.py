"""How much `tormentor` sends in one fault-free round of accepted updates, after joining."""

from __future__ import annotations

import numpy as np

from troth.crypto.puzzles import Puzzle
from troth.protocols.protocol import CharterTables, counted
from troth.protocols.tormentor.messages import MESSAGES, GradientUpdate, Next
from troth.protocols.tormentor.parameters import Tormentor

_DIGEST = bytes(32)
_MODEL_ID = "sha256:" + "0" * 64


def messages_per_round(
    charter_tables: CharterTables[Tormentor], parties: int, dimension: int
) -> dict[str, tuple[int, int]]:
    """How many messages of each type such a round has, and how many bytes all of these have as the
    codec encodes them: by name of the type, (messages, bytes).

    Args:
      parties: how many providers send one accepted update each.
      dimension: D.
    """
    parameters = charter_tables.parameters
    vector_D = np.zeros(dimension, np.float32)
    puzzle = Puzzle(_MODEL_ID, _DIGEST, 1, _DIGEST, parameters.difficulty, _DIGEST)
    messages = (
        GradientUpdate(
            _MODEL_ID, _DIGEST, _DIGEST, bytes(8), 1, vector_D, parameters.minimum_epsilon
        ),
        Next(_DIGEST, 1, vector_D, puzzle),
    )
    return counted(MESSAGES, ((message, parties) for message in messages))
