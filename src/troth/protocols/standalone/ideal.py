"""`standalone` without messages: every party's own model after every round."""

from __future__ import annotations

from troth.roles.alone import ideal_alone as ideal

__all__ = ["ideal"]
