"""The data sets troth knows: what they are, whether they are here, and how to get them."""

from __future__ import annotations

import gzip
import http.client
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from troth.data.known import KNOWN, KnownSet
from troth.data.published.files import FILES, PublishedFile
from troth.data.sources import cure, is_packed, sha256, verify
from troth.errors import DataError, UnreachableError, UsageError, VerificationError
from troth.learning.spec import TaskKind

Status: TypeAlias = Literal["present", "missing", "corrupt"]


@dataclass(frozen=True)
class Entry:
    """One line of `troth data list`."""

    name: str
    task: TaskKind
    rows: int
    features: int
    classes: int
    """C, how many classes the target has; 0 for regression."""
    source: str
    licence: str
    status: Status
    problem: str | None = None
    """What is missing or wrong with its files; None if nothing is."""


def list_sets(root: Path | None) -> list[Entry]:
    """Every known set, in the order of `KNOWN`; published ones are looked for below `root`."""
    entries = []
    for name, known in KNOWN.items():
        status, problem = _status(name, root)
        entries.append(
            Entry(
                name=name,
                task=known.kind,
                rows=known.rows,
                features=known.features,
                classes=known.classes or 0,
                source=known.source,
                licence=known.licence,
                status=status,
                problem=problem,
            )
        )
    return entries


def _status(name: str, root: Path | None) -> tuple[Status, str | None]:
    if name not in FILES:
        return "present", None
    try:
        check(name, root)
    except VerificationError as error:
        return "corrupt", error.message
    except DataError as error:
        return "missing", error.message
    return "present", None


def check(name: str, root: Path | None) -> list[Path]:
    """Compare every file of the set with its hash, and return the files; none for bundled sets.

    Raises:
      VerificationError: a file is not what was published; names file, expected and found hash.
      DataError: a file is missing, or TROTH_DATA (`root`) is not set.
      UsageError: there is no such set.
    """
    _known(name)
    if name not in FILES:
        return []
    folder = _require_root(name, root)
    for file in FILES[name]:
        verify(folder, file, set_name=name)
    return [folder / file.path for file in FILES[name]]


def fetch(name: str, root: Path | None) -> list[Path]:
    """Get a published set from OpenML into `root`, and return the files written.

    Nothing is written unless every file's content is what was published; then each file appears
    whole or not at all. A set that is already there and sound is left alone.

    Raises:
      UnreachableError: OpenML does not answer.
      VerificationError: what it serves is not what was published.
      DataError: OpenML does not have the set (the hint says who does), TROTH_DATA is not set, or
        the folder cannot be written to.
      UsageError: there is no such set.
    """
    known = _known(name)
    if name not in FILES:
        return []
    folder = _require_root(name, root)
    if _status(name, folder)[0] == "present":
        return []
    from troth.data.openml import REBUILDS, table_of

    if name not in REBUILDS:
        raise DataError(
            f"{name}: cannot be fetched from OpenML in the form that was published",
            hint=f"{cure(name)}; its files are " + ", ".join(file.path for file in FILES[name]),
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
            table = table_of(_from_openml(REBUILDS[name].data_id, name, scratch))
            for contents in REBUILDS[name].candidates(table):
                pairs = list(zip(FILES[name], contents, strict=True))
                if all(sha256(content) == file.content_sha256 for file, content in pairs):
                    return [_write(folder, file, content) for file, content in pairs]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written to: {error.strerror or error}",
            hint="point TROTH_DATA at a folder of your own",
        ) from None
    raise VerificationError(
        f"{name}: what OpenML serves (data set {REBUILDS[name].data_id}) does not give the "
        "published files, so nothing was written",
        hint=f"get it from {known.where}",
    )


def _from_openml(data_id: int, name: str, scratch: str) -> object:
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            # scikit-learn warns before each retry; the error below says what matters.
            warnings.simplefilter("ignore")
            return fetch_openml(
                data_id=data_id,
                data_home=scratch,
                as_frame=False,
                target_column=None,
                parser="liac-arff",
                n_retries=1,
            )
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(
            f"{name}: OpenML does not give data set {data_id}: {type(error).__name__}: {error}",
            hint=f"check the internet access of this machine, or get it from {_known(name).where}",
        ) from None


def _write(folder: Path, file: PublishedFile, content: bytes) -> Path:
    """Write beside the final name and rename, so that no half-written file is ever seen."""
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    data = gzip.compress(content, mtime=0) if is_packed(path) else content
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".fetching-", delete=False) as part:
        try:
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).chmod(0o644)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    return path


def _known(name: str) -> KnownSet:
    known = KNOWN.get(name)
    if known is None:
        raise UsageError(f"there is no data set {name!r}", hint="one of " + ", ".join(KNOWN))
    return known


def _require_root(name: str, root: Path | None) -> Path:
    if root is None:
        raise DataError(
            f"{name}: TROTH_DATA is not set",
            hint="set TROTH_DATA to the folder that holds, or shall hold, the data sets",
        )
    return root
