"""What charters of `biscotti` say in these tests."""

from __future__ import annotations

from typing import Any

from troth.learning.training import Training
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy
from troth.protocols.protocol import CharterTables

TRAINING = Training(rounds=5, learning_rate=0.1)
MASKED = MaskedPrivacy()


def agreed(
    privacy: MaskedPrivacy = MASKED, training: Training = TRAINING, **protocol: Any
) -> CharterTables[Biscotti]:
    """A charter whose `[protocol]` table has these keys."""
    return CharterTables(parameters=Biscotti(**protocol), privacy=privacy, training=training)
