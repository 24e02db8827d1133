"""Errors say where, what and what to try, and cross process borders whole."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from troth.errors import (
    CharterError,
    DataError,
    ExitCode,
    LocalError,
    PeerError,
    RoundFailedError,
    UsageError,
    VerificationError,
)
from troth.ids import NodeId


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "USAGE": 2,
        "CHARTER": 3,
        "UNREACHABLE": 4,
        "ROUND_FAILED": 5,
        "BUDGET_EXHAUSTED": 6,
        "VERIFICATION_FAILED": 7,
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, ExitCode.USAGE),
        (CharterError, ExitCode.CHARTER),
        (DataError, ExitCode.CHARTER),
        (RoundFailedError, ExitCode.ROUND_FAILED),
        (VerificationError, ExitCode.VERIFICATION_FAILED),
    ],
)
def test_each_error_has_its_exit_code(error: type[LocalError], code: ExitCode) -> None:
    assert error("is wrong").exit_code == code
    assert issubclass(error, LocalError)


def test_ours_and_theirs_are_different() -> None:
    assert not issubclass(PeerError, LocalError)
    assert not issubclass(LocalError, PeerError)


def test_the_hint_is_a_line_of_its_own() -> None:
    assert str(LocalError("x is above y", hint="lower x")) == "x is above y\nhint: lower x"
    assert str(LocalError("x is above y")) == "x is above y"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CharterError("is empty"), "is empty"),
        (CharterError("is missing", key="training.rounds"), "training.rounds is missing"),
        (
            CharterError("is below 1", file=Path("a.toml"), key="training.rounds", value=0),
            "a.toml: training.rounds = 0 is below 1",
        ),
        (CharterError("is not TOML", file="a.toml"), "a.toml: is not TOML"),
        (CharterError("is null", key="k", value=None), "k = null is null"),
        (CharterError("is long", key="k", value="x" * 99), f'k = "{"x" * 76}... is long'),
    ],
)
def test_a_charter_error_names_file_key_and_value(error: CharterError, text: str) -> None:
    assert str(error) == text


def test_a_charter_error_moves_to_its_file() -> None:
    error = CharterError("is below 1", key="k", value=None, hint="raise k").in_file("b.toml")
    assert str(error) == "b.toml: k = null is below 1\nhint: raise k"


@pytest.mark.parametrize(
    "error",
    [
        LocalError("a", hint="b"),
        CharterError("is x", file="f", key="k", value=3, hint="h"),
        DataError("a", hint="b"),
    ],
)
def test_errors_survive_the_way_back_from_a_worker_process(error: LocalError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_peer_error_names_the_culprits_in_order() -> None:
    culprits = [NodeId("party-2"), NodeId("party-1")]
    error = PeerError("sent nothing", culprits=culprits)
    assert error.culprits == ("party-2", "party-1")
    assert str(error) == error.message == "sent nothing"
