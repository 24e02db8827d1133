"""The one role of `centralised`."""

from __future__ import annotations

from troth.ids import NodeId

TRAINER = NodeId("trainer")
"""Holds every party's rows; plays `roles.alone.train_alone`."""
