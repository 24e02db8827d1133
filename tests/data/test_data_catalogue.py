"""`troth data list|check|fetch`: what is there, whether it is sound, and how it is got."""

from __future__ import annotations

import gzip
import http.client
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets
import synthetic_sets
from synthetic_sets import Install

from troth.data import catalogue, openml
from troth.data.published import adult as adult_set
from troth.data.published import credit as credit_set
from troth.data.published.files import FILES
from troth.data.spec import BUNDLED, PUBLISHED
from troth.errors import DataError, ExitCode, UnreachableError, UsageError, VerificationError


def statuses(root: Path | None) -> dict[str, str]:
    return {entry.name: entry.status for entry in catalogue.list_sets(root)}


def test_without_a_folder_only_bundled_sets_are_present() -> None:
    found = statuses(None)
    assert [name for name, status in found.items() if status == "present"] == list(BUNDLED)
    assert [name for name, status in found.items() if status == "missing"] == list(PUBLISHED)


def test_the_list_says_what_is_present_missing_and_corrupt(install: Install) -> None:
    root = install("mnist")
    install("credit")
    labels = root / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(b"something else"))
    found = statuses(root)
    assert (found["mnist"], found["credit"], found["adult"]) == ("corrupt", "present", "missing")
    problem = {entry.name: entry.problem for entry in catalogue.list_sets(root)}["mnist"]
    assert str(labels) in (problem or "")


def test_check_returns_the_files(install: Install) -> None:
    root = install("adult")
    assert catalogue.check("adult", root) == [root / file.path for file in FILES["adult"]]
    assert catalogue.check("iris", None) == []


def test_check_names_file_expected_and_found(install: Install) -> None:
    root = install("mnist")
    file = FILES["mnist"][1]
    (root / file.path).write_bytes(gzip.compress(b"else"))
    with pytest.raises(VerificationError) as caught:
        catalogue.check("mnist", root)
    found = synthetic_sets.published("svhn", (b"else", b""))[0].content_sha256
    for text in (str(root / file.path), file.content_sha256, found):
        assert text in caught.value.message
    assert caught.value.exit_code is ExitCode.VERIFICATION_FAILED


def test_a_repacked_file_is_still_sound(install: Install) -> None:
    root = install("credit")
    path = root / FILES["credit"][0].path
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=5))
    assert catalogue.check("credit", root) == [path]


@pytest.mark.parametrize("act", [catalogue.check, catalogue.fetch])
def test_unknown_names_and_an_unset_folder(act: object) -> None:
    assert callable(act)
    with pytest.raises(UsageError, match="there is no data set 'mnits'") as caught:
        act("mnits", None)
    assert "mnist" in (caught.value.hint or "")
    with pytest.raises(DataError, match="TROTH_DATA is not set"):
        act("mnist", None)


