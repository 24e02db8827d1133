"""A value is spelled in one way, whatever kind of file and type it comes in; a group is never
missing."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from troth.data import DataSet, load
from troth.data.spec import Column, FileData, Schema
from troth.errors import DataError, ExitCode
from troth.streams import world

STREAM = world(3).child("data")
AGE = Column(name="age", minimum=0, maximum=100)
ROWS = 12


def table_schema(classes: Any, **keys: Any) -> Schema:
    return Schema(columns=[AGE], classes=classes, **keys)


def array_schema(classes: Any, **keys: Any) -> Schema:
    return Schema(shape=[1], classes=classes, **keys)


def csv_text(columns: dict[str, list[Any]]) -> bytes:
    lines = [",".join(columns)]
    lines += [",".join(str(value) for value in row) for row in zip(*columns.values(), strict=True)]
    return ("\n".join(lines) + "\n").encode()


def read(folder: Path, name: str, classes: Any, **keys: Any) -> DataSet:
    make = array_schema if name.endswith(".npz") else table_schema
    spec = FileData(schema=make(classes, **keys), train=name, test_fraction=0.5)
    return load(spec, root=None, base=folder, stream=STREAM)


def write(folder: Path, kind: str, **columns: Any) -> str:
    """A file of the kind with column or array `age`/`x` and these; gives its name."""
    name = f"rows.{kind}"
    if kind == "npz":
        x = np.arange(ROWS, dtype=np.float32).reshape(-1, 1)
        np.savez(folder / name, x=x, **{key: np.asarray(value) for key, value in columns.items()})
    elif kind == "parquet":
        pl.DataFrame({"age": list(range(ROWS)), **columns}).write_parquet(folder / name)
    else:
        content = csv_text({"age": list(range(ROWS)), **columns})
        (folder / name).write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    return name


KINDS = ["csv", "csv.gz", "parquet", "npz"]
ALTERNATING = np.arange(ROWS) % 2
WORDS = np.where(ALTERNATING == 1, "yes", "no")

LABELS: dict[str, tuple[Any, list[Any]]] = {
    "booleans": (ALTERNATING == 1, [["False", "True"], ["false", "true"], ["FALSE", "TRUE"], 2]),
    "floats that are whole": (ALTERNATING.astype(np.float64), [2, [0, 1], ["0", "1"]]),
    "float32 that are whole": (ALTERNATING.astype(np.float32), [2, ["0.0", "1.0"]]),
    "whole numbers": (ALTERNATING.astype(np.int8), [2, ["0", "1"], ["0.0", "1.0"]]),
    "text": (WORDS, [["no", "yes"]]),
    "bytes": (WORDS.astype("S"), [["no", "yes"]]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", LABELS)
def test_labels_have_one_spelling(case: str, kind: str, tmp_path: Path) -> None:
    values, charters = LABELS[case]
    # CSV has no bytes, only text.
    texts = values.astype(str) if kind.startswith("csv") and case == "bytes" else values
    name = write(tmp_path, kind, y=texts if kind == "npz" else list(texts.tolist()))
    for classes in charters:
        data_set = read(tmp_path, name, classes)
        rows_N = (data_set.train.x_NF[:, 0] * (1 if kind == "npz" else 100)).round().astype(int)
        assert data_set.train.y_N.tolist() == [row % 2 for row in rows_N], classes


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_categories_and_numbers_take_booleans_alike(kind: str, tmp_path: Path) -> None:
    flags = (ALTERNATING == 1).tolist()
    name = write(tmp_path, kind, smokes=flags, old=flags, y=list(WORDS.tolist()))
    columns = [
        AGE,
        Column(name="smokes", kind="category", values=["False", "True"]),
        Column(name="old", minimum=0, maximum=1),
    ]
    spec = FileData(schema=Schema(columns=columns, classes=["no", "yes"]), train=name)
    train = load(spec, root=None, base=tmp_path, stream=STREAM).train
    np.testing.assert_array_equal(train.x_NF[:, 2], train.y_N)
    np.testing.assert_array_equal(train.x_NF[:, 3], train.y_N)
    assert set(train.columns["smokes"]) == {"False", "True"}


def test_what_the_charter_spells_exactly_goes_before_what_it_spells_alike(tmp_path: Path) -> None:
    name = write(tmp_path, "csv", y=["1.0", "1", "true"] * 4)
    data_set = read(tmp_path, name, ["1", "1.0", "TRUE", "true"])
    rows_N = (data_set.train.x_NF[:, 0] * 100).round().astype(int)
    assert data_set.train.y_N.tolist() == [(1, 0, 3)[row % 3] for row in rows_N]


DAYS = ["2020-01-02", "2020-01-02", "2020-01-02", "2020-01-03"] * 3
TIMES = [*["2020-01-02 03:04:05"] * 3, "2020-01-02 03:04:05.5"] * 3
ZONED = [*["2020-01-02 03:04:05+00:00"] * 3, "2020-01-02 03:04:05"] * 3
GROUPS: dict[str, dict[str, Any]] = {
    "whole": {
        "csv": ["1.0", "1", " 1 ", "2.0"] * 3,
        "parquet": [1.0, 1.0, 1.0, 2.0] * 3,
        "npz": np.array([1, 1, 1, 2] * 3, dtype=np.float32),
    },
    "whole numbers": {
        "csv": [1, 1, 1, 2] * 3,
        "parquet": [1, 1, 1, 2] * 3,
        "npz": np.array([1, 1, 1, 2] * 3, dtype=">i4"),
    },
    "booleans": {
        "csv": ["True", "TRUE", "true", "False"] * 3,
        "parquet": [True, True, True, False] * 3,
        "npz": np.array([True, True, True, False] * 3),
    },
    "bytes": {
        "csv": ["é", "é", " é", "b"] * 3,
        "parquet": ["é".encode(), "é ".encode(), "é".encode(), b"b"] * 3,
        "npz": np.array([text.encode() for text in ["é", "é ", "é", "b"] * 3]),
    },
    "days": {
        "csv": [f"{day} " for day in DAYS],
        "parquet": pl.Series(DAYS).str.to_date(),
        "npz": np.array(DAYS, "M8[D]"),
    },
    "times": {
        "csv": TIMES,
        "parquet": pl.Series(TIMES).str.to_datetime("%F %T%.f"),
        "npz": np.array(TIMES, "M8[ms]"),
    },
    "times as programs write them": {
        "csv": [*["2020-01-02T03:04:05.000000", "2020-01-02 03:04:05.0"] * 3, *TIMES[-6:]],
        "parquet": pl.Series(TIMES).str.to_datetime("%F %T%.f", time_unit="ns"),
        "npz": np.array(TIMES, ">M8[us]"),
    },
    "midnights": {
        "csv": [
            *DAYS[:4],
            *[f"{day} 00:00:00" for day in DAYS[:4]],
            *[f"{day}T00:00" for day in DAYS[:4]],
        ],
        "parquet": pl.Series(DAYS).str.to_datetime("%F"),
        "npz": np.array(DAYS, "M8[s]"),
    },
    "times with a zone": {
        "csv": [
            "2020-01-02 03:04:05+00:00",
            "2020-01-02T04:04:05.00+0100",
            "2020-01-02 03:04:05Z",
            "2020-01-02 03:04:05",
        ]
        * 3,
        "parquet": pl.Series(ZONED),
        "npz": np.array(ZONED),
    },
    "decimals": {
        "csv": ["7.50", "7.5", "75e-1", "-0.25"] * 3,
        "parquet": [Decimal("7.50"), Decimal("7.50"), Decimal("7.50"), Decimal("-0.25")] * 3,
        "npz": np.array([7.5, 7.5, 7.5, -0.25] * 3, np.float16),
    },
    "decimals that are whole": {
        "csv": ["7.00", "7.", "7e+00", "100000"] * 3,
        "parquet": [Decimal("7.00"), Decimal("7.00"), Decimal("7.00"), Decimal("100000.00")] * 3,
        "npz": np.array([7, 7, 7, 100000] * 3, np.longdouble),
    },
    "a hundred thousand as R writes it": {
        "csv": ["1e+05", "100000", "1E+05", "1e05"] * 3,
        "parquet": ["1e+05", "100000", "1.0e+05", "1e05"] * 3,
        "npz": np.array(["100000.0", "100000", "1e+05", "1e05"] * 3),
    },
    "half floats": {
        "csv": ["0.1", "0.1", "0.1", "7"] * 3,
        "parquet": pl.Series([0.1, 0.1, 0.1, 7.0] * 3, dtype=pl.Float16),
        "npz": np.array([0.1, 0.1, 0.1, 7.0] * 3, np.float16),
    },
    "text with what is not seen": {
        "csv": ["Zo\u00eb", "Zoe\u0308", "\ufeffZoe\u0308\u200b", "b"] * 3,
        "parquet": ["Zo\u00eb\u2060", "Zoe\u0308\u00ad", "\u2800Zo\u00eb", "b"] * 3,
        "npz": np.array(["Zo\u00eb\u2060", "Zoe\u0308\u00ad", "\u2800Zo\u00eb", "b"] * 3),
    },
}


@pytest.mark.parametrize("case", GROUPS)
def test_groups_have_one_spelling(case: str, tmp_path: Path) -> None:
    found = []
    for kind, values in GROUPS[case].items():
        name = write(tmp_path, kind, y=WORDS.tolist(), patient=values)
        data_set = read(tmp_path, name, ["no", "yes"], group="patient")
        groups = {*data_set.train.columns["patient"], *data_set.test.columns["patient"]}
        assert len(groups) == 2
        found.append(groups)
    assert found[0] == found[1] == found[2]


MISSING: dict[str, tuple[str, Any]] = {
    "unquoted": ("csv", ["p1", ""]),
    "quoted": ("csv", ["p1", '""']),
    "blank": ("csv", ["p1", " "]),
    "blank and quoted": ("csv", ["p1", '" \t"']),
    "wide blank": ("csv.gz", ["p1", "\u3000\xa0"]),
    "nan as text": ("csv", ["p1", "nan"]),
    "NaN as text": ("csv", ["1.0", "NaN"]),
    "NaT as text": ("csv", ["2020-01-01", "NaT"]),
    "NA of R": ("csv", ["p1", "NA"]),
    "<NA> of pandas": ("csv", ["p1", "<NA>"]),
    "null": ("parquet", ["p1", None]),
    "empty": ("parquet", ["p1", ""]),
    "blank in parquet": ("parquet", ["p1", "  "]),
    "NaN": ("parquet", [1.0, float("nan")]),
    "float32 NaN": ("parquet", pl.Series([1.0, float("nan")], dtype=pl.Float32)),
    "null date": ("parquet", pl.Series(["2020-01-01", None]).str.to_date()),
    "null boolean": ("parquet", [True, None]),
    "all null": ("parquet", [None, None]),
    "empty category": ("parquet", pl.Series(["p1", ""], dtype=pl.Categorical)),
    "empty bytes": ("parquet", [b"p1", b""]),
    "empty text in npz": ("npz", ["p1", ""]),
    "blank in npz": ("npz", ["p1", " "]),
    "None made text": ("npz", ["p1", "None"]),
    "nan made text": ("npz", ["p1", "nan"]),
    "empty bytes in npz": ("npz", [b"p1", b""]),
    "NaN in npz": ("npz", [1.0, np.nan]),
    "half NaN in npz": ("npz", np.array([1.0, np.nan], np.float16)),
    "NaT in npz": ("npz", np.array(["2020-01-01", "NaT"], "M8[D]")),
    "infinity": ("parquet", [1.0, float("-inf")]),
    "infinity in npz": ("npz", np.array([1.0, np.inf], np.longdouble)),
    "infinity as text": ("csv", ["1.0", "-inf"]),
    "beyond a float": ("npz", np.array([1.0, np.finfo(np.longdouble).max], np.longdouble)),
    "zero-width space": ("csv", ["p1", "\u200b"]),
    "byte order mark": ("parquet", ["p1", "\ufeff"]),
    "braille blank in npz": ("npz", ["p1", "\u2800"]),
    "control character": ("csv", ["p1", "\x1c"]),
    "zero byte": ("parquet", ["p1", "\x00"]),
    "N/A": ("csv", ["p1", "N/A"]),
    "#N/A of a spreadsheet": ("csv", ["p1", "#N/A"]),
    "nothing but a dash": ("csv", ["p1", "-"]),
    "a question mark": ("parquet", ["p1", "?"]),
    "a dot, as SAS writes it": ("npz", ["p1", "."]),
    "-nan of C": ("csv", ["1.0", "-nan"]),
    "unknown": ("csv", ["p1", "Unknown"]),
    "floats that no longer tell apart": ("parquet", [1.0, 2.0**53]),
    "large float in npz": ("npz", [1.0, 1e22]),
    "large float as text": ("csv", ["1.0", "9007199254740992.0"]),
    "large float of R": ("csv", ["1", "1e+18"]),
    "time out of range": ("npz", np.array([1, 2**62], "M8[s]")),
    "NaT of seconds": ("npz", np.array(["2020-01-01", "NaT"], "M8[s]")),
}


@pytest.mark.parametrize("case", MISSING)
def test_a_row_without_a_group_is_refused(case: str, tmp_path: Path) -> None:
    kind, two = MISSING[case]
    order = [0] * 4 + [1] + [0] * 7
    values: Any = [two[place] for place in order]
    if isinstance(two, pl.Series):
        values = two.gather(order)
    elif isinstance(two, np.ndarray):
        values = two[order]
    name = write(tmp_path, kind, y=WORDS.tolist(), patient=values)
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, ["no", "yes"], group="patient")
    row = 1 if case == "all null" else 5
    line = f" (line {row + 1})" if kind.startswith("csv") else ""
    word = "array" if kind == "npz" else "column"
    place = f"{tmp_path / name}: row {row}{line}, {word} patient: "
    assert caught.value.message.startswith(place)
    assert caught.value.exit_code is ExitCode.CHARTER
    assert caught.value.hint


RECORD = np.zeros(ROWS, dtype=[("a", int), ("b", int)])
UNTEXTABLE: dict[str, tuple[str, Any, str]] = {
    "duration": ("parquet", pl.Series(range(ROWS)).cast(pl.Duration("us")), "holds Duration"),
    "list": ("parquet", [["a"]] * ROWS, "holds List(String)"),
    "struct": ("parquet", [{"a": 1}] * ROWS, "holds Struct"),
    "bytes that are no text": ("parquet", [b"a"] * 3 + [b"\xe9"] + [b"b"] * 8, "row 4, "),
    "bytes of latin-1": ("npz", [b"a"] * 3 + [b"\xe9"] + [b"b"] * 8, "row 4, "),
    "half a character": ("npz", ["a"] * 3 + ["\ud800"] + ["b"] * 8, "row 4, "),
    "no character": ("npz", np.full(ROWS, 0x7FFFFFFF, np.int32).view("<U1"), "row 1, "),
    "record": ("npz", RECORD, "holds [('a', '<i8'), ('b', '<i8')]"),
    "void": ("npz", np.zeros(ROWS, dtype="V4"), "holds |V4"),
    "difference of times": ("npz", np.arange(ROWS).astype("m8[s]"), "holds timedelta64[s]"),
    "complex": ("npz", np.arange(ROWS) * 1j, "holds complex128"),
}


@pytest.mark.parametrize(
    ("case", "column"),
    [
        (case, column)
        for case, (kind, _, _) in UNTEXTABLE.items()
        for column in ("patient", "y", "sex")
        if kind != "npz" or column != "sex"  # arrays have no categories
    ],
)
def test_a_column_whose_type_has_no_text_is_refused(case: str, column: str, tmp_path: Path) -> None:
    kind, values, said = UNTEXTABLE[case]
    columns: dict[str, Any] = {"y": WORDS.tolist(), "patient": list("abcd") * 3}
    columns |= {"sex": list("fm") * 6} if kind != "npz" else {}
    name = write(tmp_path, kind, **columns | {column: values})
    schema = array_schema(["no", "yes"], group="patient")
    if kind != "npz":
        sex = Column(name="sex", kind="category", values=["f", "m"])
        schema = Schema(columns=[AGE, sex], classes=["no", "yes"], group="patient")
    spec = FileData(schema=schema, train=name)
    with pytest.raises(DataError) as caught:
        load(spec, root=None, base=tmp_path, stream=STREAM)
    assert caught.value.message.startswith(f"{tmp_path / name}: ")
    word = "array" if kind == "npz" else "column"
    assert f"{word} {column}" in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint
