"""docs/reports.md names every field of every record, and no cap that the code does not have."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from troth.records import (
    Metrics,
    PartyPrivacy,
    PartyRecord,
    PrivacyRecord,
    Record,
    Rejection,
    ReleasePrivacy,
    RoundRecord,
    Summary,
    Traffic,
)
from troth.report import curves, folder, participation, read, rows, view

TEXT = (Path(__file__).parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "record",
    [
        Metrics,
        PartyPrivacy,
        PartyRecord,
        PrivacyRecord,
        Rejection,
        ReleasePrivacy,
        RoundRecord,
        Summary,
        Traffic,
    ],
)
def test_every_field_is_described(record: type[Record]) -> None:
    assert [
        field.name for field in msgspec.structs.fields(record) if f"`{field.name}`" not in TEXT
    ] == []


def test_every_file_is_described() -> None:
    files = [read.SCENARIO, read.SUMMARY, read.ROUNDS]
    files += [folder.MODEL, folder.PRIVACY, folder.PAGE, folder.SNAPSHOT]
    assert [file for file in files if f"`{file}`" not in TEXT] == []


def test_caps_are_those_of_the_code() -> None:
    assert f"{view.MAX_PARTIES:,} parties and {view.MAX_REJECTIONS} rejections" in TEXT
    assert f"by name, {rows.MAX_MEASURES} at most" in TEXT
    assert f"above {participation.MAX_ROWS} parties" in TEXT
    assert f"factor of {curves.LOG_FROM:.0f}" in TEXT
