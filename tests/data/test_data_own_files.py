"""A party's own files: what fits is read, what does not is refused with file, row and column."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from troth.data import DataSet, load, sources
from troth.data.conformance import check_data_set
from troth.data.own_files import load_files
from troth.data.spec import CallableData, Column, FileData, Schema
from troth.errors import CharterError, DataError, ExitCode, LocalError
from troth.streams import Stream, world

STREAM = world(3).child("data")
COLUMNS = [
    Column(name="age", minimum=0, maximum=100),
    Column(name="sex", kind="category", values=["f", "m"]),
]
SCHEMA = Schema(columns=COLUMNS, target="ill", classes=["no", "yes"])
CSV = "age,sex,ill,note\n" + "".join(
    f"{20 + row},{'fm'[row % 2]},{('no', 'yes')[row % 2]},x\n" for row in range(10)
)
IMAGES = Schema(shape=[2, 3], classes=3)


def read(folder: Path, name: str, schema: Schema = SCHEMA, **keys: object) -> DataSet:
    spec = FileData(schema=schema, train=name, **keys)  # type: ignore[arg-type]  # per test
    schema.check()
    data_set = load(spec, root=None, base=folder, stream=STREAM)
    check_data_set(data_set)
    return data_set


def test_csv_is_scaled_and_one_hot(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "more.csv").write_text("sex,ill,age\nm,yes,100\n")
    data_set = read(tmp_path, "rows.csv", test="more.csv")
    assert (data_set.name, data_set.task, data_set.features) == ("rows", "classification", (3,))
    assert data_set.classes == ("no", "yes")
    np.testing.assert_allclose(data_set.train.x_NF[1], [0.21, 0, 1], rtol=1e-6)
    assert data_set.train.y_N.tolist() == [0, 1] * 5
    np.testing.assert_allclose(data_set.test.x_NF, [[1, 0, 1]])
    assert data_set.train.columns["sex"].tolist() == ["f", "m"] * 5


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_every_kind_of_table_gives_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_text(CSV)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(CSV.encode()))
    elif name.endswith(".parquet"):
        pl.read_csv(io.BytesIO(CSV.encode())).write_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(
            b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode() + b"\r\n"
        )
    expected, found = read(tmp_path, "plain.csv"), read(tmp_path, name)
    np.testing.assert_array_equal(expected.train.x_NF, found.train.x_NF)
    np.testing.assert_array_equal(expected.test.y_N, found.test.y_N)


def test_npz_is_used_as_it_is(tmp_path: Path) -> None:
    x = np.arange(60, dtype=np.float32).reshape(10, 2, 3)
    np.savez_compressed(tmp_path / "rows.npz", x=x, y=np.arange(10) % 3)
    data_set = read(tmp_path, "rows.npz", IMAGES)
    assert data_set.features == (2, 3)
    assert data_set.classes == ("0", "1", "2")
    assert (len(data_set.train), len(data_set.test)) == (8, 2)
    first_N = data_set.train.x_NF[:, 0]
    assert data_set.train.y_N.tolist() == [int(value / 6) % 3 for value in first_N]


def test_regression_targets_are_divided_by_their_range(tmp_path: Path) -> None:
    schema = Schema(columns=COLUMNS[:1], target="pay", target_minimum=-50, target_maximum=200)
    (tmp_path / "rows.csv").write_text("age,pay\n" + "".join(f"1,{p}\n" for p in range(0, 100, 10)))
    data_set = read(tmp_path, "rows.csv", schema)
    assert data_set.task == "regression"
    together = np.sort(np.concatenate([data_set.train.y_N, data_set.test.y_N]))
    np.testing.assert_allclose(together, np.arange(0, 100, 10) / 200, rtol=1e-6)
    assert any("divided by 200" in note for note in data_set.notes)


def test_one_file_per_party_is_kept_apart(tmp_path: Path) -> None:
    for name, age in (("a.csv", 1), ("b.csv", 2)):
        (tmp_path / name).write_text("age,sex,ill\n" + f"{age},f,no\n" * 10)
    spec = FileData(schema=SCHEMA, train=["a.csv", "b.csv"], test_fraction=0.3)
    data_set = load(spec, root=None, base=tmp_path, stream=STREAM)
    assert data_set.given is not None
    assert [len(rows) for rows in data_set.given] == [7, 7]
    for rows, scaled in zip(data_set.given, (0.01, 0.02), strict=True):
        np.testing.assert_allclose(data_set.train.x_NF[rows, 0], scaled)
    assert len(data_set.test) == 6


def test_groups_stay_on_one_side_across_files(tmp_path: Path) -> None:
    schema = Schema(columns=COLUMNS[:1], target="ill", classes=["no", "yes"], group="who")
    for name in ("a.csv", "b.csv"):
        rows = "".join(f"{row},no,patient-{row % 5}\n" for row in range(20))
        (tmp_path / name).write_text("age,ill,who\n" + rows)
    spec = FileData(schema=schema, train=["a.csv", "b.csv"])
    data_set = load(spec, root=None, base=tmp_path, stream=STREAM)
    check_data_set(data_set)
    assert data_set.train.group_N is not None
    assert len(np.unique(data_set.train.group_N)) == 4
    spec = FileData(schema=schema, train="a.csv", test="b.csv")
    with pytest.raises(DataError, match="row 1: its group is among the training rows"):
        load(spec, root=None, base=tmp_path, stream=STREAM)


def test_what_is_held_out_depends_on_the_seed_only(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,sex,ill\n" + "".join(f"{a},f,no\n" for a in range(40)))
    spec = FileData(schema=SCHEMA, train="rows.csv")
    tests = [
        load_files(spec, base=tmp_path, stream=Stream(seed)).test.x_NF[:, 0].tolist()
        for seed in (1, 1, 2)
    ]
    assert tests[0] == tests[1] != tests[2]


BAD_TABLES: dict[str, tuple[str, str]] = {
    "empty": ("", "is empty"),
    "header only": ("age,sex,ill\n", "has no rows"),
    "missing column": ("age,ill\n1,no\n", "has no column 'sex'"),
    "column twice": ("age,age,sex,ill\n1,1,f,no\n", "more than one column 'age'"),
    "not a number": (
        "age,sex,ill\n1,f,no\nold,f,no\n",
        "row 2 (line 3), column age: 'old' is not a number",
    ),
    "no number": ("age,sex,ill\n,f,no\n", "row 1 (line 2), column age: has no value"),
    "nan": ("age,sex,ill\nnan,f,no\n", "column age: nan is not a finite number"),
    "infinite": ("age,sex,ill\n1,f,no\n-inf,f,no\n", "row 2 (line 3), column age: -inf is not"),
    "overflow": ("age,sex,ill\n1e999,f,no\n", "row 1 (line 2), column age"),
    "above": ("age,sex,ill\n101,f,no\n", "column age: 101 is above maximum = 100"),
    "below": ("age,sex,ill\n-1,f,no\n", "column age: -1 is below minimum = 0"),
    "unknown category": (
        "age,sex,ill\n1,x,no\n",
        "row 1 (line 2), column sex: 'x' is not one of its values",
    ),
    "no category": ("age,sex,ill\n1,,no\n", "column sex: has no value"),
    "label": ("age,sex,ill\n1,f,maybe\n", "column ill: 'maybe' is not one of its values"),
    "short row": ("age,sex,ill\n1,f,no\n2,f\n", "row 2 (line 3), column ill: has no value"),
    "long row": ("age,sex,ill\n1,f,no\n2,f,no,1\n", "row 2 (line 3): has 4 values"),
    "blank line": ("age,sex,ill\n1,f,no\n\n2,f,no\n", "row 2 (line 3), column age: has no value"),
    "quoted line break": (
        'age,sex,ill,note\n1,f,no,"a\nb"\n2,f,what,c\n',
        "row 2 (line 4), column ill: 'what'",
    ),
    "open quote": ('age,sex,ill\n1,"f,no\n', "rows.csv: "),
    "one row": ("age,sex,ill\n1,f,no\n", "1 rows leave none to test on"),
    "binary": ("\x00\x01\x02\x03", "has no column 'age'"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_csv_is_refused(case: str, tmp_path: Path) -> None:
    text, said = BAD_TABLES[case]
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "rows.csv")
    assert said in caught.value.message
    assert str(tmp_path / "rows.csv") in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.CHARTER


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"age,sex,ill\n1,f,no\n1,\xff,no\n")
    with pytest.raises(DataError, match="line 3: is not UTF-8 text"):
        read(tmp_path, "rows.csv")


@settings(max_examples=80, deadline=None)
@given(text=st.text(alphabet='ageslxfminoy019.,-"\n\r\x00é', max_size=80))
def test_any_csv_gives_rows_or_an_error_of_ours(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "rows.csv").write_bytes(b"age,sex,ill\n1,f,no\n2,m,yes\n3,f,no\n" + text.encode())
    try:
        data_set = read(folder, "rows.csv")
    except DataError as error:
        refused = str(folder / "rows.csv") in error.message
    else:
        refused = len(data_set.train) + len(data_set.test) < 3
        assert not refused
        return
    assert refused


BAD_FRAMES = {
    "null": (
        pl.DataFrame({"age": [1, None], "sex": ["f", "f"], "ill": ["no", "no"]}),
        "row 2, col",
    ),
    "dates": (
        pl.DataFrame({"age": [1], "sex": ["f"], "ill": ["no"]}).with_columns(
            age=pl.lit("2020-01-01").str.to_date()
        ),
        "column age holds Date, not numbers",
    ),
    "lists": (
        pl.DataFrame({"age": [1], "sex": [["f"]], "ill": ["no"]}),
        "column sex holds List(String), not categories",
    ),
    "nan": (
        pl.DataFrame({"age": [float("nan")], "sex": ["f"], "ill": ["no"]}),
        "row 1, column age: nan is not a finite number",
    ),
    "column": (pl.DataFrame({"age": [1], "sex": ["f"]}), "has no column 'ill'"),
    "rows": (pl.DataFrame({"age": [1], "sex": ["f"], "ill": ["no"]}).head(0), "has no rows"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_parquet_is_refused(case: str, tmp_path: Path) -> None:
    frame, said = BAD_FRAMES[case]
    frame.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError) as caught:
        read(tmp_path, "rows.parquet")
    assert said in caught.value.message


def test_damaged_parquet_is_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ages = [row % 100 for row in range(1000)]
    frame = pl.DataFrame({"age": ages, "sex": ["f"] * 1000, "ill": ["no"] * 1000})
    file = io.BytesIO()
    frame.write_parquet(file)
    good = file.getvalue()
    damaged = [b"", b"PAR1", good[:-1], good[: len(good) // 2], b"PAR1" + b"\0" * 40 + b"PAR1"]
    # Bytes 227 and 230 make polars 2.1 panic; the others give other errors, or other values.
    for place in [*range(220, 240), *range(240, len(good), 20)]:
        damaged.append(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
    refused = 0
    for data in damaged:
        (tmp_path / "rows.parquet").write_bytes(data)
        try:
            read(tmp_path, "rows.parquet")
        except DataError:
            refused += 1
    assert refused >= 25
    assert "panicked" not in capfd.readouterr().err


def test_a_parquet_file_that_stands_for_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"age": [1.0] * 50_000, "sex": ["f"] * 50_000, "ill": ["no"] * 50_000})
    frame.write_parquet(tmp_path / "rows.parquet")
    monkeypatch.setattr(sources, "MAX_UNPACKED_BYTES", 1_000_000)
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    with pytest.raises(DataError, match="50000 rows take 1200000 bytes"):
        read(tmp_path, "rows.parquet")


GOOD_X, GOOD_Y = np.zeros((6, 2, 3), np.float32), np.arange(6) % 3


def changed(array: np.ndarray, index: tuple[int, ...] | int, value: float) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


BAD_ARRAYS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "no x": ({"y": GOOD_Y}, "has no array 'x'"),
    "no y": ({"x": GOOD_X}, "has no array 'y'"),
    "shape": (
        {"x": GOOD_X.reshape(6, 6), "y": GOOD_Y},
        "array x has shape (6, 6), expected (N, 2, 3)",
    ),
    "scalar": ({"x": np.array(1, np.float32), "y": GOOD_Y}, "array x has shape ()"),
    "lengths": ({"x": GOOD_X, "y": GOOD_Y[:5]}, "array y has shape (5,), expected (6,)"),
    "nan": ({"x": changed(GOOD_X, (4, 1, 1), np.nan), "y": GOOD_Y}, "row 5, array x: nan is not"),
    "float64 overflow": (
        {"x": changed(GOOD_X.astype(np.float64), (2, 0, 0), 1e300), "y": GOOD_Y},
        "row 3, array x: 1e+300 is not a finite float32 number",
    ),
    "label above": ({"x": GOOD_X, "y": changed(GOOD_Y, 3, 3)}, "row 4, array y: 3 is not one of"),
    "label below": ({"x": GOOD_X, "y": changed(GOOD_Y, 0, -1)}, "row 1, array y: -1 is not one of"),
    "labels are not whole": ({"x": GOOD_X, "y": GOOD_Y + 0.5}, "row 1, array y: 0.5 is not one of"),
    "text": ({"x": GOOD_X.astype(str), "y": GOOD_Y}, "not numbers"),
    "complex": (
        {"x": GOOD_X.astype(complex), "y": GOOD_Y},
        "array x holds complex128, not numbers",
    ),
    "no rows": ({"x": GOOD_X[:0], "y": GOOD_Y[:0]}, "has no rows"),
    "objects": ({"x": GOOD_X.astype(object), "y": GOOD_Y}, "holds Python objects"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_npz_is_refused(case: str, tmp_path: Path) -> None:
    arrays, said = BAD_ARRAYS[case]
    np.savez(tmp_path / "rows.npz", **arrays)  # type: ignore[arg-type]  # mypy takes names for flags
    with pytest.raises(DataError) as caught:
        read(tmp_path, "rows.npz", IMAGES)
    assert said in caught.value.message
    assert str(tmp_path / "rows.npz") in caught.value.message


class Bomb:
    """Pickled, it would write a file on loading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_in_an_npz_is_never_run(tmp_path: Path) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, dtype=object))
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    member.write(pickle.dumps(Bomb(tmp_path / "ran")))
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue())
    with pytest.raises(DataError, match="holds Python objects, which are never loaded"):
        read(tmp_path, "rows.npz", IMAGES)
    assert not (tmp_path / "ran").exists()


