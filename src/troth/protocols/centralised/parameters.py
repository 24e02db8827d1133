"""The `[protocol]` table of `centralised`."""

from __future__ import annotations

from troth.specification import Table


class Centralised(Table, tag_field="name", tag="centralised", frozen=True, kw_only=True):
    """One trainer that was given everybody's data: the figure to reach, and the privacy to beat."""
