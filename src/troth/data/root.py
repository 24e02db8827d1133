"""Where published data sets lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path | None:
    """The folder that `TROTH_DATA` names; None where it is not set."""
    value = os.environ.get("TROTH_DATA")
    return Path(value) if value else None