def test_an_npz_cannot_claim_more_than_it_holds(tmp_path: Path) -> None:
    member = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 2, 3)}
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue() + b"\0" * 24)
    with pytest.raises(DataError, match="should take 24000000000000 bytes, not 24"):
        read(tmp_path, "rows.npz", IMAGES)


def test_zip_and_gzip_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_UNPACKED_BYTES", 100_000)
    np.savez_compressed(tmp_path / "rows.npz", x=np.zeros((100_000, 2, 3)), y=np.zeros(100_000))
    with pytest.raises(DataError, match="above MAX_UNPACKED_BYTES = 100000"):
        read(tmp_path, "rows.npz", IMAGES)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(CSV.encode() + b"\n" * 200_000))
    with pytest.raises(DataError, match="unpacks to more than 100000 bytes"):
        read(tmp_path, "rows.csv.gz")


def test_features_that_take_too_much_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    monkeypatch.setattr(sources, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(DataError, match="10 rows of 3 features take 120 bytes"):
        read(tmp_path, "rows.csv")


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.npz"])
def test_a_file_that_is_too_large_is_not_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(b"x" * 1001)
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1000)
    with pytest.raises(DataError, match="1001 bytes are above MAX_FILE_BYTES = 1000") as caught:
        read(tmp_path, name, IMAGES if name.endswith("npz") else SCHEMA)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"not gzip", "not a sound gzip file"),
        (gzip.compress(CSV.encode(), mtime=0)[:-9], "is cut short"),
        (gzip.compress(CSV.encode(), mtime=0)[:-8] + b"\0" * 8, "not a sound gzip file"),
    ],
)
def test_damaged_gzip_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(data)
    with pytest.raises(DataError, match=said):
        read(tmp_path, "rows.csv.gz")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_damaged_npz_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"rows\.npz: "):
        read(tmp_path, "rows.npz", IMAGES)


