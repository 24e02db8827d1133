"""Published and bundled sets: small ones in the same formats, and the real ones where present."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import synthetic_sets
from synthetic_sets import Install

from troth.data import DataSet, load
from troth.data.catalogue import list_sets
from troth.data.conformance import check_data_set
from troth.data.known import KNOWN
from troth.data.published import hospital, mnist, svhn
from troth.data.spec import BUNDLED, PUBLISHED, NamedData
from troth.errors import CharterError, DataError, ExitCode, VerificationError
from troth.streams import Stream, world

STREAM = world(0).child("data")


def real_root() -> Path | None:
    """The folder with the real sets: TROTH_DATA, or the one beside the project."""
    if "TROTH_DATA" in os.environ:
        return Path(os.environ["TROTH_DATA"])
    beside = Path(__file__).parents[3] / "shared" / "data"
    return beside if beside.is_dir() else None


REAL = [entry.name for entry in list_sets(real_root()) if entry.status == "present"]
"""Never empty: the bundled sets are always there."""


def named(name: str, root: Path | None, **keys: int) -> DataSet:
    spec = NamedData(name=name, **keys)  # type: ignore[arg-type]  # a literal, from the same table
    return load(spec, root=root, base=Path(), stream=STREAM)


@pytest.mark.parametrize("name", REAL)
def test_a_set_is_what_the_catalogue_says(name: str) -> None:
    data_set = named(name, real_root())
    check_data_set(data_set)
    known = KNOWN[name]
    assert data_set.name == name
    assert data_set.task == known.kind
    assert (len(data_set.train), len(data_set.test)) == (known.train_rows, known.test_rows)
    assert data_set.features == known.shape
    assert data_set.train.x_NF.shape[1] == known.features
    assert (len(data_set.classes) or None) == known.classes
    assert data_set.notes
    # Ranges are stated in code: if one did not hold, features would leave [0, 1].
    for part in (data_set.train, data_set.test):
        assert part.x_NF.min() >= 0.0
        assert part.x_NF.max() <= 1.0


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_small_set_in_the_same_format_loads(name: str, install: Install) -> None:
    data_set = named(name, install(name))
    check_data_set(data_set)
    known = KNOWN[name]
    assert (data_set.name, data_set.task) == (name, known.kind)
    assert data_set.features == known.shape
    assert data_set.train.x_NF.shape[1] == known.features
    assert (len(data_set.classes) or None) == known.classes
    assert data_set.train.x_NF.min() >= 0.0
    assert data_set.train.x_NF.max() <= 1.0


def test_every_known_set_has_a_spec_name() -> None:
    assert tuple(KNOWN) == BUNDLED + PUBLISHED


def test_mnist_pixels_and_labels(install: Install) -> None:
    data_set = named("mnist", install("mnist"))
    assert data_set.features == (1, 28, 28)
    assert (len(data_set.train), len(data_set.test)) == (30, 20)
    assert data_set.train.y_N.tolist() == [row % 10 for row in range(30)]
    assert data_set.train.x_NF[3, 0] == 1.0
    assert data_set.train.x_NF[3, 783] == np.float32(75) / np.float32(255)


def test_svhn_channels_come_first_and_ten_is_zero(install: Install) -> None:
    data_set = named("svhn", install("svhn"))
    assert data_set.features == (3, 32, 32)
    assert data_set.train.y_N.tolist() == [(row % 10 + 1) % 10 for row in range(15)]
    assert data_set.train.x_NF.reshape(-1, 3, 32, 32)[4, 2, 0, 1] == np.float32(5) / np.float32(255)


def test_credit_leaves_out_the_label_and_the_id(install: Install) -> None:
    data_set = named("credit", install("credit"))
    assert (len(data_set.train), len(data_set.test)) == (28, 12)
    for x_N in data_set.train.x_NF.T:
        correlation = np.corrcoef(x_N, data_set.train.y_N)[0, 1]
        # SEX follows the label in the made-up rows; nothing else may.
        assert abs(correlation) < 0.999 or np.array_equal(x_N, data_set.train.columns["SEX"] - 1)
    row = data_set.train.x_NF[0]
    assert row[0] == pytest.approx((20_000 + 1_000 * (row[4] * 82 + 18 - 21)) / 1_000_000, rel=1e-4)


def test_adult_reads_both_files_alike(install: Install) -> None:
    data_set = named("adult", install("adult"))
    assert (len(data_set.train), len(data_set.test)) == (30, 12)
    assert data_set.test.y_N.tolist() == [int(row % 3 == 0) for row in range(12)]
    np.testing.assert_array_equal(data_set.train.x_NF[:12], data_set.test.x_NF)
    assert data_set.train.columns["native-country"].tolist()[:3] == list(synthetic_sets.COUNTRIES)
    # Each of the seven categories puts a single one beside the five numbers.
    assert (data_set.train.x_NF[:, 5:].sum(axis=1) == 7).all()


def test_hospital_keeps_patients_whole_and_the_dead_out(install: Install) -> None:
    data_set = named("hospital", install("hospital"))
    assert len(data_set.train) + len(data_set.test) == 45
    assert data_set.train.group_N is not None
    assert data_set.test.group_N is not None
    assert not set(data_set.train.group_N) & set(data_set.test.group_N)
    labels = np.concatenate([data_set.train.y_N, data_set.test.y_N])
    kept = [row for row in range(60) if row % 4 != 2]
    assert labels.sum() == sum(row % 3 == 1 for row in kept)


def test_hospital_groups_diagnoses(install: Install) -> None:
    data_set = named("hospital", install("hospital"))
    first = 6 + 3 + 1 + 8 + 4 + 3 + 1 + 7 + 6  # features before diag_1
    share_10 = data_set.train.x_NF[:, first : first + 10]
    assert (share_10.sum(axis=1) == 1).all()
    found = {hospital._DIAGNOSES[index] for index in share_10.argmax(axis=1)}
    assert found == {"diabetes", "circulatory", "respiratory", "other", "?"}


def test_us_census_keeps_workers_and_takes_logarithms(install: Install) -> None:
    data_set = named("us-census", install("us-census"))
    assert len(data_set.train) + len(data_set.test) == 40
    y = np.sort(np.concatenate([data_set.train.y_N, data_set.test.y_N]))
    assert y[0] == pytest.approx(np.log(20_101) / np.log(1_200_000), rel=1e-6)
    assert set(data_set.train.columns["ST"]) == {"10", "56"}
    assert any("substitute" in note for note in data_set.notes)


def test_rows_are_drawn_by_the_stream(install: Install) -> None:
    root = install("mnist")
    spec = NamedData(name="mnist", rows=7, test_rows=5)

    def draw(seed: int) -> DataSet:
        return load(spec, root=root, base=Path(), stream=Stream(seed))

    assert (len(draw(0).train), len(draw(0).test)) == (7, 5)
    assert draw(0).train.y_N.tolist() == draw(0).train.y_N.tolist()
    assert len({tuple(draw(seed).train.y_N.tolist()) for seed in range(5)}) > 1
    assert "7 of 30 training and 5 of 20 test rows" in draw(0).notes[-1]
    every = load(NamedData(name="mnist", rows=30), root=root, base=Path(), stream=Stream(0))
    assert every.train.y_N.tolist() == named("mnist", root).train.y_N.tolist()


@pytest.mark.parametrize("key", ["rows", "test_rows"])
def test_more_rows_than_there_are_is_refused(key: str) -> None:
    with pytest.raises(CharterError, match=f"task.data.{key} = 1000 is above the") as caught:
        named("iris", None, **{key: 1000})
    assert caught.value.key == f"task.data.{key}"


def test_the_split_does_not_depend_on_the_seed() -> None:
    spec = NamedData(name="iris")
    one, two = (load(spec, root=None, base=Path(), stream=Stream(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(one.train.x_NF, two.train.x_NF)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_missing_set_names_file_setting_and_cure(name: str, tmp_path: Path) -> None:
    for root, setting in ((None, "TROTH_DATA is not set"), (tmp_path, f"TROTH_DATA = {tmp_path}")):
        with pytest.raises(DataError) as caught:
            named(name, root)
        assert setting in caught.value.message
        assert caught.value.exit_code is ExitCode.CHARTER
        hint = caught.value.hint or ""
        where = {"svhn": "ufldl.stanford.edu", "us-census": "census.gov"}
        assert where.get(name, f"troth data fetch {name}") in hint


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "unpacked"])
def test_a_damaged_file_is_not_used(damage: str, install: Install) -> None:
    path = install("credit") / "credit_default" / "default_of_credit_card_clients.csv.gz"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "grow":
        data += bytes(data)
    else:
        data = bytearray(b"ID,a\n1,2\n")
    path.write_bytes(data)
    with pytest.raises(VerificationError, match="SHA-256 is") as caught:
        named("credit", path.parents[1])
    assert str(path) in caught.value.message
    assert "expected" in caught.value.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: (b"", *files[1:]), "0 bytes are too few"),
        (lambda files: (files[0][:-1], *files[1:]), "its header says 30 items"),
        (lambda files: (files[1], *files[1:]), "magic 2049"),
        (lambda files: (files[2], *files[1:]), "20 images but 30 labels"),
        (lambda files: (files[0], files[1][:-1] + b"\x0a", *files[2:]), "label 10 is above 9"),
        # A header may claim anything; nothing is allocated for it.
        (lambda files: (files[0][:4] + b"\xff" * 4 + files[0][8:], *files[1:]), "4294967295 items"),
    ],
)
def test_idx_files_are_bounded_and_checked(change: object, said: str) -> None:
    assert callable(change)
    with pytest.raises(DataError, match=said):
        mnist.read(*change(synthetic_sets.mnist()))


def test_svhn_content_is_checked() -> None:
    good, _ = synthetic_sets.svhn()
    for bad in (b"", b"not a mat file" * 50, good[:300]):
        with pytest.raises(DataError, match="is not a MAT file") as caught:
            svhn.read(bad, good)
        assert "ufldl.stanford.edu" in (caught.value.hint or "")
