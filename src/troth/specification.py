"""What every table of a charter or scenario has in common."""

from __future__ import annotations

from typing import Annotated

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Fraction = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Index = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
REFERENCE_PATTERN = r"^[\w.]+:[\w.]+$(?!\n)"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$(?!\n)"
# Python's `$` also matches before a newline at the end, hence the look-ahead.

Reference = Annotated[str, msgspec.Meta(pattern=REFERENCE_PATTERN)]
"""`module:callable`, looked up beside the scenario file and then on the Python path."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a TOML file: typed, frozen, and closed to keys it does not know.

    Bounds that concern one key stand in its annotation; a rule that ties keys together stands in
    `check`.
    """

    def check(self) -> None:
        """Raise a `CharterError` if keys contradict each other.

        `key` is relative to this table; the loader prefixes where the table stands.
        """
