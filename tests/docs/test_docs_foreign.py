"""What docs/architecture.md shows as a protocol of one's own is the one that is tested."""

from __future__ import annotations

from pathlib import Path

import pytest
from snippets import blocks_of

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT / "tests" / "foreign"


@pytest.mark.parametrize(
    "file",
    [
        "troth_medians/protocol.py",
        "troth_medians/roles.py",
        "troth_medians-0.1.dist-info/entry_points.txt",
    ],
)
def test_the_page_shows_the_file(file: str) -> None:
    shown = [block.text for block in blocks_of(ROOT / "docs" / "architecture.md")]
    assert (FOREIGN / file).read_text() in shown