def test_every_cut_and_flip_of_an_npz_is_refused_or_harmless(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, x=GOOD_X, y=GOOD_Y)
    good = file.getvalue()
    path = tmp_path / "rows.npz"
    refused = 0
    for cut in range(0, len(good), 37):
        for data in (good[:cut], good[:cut] + bytes([good[cut] ^ 0xFF]) + good[cut + 1 :]):
            path.write_bytes(data)
            try:
                read(tmp_path, "rows.npz", IMAGES)
            except DataError as error:
                refused += str(path) in error.message
    assert refused > len(range(0, len(good), 37))


@pytest.mark.parametrize(
    ("name", "schema", "error", "said"),
    [
        ("absent.csv", SCHEMA, DataError, "absent.csv: there is no such file"),
        (".", SCHEMA, DataError, "is of no known kind"),
        ("rows.txt", SCHEMA, DataError, "is of no known kind"),
        ("rows.csv", IMAGES, CharterError, "task.data.schema.shape = [2, 3] is set"),
        ("rows.npz", SCHEMA, CharterError, "task.data.schema.shape is not set"),
    ],
)
def test_the_wrong_file_is_refused(
    name: str, schema: Schema, error: type[LocalError], said: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    with pytest.raises(error) as caught:
        read(tmp_path, name, schema)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (Schema(), "columns"),
        (Schema(columns=COLUMNS, shape=[2]), "columns"),
        (Schema(columns=[COLUMNS[0], COLUMNS[0]]), "columns"),
        (Schema(columns=COLUMNS, target="age"), "columns"),
        (Schema(columns=COLUMNS, group="y"), "columns"),
        (Schema(columns=COLUMNS, classes=1), "classes"),
        (Schema(columns=COLUMNS, classes=["a"]), "classes"),
        (Schema(columns=COLUMNS, classes=["1", 1]), "classes"),
        (Schema(columns=COLUMNS, classes=2, target_maximum=1.0), "target_maximum"),
        (Schema(columns=COLUMNS, target_minimum=1.0), "target_minimum"),
        (Schema(columns=COLUMNS, target_minimum=1.0, target_maximum=1.0), "target_minimum"),
        (Column(name="a"), "name"),
        (Column(name="a", minimum=2, maximum=1), "minimum"),
        (Column(name="a", minimum=0, maximum=float("inf")), "maximum"),
        (Column(name="a", minimum=float("nan"), maximum=1), "minimum"),
        (Column(name="a", kind="category"), "name"),
        (Column(name="a", kind="category", values=["1", 1]), "values"),
        (FileData(schema=SCHEMA, train=[]), "train"),
    ],
)
def test_schemas_that_contradict_themselves_are_refused(
    table: Schema | Column | FileData, key: str
) -> None:
    with pytest.raises(CharterError) as caught:
        table.check()
    assert caught.value.key == key


