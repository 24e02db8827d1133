"""What the tests of data share."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_sets
from synthetic_sets import Install

from troth.data.published.files import FILES


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Writes a small set in the published format, declares it the published one, and returns the
    folder that TROTH_DATA would name."""

    def write(name: str) -> Path:
        contents = synthetic_sets.CONTENTS[name]()
        monkeypatch.setitem(FILES, name, synthetic_sets.published(name, contents))
        synthetic_sets.write(tmp_path, name, contents)
        return tmp_path

    return write