class OpenML:
    """Stands where the network would: answers `fetch_openml` with a table, or fails."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[int] = []

    def __call__(self, *, data_id: int, **_: object) -> object:
        self.asked.append(data_id)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def bunch(names: list[str], columns: list[list[float] | list[str]]) -> SimpleNamespace:
    """As scikit-learn gives it: numbers, and text as positions in `categories`, `?` as NaN."""
    categories: dict[str, list[str]] = {}
    numbers: list[list[float]] = []
    for name, values in zip(names, columns, strict=True):
        if any(isinstance(value, str) for value in values):
            words = sorted({str(value) for value in values} - {"?"})
            categories[name] = words
            numbers.append([np.nan if v == "?" else words.index(str(v)) for v in values])
        else:
            numbers.append([float(value) for value in values])
    return SimpleNamespace(feature_names=names, data=np.asarray(numbers).T, categories=categories)


def as_numbers(lines: list[list[str]], texts: set[int]) -> list[list[float] | list[str]]:
    return [
        [line[k] for line in lines] if k in texts else [float(line[k]) for line in lines]
        for k in range(len(lines[0]))
    ]


def credit_bunch() -> SimpleNamespace:
    lines = synthetic_sets.credit_default()[0].decode().splitlines()[2:]
    rows = [line.split(",")[1:] for line in lines]
    names = [f"x{number}" for number in range(1, 24)] + ["y"]
    # OpenML declares the label a category.
    return bunch(names, as_numbers(rows, {23}))


def declare(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, ...]:
    contents = synthetic_sets.CONTENTS[name]()
    monkeypatch.setitem(FILES, name, synthetic_sets.published(name, contents))
    return contents


def test_fetch_rebuilds_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (content,) = declare("credit", monkeypatch)
    server = OpenML(credit_bunch())
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", server)
    root = tmp_path / "new"
    written = catalogue.fetch("credit", root)
    assert written == [root / FILES["credit"][0].path]
    assert gzip.decompress(written[0].read_bytes()) == content
    assert catalogue.check("credit", root) == written
    assert [path.name for path in root.rglob("*")] == ["credit_default", written[0].name]
    # What is there and sound is not fetched again.
    assert catalogue.fetch("credit", root) == []
    assert server.asked == [42477]


def test_fetch_replaces_a_corrupt_file(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    root = install("credit")
    path = root / FILES["credit"][0].path
    path.write_bytes(b"torn")
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", OpenML(credit_bunch()))
    assert catalogue.fetch("credit", root) == [path]
    assert catalogue.check("credit", root) == [path]


def test_fetch_writes_nothing_that_was_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare("credit", monkeypatch)
    answer = credit_bunch()
    answer.data[3, 3] += 1
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", OpenML(answer))
    with pytest.raises(VerificationError, match="so nothing was written") as caught:
        catalogue.fetch("credit", tmp_path)
    assert "archive.ics.uci.edu" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        urllib.error.HTTPError(
            "https://www.openml.org", 503, "busy", http.client.HTTPMessage(), None
        ),
        TimeoutError("timed out"),
        http.client.IncompleteRead(b""),
        ValueError("md5 checksum of local file does not match description"),
    ],
)
def test_no_network_is_one_clear_error(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", OpenML(failure))
    with pytest.raises(
        UnreachableError, match="mnist: OpenML does not give data set 554"
    ) as caught:
        catalogue.fetch("mnist", tmp_path)
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert "internet access" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_full_or_closed_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", OpenML(credit_bunch()))
    with pytest.raises(DataError, match="cannot be written to"):
        catalogue.fetch("credit", tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "where"), [("us-census", "census.gov"), ("svhn", "ufldl.stanford.edu")]
)
def test_what_openml_does_not_have_says_who_does(name: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched from OpenML") as caught:
        catalogue.fetch(name, tmp_path)
    assert where in (caught.value.hint or "")
    assert FILES[name][0].path in (caught.value.hint or "")


def test_bundled_sets_need_no_fetching() -> None:
    assert catalogue.fetch("digits", None) == []


def test_mnist_is_rebuilt() -> None:
    contents = synthetic_sets.mnist()
    pixels = np.concatenate(
        [np.frombuffer(contents[k][16:], np.uint8).reshape(-1, 784) for k in (0, 2)]
    )
    digits = b"".join(contents[k][8:] for k in (1, 3))
    columns: list[list[float] | list[str]] = [column.tolist() for column in pixels.T.astype(float)]
    names = [f"pixel{number}" for number in range(1, 785)] + ["class"]
    table = openml.table_of(bunch(names, [*columns, [str(digit) for digit in digits]]))
    assert list(openml.mnist(table, train_rows=30)) == [contents]


def test_adult_is_rebuilt_whichever_part_comes_first() -> None:
    contents = synthetic_sets.adult()
    train = [line.split(", ") for line in contents[0].decode().splitlines() if line]
    test = [line.rstrip(".").split(", ") for line in contents[1].decode().splitlines()[1:] if line]
    texts = {1, 3, 5, 6, 7, 8, 9, 13, 14}
    for rows in (train + test, test + train):
        table = openml.table_of(bunch(list(adult_set.NAMES), as_numbers(rows, texts)))
        assert contents in list(openml.adult_income(table, test_rows=12))


def test_hospital_is_rebuilt() -> None:
    contents = synthetic_sets.hospital()
    header, *lines = [line.split(",") for line in contents[0].decode().splitlines()]
    texts = {
        k for k in range(len(header)) if any(not line[k].lstrip("-").isdigit() for line in lines)
    }
    table = openml.table_of(bunch(header, as_numbers(lines, texts)))
    assert list(openml.diabetes130(table)) == [contents]


def test_credit_takes_the_last_columns_only() -> None:
    contents = synthetic_sets.credit_default()
    rows = [line.split(",") for line in contents[0].decode().splitlines()[2:]]
    names = ["id", *(column.name for column in credit_set.COLUMNS), "y"]
    table = openml.table_of(bunch(names, as_numbers(rows, set())))
    assert list(openml.credit_default(table)) == [contents]