OWN = """
import numpy as np
from troth.data import DataSet, Examples

def make(rows=6, problem=None):
    if problem == "raises":
        raise RuntimeError("no idea")
    if problem == "none":
        return None
    part = Examples(x_NF=np.zeros((rows, 2), np.float32), y_N=np.arange(rows) % 2)
    return DataSet(name="own", task="classification", train=part, test=part, features=(2,),
                   classes=("a",) if problem == "classes" else ("a", "b"))
"""


def test_your_own_callable_gives_the_data(tmp_path: Path) -> None:
    (tmp_path / "own_data.py").write_text(OWN)
    spec = CallableData(callable="own_data:make", arguments={"rows": 9})
    assert len(load(spec, root=None, base=tmp_path, stream=STREAM).train) == 9


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("raises", "raised RuntimeError: no idea"),
        ("none", "own_data:make: a NoneType is not a troth.data.DataSet"),
        ("classes", "own_data:make: classes has 1 names"),
    ],
)
def test_what_your_own_callable_gives_is_checked(problem: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own_data.py").write_text(OWN)
    spec = CallableData(callable="own_data:make", arguments={"problem": problem})
    with pytest.raises(LocalError) as caught:
        load(spec, root=None, base=tmp_path, stream=STREAM)
    assert said in caught.value.message
    assert caught.value.exit_code is ExitCode.CHARTER


def test_a_charter_for_strangers_has_no_rows_to_deal(tmp_path: Path) -> None:
    with pytest.raises(CharterError) as caught:
        load_files(FileData(schema=SCHEMA), base=tmp_path, stream=STREAM)
    assert caught.value.key == "task.data.train"
    assert "troth join" in caught.value.hint
