"""Every built-in rule passes the suite that third parties run, and bad rules fail it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troth.robustness import Aggregate, UpdatesError, aggregate, largest_byzantine
from troth.robustness.conformance import ConformanceError, Rule, check_rule
from troth.robustness.spec import (
    AggregationSpec,
    Bulyan,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    TrimmedMean,
)
from troth.wire import Float32s

RULES: list[tuple[AggregationSpec, int]] = [
    (Mean(), 6),
    (Mean(weighted=False), 1),
    (Median(), 7),
    (Median(), 8),
    (TrimmedMean(), 9),
    (TrimmedMean(byzantine=1), 8),
    (Krum(), 9),
    (Krum(byzantine=1), 12),
    (MultiKrum(), 11),
    (MultiKrum(byzantine=2, selected=3), 11),
    (Bulyan(), 15),
    (GeometricMedian(), 9),
    (GeometricMedian(), 10),
    (Median(pre="nnm"), 9),
    (TrimmedMean(pre="nnm"), 9),
    (MultiKrum(pre="nnm"), 11),
    (GeometricMedian(pre="nnm"), 9),
    (Median(pre="bucketing"), 11),
    (TrimmedMean(pre="bucketing", bucket_size=3), 20),
    (MultiKrum(pre="bucketing"), 14),
    (GeometricMedian(pre="bucketing"), 11),
]


def name(case: object) -> str:
    return str(case) if isinstance(case, int) else repr(case).replace(" ", "")


def bound(spec: AggregationSpec, n: int) -> Rule:
    def rule(updates_PD: Float32s) -> Aggregate:
        generator = np.random.default_rng(3)
        return aggregate(spec, updates_PD, [10] * n, generator=generator)

    return rule


@pytest.mark.parametrize(("spec", "n"), RULES, ids=name)
class TestEveryRule:
    def test_conforms(self, spec: AggregationSpec, n: int) -> None:
        f = getattr(spec, "byzantine", None) or largest_byzantine(spec, n)
        assert f is not None
        symmetric = getattr(spec, "pre", "none") != "bucketing"
        check_rule(bound(spec, n), tolerates=f, n=n, symmetric=symmetric)

    def test_a_sequence_of_updates_is_as_good_as_an_array(
        self, spec: AggregationSpec, n: int
    ) -> None:
        updates_PD = np.random.default_rng(n).standard_normal((n, 9001), dtype=np.float32)
        listed = [update_D.copy() for update_D in updates_PD]
        from_array = aggregate(spec, updates_PD, range(1, n + 1), generator=fresh())
        from_list = aggregate(spec, listed, range(1, n + 1), generator=fresh())
        np.testing.assert_allclose(from_list.update_D, from_array.update_D, atol=1e-6)
        if from_array.share_P is not None:
            np.testing.assert_allclose(from_list.share_P, from_array.share_P, atol=1e-6)

    def test_shares_say_what_was_combined(self, spec: AggregationSpec, n: int) -> None:
        updates_PD = np.random.default_rng(n).standard_normal((n, 40), dtype=np.float32)
        result = aggregate(spec, updates_PD, range(1, n + 1), generator=fresh())
        if isinstance(spec, Median | TrimmedMean | Bulyan):
            assert result.share_P is None
        else:
            assert result.share_P is not None
            np.testing.assert_allclose(result.share_P.sum(), 1, atol=1e-6)
            np.testing.assert_allclose(result.share_P @ updates_PD, result.update_D, atol=1e-5)

    def test_survives_the_largest_and_the_smallest_numbers(
        self, spec: AggregationSpec, n: int
    ) -> None:
        largest = np.finfo(np.float32).max
        for value in (largest, -largest, np.float32(1e-35)):
            updates_PD = np.full((n, 3), value)
            result = aggregate(spec, updates_PD, [1] * n, generator=fresh())
            np.testing.assert_allclose(result.update_D, updates_PD[0], rtol=1e-6)
        signs_PD = np.where(np.arange(n)[:, np.newaxis] % 2 == 0, largest, -largest)
        mixed_PD = np.repeat(signs_PD, 3, axis=1).astype(np.float32)
        result = aggregate(spec, mixed_PD, [1] * n, generator=fresh())
        assert np.isfinite(result.update_D).all()


def fresh() -> np.random.Generator:
    return np.random.default_rng(5)


def test_bulyan_conforms_but_for_ties_when_it_is_down_to_one_neighbour() -> None:
    # With f = 2 its last call of Krum looks at one neighbour, so two nearest to each other tie.
    check_rule(bound(Bulyan(), 11), tolerates=2, n=11, symmetric=False)


def refused() -> Iterator[Any]:
    path = Path(__file__).parent / "vectors" / "refused.json"
    for vector in json.loads(path.read_text())["vectors"]:
        updates = [np.array(row, dtype=float).astype(vector["dtype"]) for row in vector["updates"]]
        yield pytest.param(updates, tuple(vector["inputs"]), id=vector["name"])


@pytest.mark.parametrize(("updates", "positions"), list(refused()))
@pytest.mark.parametrize(
    "spec",
    [
        Mean(),
        Median(),
        TrimmedMean(),
        Krum(),
        MultiKrum(),
        Bulyan(),
        GeometricMedian(),
        Median(pre="nnm"),
        Median(pre="bucketing"),
    ],
    ids=name,
)
def test_every_rule_refuses_bad_updates_and_names_them(
    spec: AggregationSpec, updates: list[Float32s], positions: tuple[int, ...]
) -> None:
    with pytest.raises(UpdatesError) as caught:
        aggregate(spec, updates, [1] * len(updates), generator=fresh())
    assert caught.value.inputs == positions
    if len({len(update_D) for update_D in updates}) == 1:
        with pytest.raises(UpdatesError) as caught:
            aggregate(spec, np.array(updates), [1] * len(updates), generator=fresh())
        assert caught.value.inputs == positions


def plain_mean(updates_PD: Float32s) -> Aggregate:
    return Aggregate(updates_PD.mean(axis=0))


def changes_inputs(updates_PD: Float32s) -> Aggregate:
    updates_PD.sort(axis=0)
    return Aggregate(updates_PD[len(updates_PD) // 2].copy())


def drifting() -> Rule:
    generator = np.random.default_rng(0)

    def rule(updates_PD: Float32s) -> Aggregate:
        return Aggregate(updates_PD[generator.integers(len(updates_PD))])

    return rule


def clipped(updates_PD: Float32s) -> Aggregate:
    return Aggregate(np.clip(np.median(updates_PD, axis=0), -1, 1).astype(np.float32))


BAD: list[tuple[Callable[[Float32s], object], str]] = [
    (plain_mean, "is moved without bound by 2 inputs"),
    (changes_inputs, "changes its inputs"),
    (drifting(), "is not deterministic"),
    (clipped, "does not translate"),
    (lambda x_PD: Aggregate(x_PD[0]), "is not symmetric"),
    (lambda x_PD: Aggregate(0 * x_PD[0]), "changes an update that all inputs agree on"),
    (lambda x_PD: Aggregate(np.sqrt((x_PD**2).mean(0)) * np.sign(x_PD.sum(0))), "not translate"),
    (lambda x_PD: x_PD[0], "returned a ndarray"),
    (lambda x_PD: Aggregate(x_PD[0].astype(np.float64)), "update_D as float64, not float32"),
    (lambda x_PD: Aggregate(x_PD[0, :0]), "update_D of shape (0,) instead of (1,)"),
    (lambda x_PD: Aggregate(x_PD[0] * np.float32("nan")), "update_D with NaN"),
    (lambda x_PD: Aggregate(x_PD[0], x_PD[:, 0]), "share_P with sum"),
    (lambda x_PD: Aggregate(x_PD[0], np.ones(1, np.float32)), "share_P of shape (1,)"),
]


@pytest.mark.parametrize(("rule", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_the_suite_fails_a_bad_rule(rule: Rule, problem: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_rule(rule, tolerates=2, n=7)
    assert problem in caught.value.message


def test_the_suite_fails_a_rule_with_a_length_of_its_own_unless_told() -> None:
    def rounded(updates_PD: Float32s) -> Aggregate:
        middle_D = np.median(updates_PD, axis=0)
        return Aggregate((np.round(middle_D * 1e4) / 1e4).astype(np.float32))

    with pytest.raises(ConformanceError, match="does not scale"):
        check_rule(rounded, tolerates=2, n=7)
    check_rule(rounded, tolerates=2, n=7, scales=False)


@pytest.mark.parametrize("tolerates", [-1, 7])
def test_the_suite_refuses_a_claim_that_makes_no_sense(tolerates: int) -> None:
    with pytest.raises(ConformanceError, match=r"is not in 0 \.\. 6"):
        check_rule(plain_mean, tolerates=tolerates, n=7)
