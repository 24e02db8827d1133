"""Scenarios and charters that were written down are read as what they were."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from troth.charter.document import without_nulls
from troth.charter.loading import load_scenario, load_text
from troth.charter.writing import scenario_text, toml_text
from troth.errors import CharterError, VerificationError
from troth.protocols.tormentor.operation import terms

EXAMPLES = Path(__file__).parents[2] / "examples"
BROKERED = EXAMPLES / "tormentor" / "scenario.toml"


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("*/scenario.toml")), ids=lambda p: p.parent.name
)
def test_a_written_scenario_says_the_same(path: Path) -> None:
    scenario = load_scenario(path).scenario
    again = load_text(scenario_text(scenario), path=path, base=path.parent)
    assert again.scenario == scenario


def test_what_is_none_is_left_out_at_any_depth() -> None:
    said = {"a": None, "b": [{"c": None, "d": 1}], "e": {"f": None}, "g": 0}
    assert without_nulls(said) == {"b": [{"d": 1}], "e": {}, "g": 0}
    assert "null" not in toml_text(said)


def test_strangers_read_the_charter_that_the_model_id_names() -> None:
    charter = terms.of_scenario(load_scenario(BROKERED).scenario)
    text = terms.charter_text(charter)
    assert terms.read_charter(text, f"sha256:{sha256(text).hexdigest()}") == charter
    with pytest.raises(VerificationError, match="not the one that the model id names"):
        terms.read_charter(text, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[]", "is an array, not a table"),
        (b"\xff", "is not JSON"),
        (b'{"name":"small"}', "task is missing"),
    ],
)
def test_strangers_refuse_what_is_no_charter(text: bytes, says: str) -> None:
    with pytest.raises(CharterError, match=says):
        terms.read_charter(text, f"sha256:{sha256(text).hexdigest()}")
