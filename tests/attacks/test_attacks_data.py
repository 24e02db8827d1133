"""Attacks on one's own data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.attacks.data import poison
from troth.attacks.spec import DataAttack, LabelFlip, RandomData
from troth.errors import LocalError

X = np.arange(40, dtype=np.float32).reshape(10, 4) + 2
Y = np.array([0, 1, 2, 1, 7, 9, 1, 3, 0, 7])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_flip_source_to_target_leaves_the_rest() -> None:
    spec = LabelFlip(fraction=0.3, source=1, target=7)
    x_NF, y_N = poison(spec, X, Y, 10, generator())
    assert y_N.tolist() == [0, 7, 2, 7, 7, 9, 7, 3, 0, 7]
    np.testing.assert_array_equal(x_NF, X)
    assert Y[1] == 1


def test_flip_all() -> None:
    _, y_N = poison(LabelFlip(fraction=0.3), X, Y, 10, generator())
    assert y_N.tolist() == [9, 8, 7, 8, 2, 0, 8, 6, 9, 2]
    assert y_N.dtype == Y.dtype


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_flip_all_twice_is_no_flip(classes: int, seed: int) -> None:
    y_N = np.random.default_rng(seed).integers(classes, size=len(X))
    spec = LabelFlip(fraction=0.3)
    _, once_N = poison(spec, X, y_N, classes, generator())
    _, twice_N = poison(spec, X, once_N, classes, generator())
    np.testing.assert_array_equal(twice_N, y_N)
    assert once_N.min() >= 0
    assert once_N.max() < classes


@pytest.mark.parametrize(("portion", "rows"), [(0.0, 0), (0.34, 3), (0.5, 5), (1.0, 10)])
def test_random_data_replaces_its_portion_of_rows(portion: float, rows: int) -> None:
    spec = RandomData(fraction=0.3, portion=portion)
    x_NF, y_N = poison(spec, X, Y, 10, generator())
    changed_N = (x_NF != X).any(axis=1)
    assert changed_N.sum() == rows
    assert ((x_NF[changed_N] >= 0) & (x_NF[changed_N] < 1)).all()
    assert x_NF.dtype == np.float32
    np.testing.assert_array_equal(y_N, Y)
    again_NF, _ = poison(spec, X, Y, 10, generator())
    np.testing.assert_array_equal(again_NF, x_NF)


def test_random_data_suits_regression_and_images() -> None:
    images = np.full((6, 2, 3), 5, np.float32)
    targets = np.linspace(0, 1, 6, dtype=np.float32)
    noisy, kept = poison(RandomData(fraction=1.0), images, targets, None, generator())
    assert noisy.shape == images.shape
    assert len(np.unique(noisy)) == noisy.size
    np.testing.assert_array_equal(kept, targets)
    other, _ = poison(RandomData(fraction=1.0), images, targets, None, generator(1))
    assert not np.array_equal(other, noisy)


@pytest.mark.parametrize(
    ("spec", "classes", "message"),
    [
        (LabelFlip(fraction=0.3), None, "label_flip needs classes, and this task is a regression"),
        (
            LabelFlip(fraction=0.3, source=1, target=10),
            10,
            "label_flip names class 10, and there are 10 classes",
        ),
    ],
)
def test_what_cannot_be_flipped(spec: DataAttack, classes: int | None, message: str) -> None:
    with pytest.raises(LocalError) as caught:
        poison(spec, X, Y, classes, generator())
    assert caught.value.message == message
