"""Reads what one party says of its own privacy, in a file that nobody else sees."""

from __future__ import annotations

from pathlib import Path

from troth.charter.document import parse, read_text
from troth.charter.loading import convert
from troth.errors import charter_errors_in
from troth.privacy.spec import PrivacySpec
from troth.specification import Table


class OwnPrivacyFile(Table, frozen=True, kw_only=True):
    """The file in which one party says what it does for its own privacy: a table `[privacy]`."""

    privacy: PrivacySpec
    """Which noise is added to every update, and what may be spent."""


def read_own_privacy(path: Path) -> PrivacySpec:
    """The noise and the budget in a TOML file with a table `[privacy]`.

    Raises:
      UsageError: there is no such file.
      CharterError: it holds no such table, or one that contradicts itself; names the file.
    """
    with charter_errors_in(path):
        said = convert(parse(read_text(path), path), OwnPrivacyFile).privacy
        said.check()
    return said
