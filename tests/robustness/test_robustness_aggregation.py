"""From the table of a charter to an aggregate, with rules of one's own."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgspec
import numpy as np
import pytest

from troth.errors import CharterError, LocalError
from troth.robustness import Aggregate, UpdatesError, aggregate
from troth.robustness.krum import multi_krum
from troth.robustness.preparation import nnm
from troth.robustness.requests import AggregateUpdates
from troth.robustness.spec import (
    AggregationSpec,
    CallableRule,
    Mean,
    Median,
    MultiKrum,
)
from troth.streams import learning
from troth.wire import Float32s

OWN = """
import numpy as np

from troth.robustness import Aggregate


def loudest(updates_PD, weights_P, byzantine, generator, scale=1.0):
    assert updates_PD.shape == (4, 2) and updates_PD.dtype == np.float32
    assert weights_P.tolist() == [5, 6, 7, 8] and byzantine == 1
    generator.random()
    return Aggregate((scale * updates_PD[-1]).astype(np.float32))


def fails(updates_PD, weights_P, byzantine, generator):
    raise ValueError("no such thing")


def vector(updates_PD, weights_P, byzantine, generator):
    return updates_PD[0]


def wide(updates_PD, weights_P, byzantine, generator):
    return Aggregate(updates_PD[0].astype(np.float64))


def long(updates_PD, weights_P, byzantine, generator):
    return Aggregate(updates_PD.ravel())


def endless(updates_PD, weights_P, byzantine, generator):
    return Aggregate(updates_PD[0] * np.float32("inf"))


def negative(updates_PD, weights_P, byzantine, generator):
    return Aggregate(updates_PD[0], np.array([2, -1, 0, 0], np.float32))


def listed(updates_PD, weights_P, byzantine, generator):
    return Aggregate([1.0, 2.0])
"""

UPDATES = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "own_rules.py").write_text(OWN)
    return tmp_path


def run(spec: AggregationSpec, updates: Float32s = UPDATES, base: Path | None = None) -> Aggregate:
    generator = np.random.default_rng(0)
    return aggregate(spec, updates, range(5, 5 + len(updates)), generator=generator, base=base)


def test_the_mean_weighs_by_examples_only_when_told() -> None:
    np.testing.assert_allclose(run(Mean()).update_D, [114 / 26, 140 / 26], rtol=1e-6)
    np.testing.assert_allclose(run(Mean(weighted=False)).update_D, [4, 5])


def test_shares_after_a_pre_step_speak_of_the_parties() -> None:
    updates_PD = np.random.default_rng(1).standard_normal((11, 30)).astype(np.float32)
    result = run(MultiKrum(byzantine=2, pre="nnm"), updates_PD)
    mixed = nnm(updates_PD, 2)
    after = multi_krum(mixed.updates_BD, 2)
    assert result.share_P is not None
    assert after.share_P is not None
    np.testing.assert_array_equal(result.update_D, after.update_D)
    np.testing.assert_allclose(result.share_P, after.share_P @ mixed.share_BP, rtol=1e-6)
    np.testing.assert_allclose(result.share_P @ updates_PD, result.update_D, atol=1e-5)


def test_a_rule_of_ones_own_gets_what_is_documented(base: Path) -> None:
    spec = CallableRule(callable="own_rules:loudest", byzantine=1, arguments={"scale": 2.0})
    np.testing.assert_array_equal(run(spec, base=base).update_D, [14, 16])


def test_a_rule_of_ones_own_cannot_change_the_updates(base: Path) -> None:
    (base / "own_changing.py").write_text(
        "from troth.robustness import Aggregate\n\n\n"
        "def rule(updates_PD, weights_P, byzantine, generator):\n"
        "    updates_PD[:] = 0\n    return Aggregate(updates_PD[0])\n"
    )
    given_PD = UPDATES.copy()
    run(CallableRule(callable="own_changing:rule"), given_PD, base)
    np.testing.assert_array_equal(given_PD, UPDATES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", "rule own_rules:fails raised ValueError: no such thing"),
        ("vector", "rule own_rules:vector returned a ndarray"),
        ("wide", "rule own_rules:wide returned update_D as float64, not float32"),
        ("long", "rule own_rules:long returned update_D of shape (8,) instead of (2,)"),
        ("endless", "rule own_rules:endless returned update_D with NaN or infinity"),
        ("negative", "rule own_rules:negative returned share_P with sum 1 and least -1"),
        ("listed", "rule own_rules:listed returned update_D as list, not float32"),
    ],
)
def test_what_a_rule_of_ones_own_returns_is_checked(name: str, message: str, base: Path) -> None:
    with pytest.raises(LocalError) as caught:
        run(CallableRule(callable=f"own_rules:{name}"), base=base)
    assert message in caught.value.message


def test_a_rule_that_does_not_exist(base: Path) -> None:
    with pytest.raises(CharterError, match="own_rules has no missing"):
        run(CallableRule(callable="own_rules:missing"), base=base)


def test_a_rule_of_ones_own_never_sees_bad_updates(base: Path) -> None:
    updates_PD = UPDATES.copy()
    updates_PD[2, 0] = np.nan
    with pytest.raises(UpdatesError) as caught:
        run(CallableRule(callable="own_rules:vector"), updates_PD, base)
    assert caught.value.inputs == (2,)


def test_examples_must_match_the_updates() -> None:
    with pytest.raises(UpdatesError, match="there are 4 updates, and examples of 3"):
        aggregate(Median(), UPDATES, [1, 2, 3], generator=np.random.default_rng(0))


def test_a_request_gives_the_same_aggregate_wherever_it_runs() -> None:
    stream = learning(7).child("server", 3, "aggregate")
    updates_PD = np.random.default_rng(1).standard_normal((12, 30)).astype(np.float32)
    spec = Median(pre="bucketing")
    request = AggregateUpdates(spec, tuple(updates_PD), (1,) * 12, stream)
    here = request.run(None)
    again = pickle.loads(pickle.dumps(request)).run(None)
    direct = aggregate(spec, updates_PD, [1] * 12, generator=stream.generator())
    np.testing.assert_array_equal(here.update_D, again.update_D)
    np.testing.assert_allclose(here.update_D, direct.update_D, atol=1e-6)
    assert AggregateUpdates.label == "aggregate"


def test_the_tables_read_from_a_file() -> None:
    table = {"rule": "multi_krum", "byzantine": 2, "pre": "nnm", "selected": 4}
    spec = msgspec.convert(table, AggregationSpec)
    assert spec == MultiKrum(byzantine=2, pre="nnm", selected=4)
