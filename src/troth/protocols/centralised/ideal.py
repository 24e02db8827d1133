"""`centralised` without messages: the model after every round of one trainer that holds all
data."""

from __future__ import annotations

from troth.roles.alone import ideal_alone as ideal

__all__ = ["ideal"]
