"""What f, m and bucket size are possible for n."""

from __future__ import annotations

import numpy as np
import pytest

from troth.errors import CharterError, ExitCode
from troth.robustness import (
    UpdatesError,
    aggregate,
    check_aggregation,
    largest_byzantine,
)
from troth.robustness.spec import (
    AggregationSpec,
    Bulyan,
    CallableRule,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    TrimmedMean,
)

CALLABLE = CallableRule(callable="task:rule")


@pytest.mark.parametrize(
    ("spec", "n", "f"),
    [
        (Mean(), 1, 0),
        (Mean(), 100, 0),
        (Median(), 1, 0),
        (Median(), 2, 0),
        (Median(), 3, 1),
        (Median(), 100, 49),
        (TrimmedMean(), 5, 2),
        (GeometricMedian(), 6, 2),
        (CALLABLE, 7, 3),
        (Krum(), 2, None),
        (Krum(), 3, 0),
        (Krum(), 5, 1),
        (Krum(), 100, 48),
        (MultiKrum(), 100, 48),
        (MultiKrum(selected=70), 100, 30),
        (MultiKrum(selected=101), 100, None),
        (Bulyan(), 2, None),
        (Bulyan(), 6, 0),
        (Bulyan(), 7, 1),
        (Bulyan(), 100, 24),
        (Median(pre="bucketing", bucket_size=2), 11, 2),
        (Median(pre="bucketing", bucket_size=3), 11, 1),
        (Krum(pre="bucketing", bucket_size=2), 9, 1),
        (Median(pre="nnm"), 11, 5),
    ],
)
def test_largest_f_and_that_one_more_is_refused(
    spec: AggregationSpec, n: int, f: int | None
) -> None:
    assert largest_byzantine(spec, n) == f
    if isinstance(spec, Mean):
        return
    with_f = [
        type(spec)(**{**as_fields(spec), "byzantine": more}) for more in ((f or 0), (f or 0) + 1)
    ]
    if f is None:
        with pytest.raises(CharterError):
            check_aggregation(spec, n, "protocol.aggregation")
    else:
        check_aggregation(spec, n, "protocol.aggregation")
        check_aggregation(with_f[0], n, "protocol.aggregation")
    with pytest.raises(CharterError):
        check_aggregation(with_f[1], n, "protocol.aggregation")


def as_fields(spec: AggregationSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


@pytest.mark.parametrize(
    ("spec", "n", "message", "hint"),
    [
        (
            MultiKrum(byzantine=4),
            10,
            "protocol.aggregation.byzantine = 4 needs at least 11 parties with rule = "
            '"multi_krum", and there are 10',
            "lower byzantine to at most 3, or have more parties",
        ),
        (
            Bulyan(byzantine=3),
            14,
            'protocol.aggregation.byzantine = 3 needs at least 15 parties with rule = "bulyan", '
            "and there are 14",
            "lower byzantine to at most 2, or have more parties",
        ),
        (
            MultiKrum(byzantine=2, selected=9),
            10,
            "protocol.aggregation.selected = 9 is above 8, the number of parties less "
            "byzantine = 2",
            "lower selected to at most 8, or remove it",
        ),
        (
            MultiKrum(selected=11),
            10,
            "protocol.aggregation.selected = 11 is above 10, the number of parties less "
            "byzantine = 0",
            "lower selected to at most 10, or remove it",
        ),
        (
            Krum(),
            2,
            'protocol.aggregation.rule = "krum" needs at least 3 parties, and there are 2',
            "choose another rule, or have more parties",
        ),
        (
            Bulyan(byzantine=1),
            2,
            'protocol.aggregation.byzantine = 1 needs at least 7 parties with rule = "bulyan", '
            "and there are 2",
            "choose another rule, or have more parties",
        ),
        (
            TrimmedMean(byzantine=3, pre="bucketing"),
            12,
            "protocol.aggregation.byzantine = 3 needs at least 7 buckets with "
            'rule = "trimmed_mean", and there are 6',
            "lower byzantine to at most 2, or have more parties",
        ),
        (
            Median(pre="bucketing", bucket_size=10),
            10,
            "protocol.aggregation.bucket_size = 10 puts all 10 updates into one bucket, "
            "which leaves the plain mean",
            "lower bucket_size, or remove pre",
        ),
    ],
)
def test_the_error_says_key_value_bound_and_what_to_try(
    spec: AggregationSpec, n: int, message: str, hint: str
) -> None:
    with pytest.raises(CharterError) as caught:
        check_aggregation(spec, n, "protocol.aggregation")
    assert (caught.value.message, caught.value.hint) == (message, hint)
    # The same in a round that too few took part in.
    if not isinstance(spec, CallableRule):
        updates_PD = np.ones((n, 3), np.float32)
        with pytest.raises(UpdatesError, match=f"cannot aggregate {n} updates") as failed:
            aggregate(spec, updates_PD, [1] * n, generator=np.random.default_rng(0))
        assert failed.value.exit_code == ExitCode.ROUND_FAILED
