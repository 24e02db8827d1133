"""Whatever a caller in Python gives works, or is the caller's error and names the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import troth
from troth.charter.arguments import overrides_of, path_of
from troth.errors import LocalError, UsageError


class RaisingPath:
    """A path whose own code raises."""

    def __fspath__(self) -> str:
        raise OSError("no path")


class NumberPath:
    """A path that is none."""

    def __fspath__(self) -> Any:
        return 5


class BytesPath:
    """A path in bytes."""

    def __fspath__(self) -> bytes:
        return b"x"


ITSELF: list[Any] = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    "value", [RaisingPath(), NumberPath(), BytesPath(), ITSELF, {"a": ITSELF}, "\ud800"]
)
def test_a_value_that_no_scenario_can_hold_names_its_key(value: object) -> None:
    with pytest.raises(LocalError, match=r"training\.rounds"):
        overrides_of({"training__rounds": value})


@pytest.mark.parametrize(
    "value",
    [
        RaisingPath(),
        NumberPath(),
        BytesPath(),
        ITSELF,
        None,
        5,
        b"x",
        "a\0b",
        "\ud800",
        "a" * 5000,
        10**5000,
    ],
    ids=[str(number) for number in range(11)],
)
def test_what_is_no_path_names_the_argument(value: object) -> None:
    with pytest.raises(UsageError, match="folder"):
        path_of(value, "folder")
    with pytest.raises(UsageError, match="path"):
        troth.load_scenario(value)  # type: ignore[arg-type]  # what is tried here


def test_a_scenario_is_loaded_by_a_text_as_by_a_path() -> None:
    file = Path(__file__).parents[2] / "examples/digits/scenario.toml"
    loaded = troth.load_scenario(str(file), base=str(file.parent))
    assert loaded.scenario == troth.load_scenario(file).scenario


@pytest.mark.parametrize("overrides", [None, 5, "training.rounds=5", [5], {"a": 1}])
def test_overrides_of_another_type_are_refused(overrides: Any) -> None:
    file = Path(__file__).parents[2] / "examples/digits/scenario.toml"
    with pytest.raises(UsageError, match="overrides"):
        troth.load_scenario(file, overrides=overrides)
