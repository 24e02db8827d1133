"""A node that brings something to its run: what is read, and what is made only once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from troth.charter.loading import LoadedScenario, load_scenario
from troth.charter.model import initial_model
from troth.crypto.identity import Identity
from troth.data import loading
from troth.deployment.bringing import NodeFiles
from troth.deployment.node import play
from troth.errors import CharterError, UsageError
from troth.ids import NodeId, PartyId
from troth.learning import build
from troth.protocols.biscotti.operation.founding import Terms, terms_of
from troth.protocols.protocol import Brought
from troth.report.progress import QuietProgress
from troth.wire import Float32s
from troth.worlds import dealing
from troth.worlds.real.node import Connect
from troth.worlds.real.stage import prepare_node


class Stranger(Exception):
    """Whoever brings is not asked for more."""


@pytest.fixture
def loaded(scenario_file) -> LoadedScenario:
    return load_scenario(scenario_file('name = "biscotti"\nadversarial_stake = 0.0', parties=12))


def counted(
    monkeypatch: pytest.MonkeyPatch, made: list[str], name: str, *modules: ModuleType
) -> None:
    """Note in `made` every call of a function, whichever module it is called by."""
    function: Callable[..., Any] = getattr(modules[0], name)

    def noted(*args: Any, **keywords: Any) -> Any:
        made.append(name)
        return function(*args, **keywords)

    for module in modules:
        monkeypatch.setattr(module, name, noted)


def test_model_and_data_of_a_peer_are_made_once(
    loaded: LoadedScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    seen: list[Terms] = []
    counted(monkeypatch, made, "build_model", dealing, build)
    counted(monkeypatch, made, "load", dealing, loading)

    def bring(initial_D: Float32s) -> Brought:
        seen.append(terms_of(loaded, initial_D))
        raise Stranger

    with pytest.raises(Stranger):
        prepare_node(loaded.scenario, NodeId("party-00"), base=loaded.base, root=None, bring=bring)
    assert sorted(made) == ["build_model", "load"]
    # What others work out without the data.
    expected = initial_model(loaded.scenario, base=loaded.base)
    np.testing.assert_array_equal(seen[0].initial_D, expected)


def test_whom_a_genesis_leaves_out_is_no_node(loaded: LoadedScenario) -> None:
    class Genesis:
        def admitted(self, parties: tuple[PartyId, ...]) -> tuple[PartyId, ...]:
            return parties[1:]

    with pytest.raises(UsageError, match="party-00 is not admitted"):
        prepare_node(
            loaded.scenario,
            NodeId("party-00"),
            base=loaded.base,
            root=None,
            bring=lambda _: Genesis(),
        )


def test_files_are_for_protocols_that_ask_for_them(small: LoadedScenario, tmp_path: Path) -> None:
    into = tmp_path / "run"
    with pytest.raises(CharterError, match="needs no genesis") as caught:
        play(
            small,
            NodeId("party-0"),
            Identity.create(),
            {},
            Connect("https://127.0.0.1:1"),
            into=into,
            progress=QuietProgress(),
            files=NodeFiles(tmp_path / "secret", tmp_path / "genesis"),
        )
    assert caught.value.hint == 'a genesis is for protocol = "biscotti"'
    assert not into.exists()
