"""`module:callable` references: where they are looked for, and what is said when they are wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from troth.errors import CharterError, ExitCode
from troth.references import resolve


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_module_beside_the_scenario_is_found(tmp_path: Path) -> None:
    write(tmp_path, "task_beside.py", "def make(x):\n    return x + 1\n")
    assert resolve("task_beside:make", base=tmp_path)(1) == 2
    assert str(tmp_path) not in sys.path


def test_the_python_path_comes_second(tmp_path: Path) -> None:
    assert resolve("collections:OrderedDict.fromkeys", base=tmp_path)("ab") == {
        "a": None,
        "b": None,
    }
    assert resolve("math:hypot", base=None)(3, 4) == 5


def test_a_module_may_import_its_neighbours_and_be_a_package(tmp_path: Path) -> None:
    write(tmp_path, "pack_r/__init__.py", "")
    write(tmp_path, "pack_r/inner.py", "import neighbour_r\nvalue = neighbour_r.VALUE\n")
    write(
        tmp_path, "pack_r/outer.py", "from pack_r.inner import value\ndef f():\n    return value\n"
    )
    write(tmp_path, "neighbour_r.py", "VALUE = 7\n")
    assert resolve("pack_r.outer:f", base=tmp_path)() == 7


def test_two_folders_may_use_the_same_names(tmp_path: Path) -> None:
    for folder, value in (("a", 1), ("b", 2)):
        write(tmp_path / folder, "task_twice.py", "import helper_twice\ndef f():\n    return V\n")
        write(tmp_path / folder, "helper_twice.py", f"VALUE = {value}\n")
        source = "from helper_twice import VALUE\ndef f():\n    return VALUE\n"
        write(tmp_path / folder, "task_twice.py", source)
    first = resolve("task_twice:f", base=tmp_path / "a")
    second = resolve("task_twice:f", base=tmp_path / "b")
    assert (first(), second()) == (1, 2)
    assert resolve("task_twice:f", base=tmp_path / "a")() == 1


@pytest.mark.parametrize("other", ["b", None])
def test_a_folder_without_a_module_does_not_get_that_of_another(
    tmp_path: Path, other: str | None
) -> None:
    """It was found where a scenario of another folder had loaded it before."""
    write(tmp_path / "a", "task_absent.py", "def f():\n    return 1\n")
    (tmp_path / "b").mkdir()
    assert resolve("task_absent:f", base=tmp_path / "a")() == 1
    with pytest.raises(CharterError, match="names no module"):
        resolve("task_absent:f", base=None if other is None else tmp_path / other)
    assert resolve("task_absent:f", base=tmp_path / "a")() == 1


def test_the_same_folder_gives_the_same_object(tmp_path: Path) -> None:
    write(tmp_path, "task_same.py", "class Model: ...\n")
    first = resolve("task_same:Model", base=tmp_path)
    assert resolve("task_same:Model", base=tmp_path) is first


@pytest.mark.parametrize(
    ("reference", "source", "said"),
    [
        ("nocolon", None, "not of the form module:callable"),
        ("a:b:c", None, "not of the form module:callable"),
        (".task:f", None, "not of the form module:callable"),
        ("task_bad0:f", None, "task_bad0 is not beside the scenario in"),
        ("task_bad1:absent", "x = 1\n", "task_bad1 has no absent"),
        ("task_bad2:x", "x = 1\n", "names a int, which cannot be called"),
        ("task_bad3:f", "raise ValueError('no such thing')\n", "raised ValueError: no such thing"),
        ("task_bad4:f", "def f(:\n", "raised SyntaxError"),
        ("task_bad5:f", "import task_missing_dependency\n", "task_missing_dependency"),
        ("task_bad6:f", "raise SystemExit(3)\n", "raised SystemExit"),
        ("task_bad7.sub:f", "x = 1\n", "task_bad7.sub is not beside"),
        ("json:f", "def f(): ...\n", "name of the Python module json"),
        ("sys:f", "def f(): ...\n", "name of the Python module sys"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, reference: str, source: str | None, said: str
) -> None:
    if source is not None:
        write(tmp_path, f"{reference.partition(':')[0].partition('.')[0]}.py", source)
    with pytest.raises(CharterError) as caught:
        resolve(reference, base=tmp_path)
    assert said in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.CHARTER
    assert str(tmp_path) not in sys.path


def test_without_a_folder_only_the_path_is_named() -> None:
    with pytest.raises(CharterError, match=r"troth_no_such is not on the Python path"):
        resolve("troth_no_such:f", base=None)
