"""Rebuilds published files from what OpenML serves.

OpenML keeps the same rows in its own format. Each function writes them down again as the original
authors did; whether that gives the published bytes is for the caller to check, by their hash.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from troth.data.published import credit

Contents: TypeAlias = tuple[bytes, ...]
"""Unpacked files, in the order of `troth.data.published.files.FILES`."""


@dataclass(frozen=True, eq=False)
class OpenMLTable:
    """A data set as OpenML has it: R rows, K columns."""

    names: list[str]
    values_RK: npt.NDArray[np.float64]
    """Numbers; positions in `categories` for the columns named there; NaN where missing."""
    categories: Mapping[str, list[str]]

    def texts(self, column: int) -> list[str]:
        """One column as text; missing is `?`."""
        values_R = self.values_RK[:, column]
        words = self.categories.get(self.names[column])
        if words is None:
            return ["?" if v != v else str(int(v)) if v == int(v) else repr(v) for v in values_R]
        return ["?" if v != v else words[int(v)] for v in values_R]

    def lines(self, separator: str, first: int = 0) -> list[str]:
        """The rows as text, from column `first` on."""
        columns = [self.texts(column) for column in range(first, len(self.names))]
        return [separator.join(fields) for fields in zip(*columns, strict=True)]


def mnist(table: OpenMLTable, *, train_rows: int = 60_000) -> Iterator[Contents]:
    """IDX files from `mnist_784`: 784 pixels and the class, training rows first."""
    pixels = table.values_RK[:, :-1].astype(np.uint8)
    digits = np.asarray([int(digit) for digit in table.texts(len(table.names) - 1)], dtype=np.uint8)
    files: list[bytes] = []
    for part in (slice(None, train_rows), slice(train_rows, None)):
        rows = len(digits[part])
        files.append(struct.pack(">4I", 0x0803, rows, 28, 28) + pixels[part].tobytes())
        files.append(struct.pack(">2I", 0x0801, rows) + digits[part].tobytes())
    yield tuple(files)


def credit_default(table: OpenMLTable) -> Iterator[Contents]:
    """The CSV export of the sheet: two header rows, and an ID that OpenML leaves out."""
    names = [column.name for column in credit.COLUMNS]
    lines = [
        "," + ",".join(f"X{number}" for number in range(1, len(names) + 1)) + ",Y",
        ",".join(["ID", *names, credit.TARGET]),
    ]
    first = len(table.names) - len(names) - 1
    rows = table.lines(",", first=max(first, 0))
    lines += [f"{number},{row}" for number, row in enumerate(rows, start=1)]
    yield (("\n".join(lines) + "\n").encode(),)


def adult_income(table: OpenMLTable, *, test_rows: int = 16_281) -> Iterator[Contents]:
    """`adult.data` and `adult.test`, which OpenML holds in one table, the test rows first."""
    lines = table.lines(", ")
    for test, train in (
        (lines[:test_rows], lines[test_rows:]),
        (lines[len(lines) - test_rows :], lines[: len(lines) - test_rows]),
    ):
        data = "\n".join(train) + "\n\n"
        tested = "|1x3 Cross validator\n" + "".join(f"{line}.\n" for line in test) + "\n"
        yield data.encode(), tested.encode()


def diabetes130(table: OpenMLTable) -> Iterator[Contents]:
    """`diabetic_data.csv`, with the line ends of the original."""
    yield (("\r\n".join([",".join(table.names), *table.lines(",")]) + "\r\n").encode(),)


@dataclass(frozen=True)
class Rebuild:
    """Where OpenML has a data set, and how its files are made of it."""

    data_id: int
    candidates: Callable[[OpenMLTable], Iterator[Contents]]


REBUILDS: dict[str, Rebuild] = {
    "mnist": Rebuild(554, mnist),
    "credit": Rebuild(42477, credit_default),
    "adult": Rebuild(1590, adult_income),
    "hospital": Rebuild(4541, diabetes130),
}


def table_of(bunch: Any) -> OpenMLTable:  # scikit-learn's Bunch is an untyped dictionary
    """What `sklearn.datasets.fetch_openml(..., as_frame=False, target_column=None)` returned."""
    return OpenMLTable(
        names=list(bunch.feature_names),
        values_RK=np.asarray(bunch.data, dtype=np.float64),
        categories={name: list(values) for name, values in (bunch.categories or {}).items()},
    )
