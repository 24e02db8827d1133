"""The `[protocol]` table of `standalone`."""

from __future__ import annotations

from troth.specification import Table


class Standalone(Table, tag_field="name", tag="standalone", frozen=True, kw_only=True):
    """Every party trains alone on its own data: what a party has without joining."""
