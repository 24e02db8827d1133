"""What every table of a charter or scenario has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Fraction = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Index = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
REFERENCE_PATTERN = r"^[\w.]+:[\w.]+$(?!\n)"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$(?!\n)"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$(?!\n)"
# Python's `$` also matches before a newline at the end, hence the look-ahead.

Reference = Annotated[str, msgspec.Meta(pattern=REFERENCE_PATTERN)]
"""`module:callable`, looked up beside the scenario file and then on the Python path."""


MAX_MODEL_ID = 128
ModelId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_ID)]
"""By which strangers name the model that they train: the digest of its charter, or another text of
at most `MAX_MODEL_ID` characters where there is no charter."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a TOML file: typed, frozen, and closed to keys it does not know.

    Bounds that concern one key stand in its annotation; a rule that ties keys together stands in
    `check`.
    """

    added: ClassVar[frozenset[str]] = frozenset()
    """Keys that the table did not have at first. Each has a default, and is left out of the
    canonical charter while it has that default: so a new ability leaves old digests alone."""

    moved: ClassVar[Mapping[str, str]] = {}
    """Keys that the table once had, and where in a file what they said stands now."""

    def check(self) -> None:
        """Raise a `CharterError` if keys contradict each other.

        `key` is relative to this table; the loader prefixes where the table stands.
        """


@dataclass(frozen=True)
class ShortForm:
    """How a value that is not a table is spelt out.

    Args:
      name_key: the key of the table that the value becomes.
      fixed: what else the table then holds.
      callable_form: what it holds when the value is a `module:callable`, which becomes `callable`.
      number: the value is a number, not a string.
      example: a line that uses it.
    """

    name_key: str
    example: str
    fixed: tuple[tuple[str, str], ...] = ()
    callable_form: tuple[str, str] | None = None
    number: bool = False

    def expand(self, value: object) -> object:
        """The table that `value` stands for; anything that is no short form comes back as it is."""
        if self.number:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return value
        elif not isinstance(value, str):
            return value
        elif self.callable_form is not None and ":" in value:
            tag, name = self.callable_form
            return {tag: name, "callable": value}
        return {**dict(self.fixed), self.name_key: value}


def tag(table: Table | type[Table]) -> str:
    """What a file calls this kind of table: `multi_krum`."""
    return str(table.__struct_config__.tag)
