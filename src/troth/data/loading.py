"""From the `[task.data]` table to a data set."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from troth.data.examples import DataSet, Examples
from troth.data.published.files import FILES
from troth.data.sources import missing_file, read_verified
from troth.data.spec import BUNDLED, CallableData, DataSpec, FileData, NamedData
from troth.errors import CharterError, DataError
from troth.references import resolve, users_code
from troth.streams import Stream


class _Loader(Protocol):
    """What a module of `troth.data.published` offers."""

    def read(self, *contents: bytes) -> DataSet:
        """The data set in the content of its files, in the order of `FILES`."""


def load(spec: DataSpec, *, root: Path | None, base: Path, stream: Stream) -> DataSet:
    """The data set that `spec` names, whole, with what was done to it in `notes`.

    Args:
      root: the folder that TROTH_DATA names; None where it is not set.
      base: the folder of the scenario file; own files and modules are looked up from there.
      stream: draws the rows of `rows` and `test_rows`, and those held out of own files.

    Raises:
      DataError: it is missing, or a file does not hold what it should.
      VerificationError: a published file is not what was published.
      CharterError: `spec` asks for what the data set cannot give.
    """
    match spec:
        case NamedData():
            data_set = read_named(spec.name, root)
            return _sample(data_set, spec.rows, spec.test_rows, stream)
        case FileData():
            from troth.data.own_files import load_files

            return load_files(spec, base=base, stream=stream)
        case CallableData():
            return _call(spec, base)


def read_named(name: str, root: Path | None) -> DataSet:
    """All rows of a bundled or published set.

    Raises:
      DataError: it is missing; the message names the file, TROTH_DATA and what to do.
      VerificationError: a file is not what was published.
    """
    if name in BUNDLED:
        from troth.data import bundled

        return bundled.read(name)
    files = FILES[name]
    loader = cast("_Loader", import_module(f"troth.data.published.{name.replace('-', '_')}"))
    for file in files:
        if root is None or not (root / file.path).is_file():
            path = Path(file.path) if root is None else root / file.path
            raise missing_file(path, set_name=name, root=root)
    assert root is not None
    return loader.read(*(read_verified(root, file, set_name=name) for file in files))


def _sample(data_set: DataSet, rows: int | None, test_rows: int | None, stream: Stream) -> DataSet:
    if rows is None and test_rows is None:
        return data_set
    train = _draw(data_set.train, rows, "rows", stream)
    test = _draw(data_set.test, test_rows, "test_rows", stream)
    note = (
        f"{data_set.name}: {len(train)} of {len(data_set.train)} training and {len(test)} of "
        f"{len(data_set.test)} test rows, drawn by the run's seed"
    )
    return replace(data_set, train=train, test=test, notes=[*data_set.notes, note])


def _draw(examples: Examples, count: int | None, key: str, stream: Stream) -> Examples:
    if count is None:
        return examples
    if count > len(examples):
        raise CharterError(
            f"is above the {len(examples)} rows there are", key=f"task.data.{key}", value=count
        )
    generator = stream.child(key).generator()
    return examples.take(np.sort(generator.choice(len(examples), count, replace=False)))


def _call(spec: CallableData, base: Path) -> DataSet:
    from troth.data.conformance import check_data_set

    function = resolve(spec.callable, base=base)
    called = f"with arguments = {spec.arguments}"
    with users_code(spec.callable, key="task.data.callable", called=called):
        data_set = function(**spec.arguments)
    try:
        check_data_set(data_set)
    except DataError as error:
        raise DataError(f"{spec.callable}: {error.message}", hint=error.hint) from None
    checked: DataSet = data_set
    return checked
