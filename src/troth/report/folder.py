"""A run's folder, `runs/<name>/`, as the run writes it.

Rules:
- A kill at any moment leaves a folder that `troth.report.read.load_run` reads. A folder appears
  with its scenario and its summary already in it; after that every file is replaced whole, and
  `rounds.jsonl` grows by one line a round.
- Not a finite number is `null` in the JSON files (JSON has no NaN). Read back, it is NaN.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from troth.charter.loading import BASE
from troth.errors import UsageError, VerificationError, reason_of
from troth.ids import NodeId
from troth.records import PrivacyRecord, RoundRecord, Summary, pretty_json
from troth.report.atomic import (
    LOCK,
    append_line,
    cannot_write,
    locked,
    numbered,
    replace_file,
    sync_file,
    sync_folder,
)
from troth.report.read import (
    PARTIES,
    ROUNDS,
    RUN_AGAIN,
    SCENARIO,
    SUMMARY,
    cannot_read,
    read_rounds,
    read_scenario,
    read_summary,
    regular,
    summary_files,
)
from troth.wire import Float32s

MODEL = "model.safetensors"
PARAMS = "params"
"""The name of a model that is one for all."""
PRIVACY = "privacy.json"
PAGE = "report.html"
SNAPSHOT = "snapshot.bin"
SNAPSHOT_BEGINS = b"troth snapshot\n"
"""How `snapshot.bin` begins; the SHA-256 of what follows it comes next."""

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


@dataclass(frozen=True)
class RunFolder:
    """The folder at `path`. One process writes to it at a time; any number may read it
    meanwhile."""

    path: Path
    private: bool = False
    """Whether its files are for their owner alone: what a real node keeps tells of its own rows."""

    @classmethod
    def create(
        cls,
        path: Path,
        scenario_text: str,
        summary: Summary,
        *,
        snapshot: bytes | None = None,
        base: Path | None = None,
        private: bool = False,
    ) -> RunFolder:
        """A new folder at `path`, or at `path-2`, `path-3`, ... where the name is taken. An empty
        folder at `path` is used, also where it is the root of another file system.

        The folder is filled under a hidden name and then renamed, which fails where a run already
        stands: of two runs that start at once each gets a folder of its own, and neither is ever
        seen half-made. Where a folder cannot be renamed onto an empty one at `path` (a mount, a
        link, the folder that this process is in), that is filled in place, the scenario last,
        without which it is no run's.

        Args:
          base: folder of the scenario file, by which the kept one finds what it names.

        Raises:
          UsageError: the folder cannot be made there.
        """
        files = {SCENARIO: scenario_text.encode(), **summary_files(summary)}
        if snapshot is not None:
            files[SNAPSHOT] = snapshot_bytes(snapshot)
        if base is not None:
            files[BASE] = os.fsencode(base.resolve())
        if path.is_dir() and is_empty(path) and _stays(path):
            return cls._fill(path, files, private=private)
        path = next(free for free in numbered(path) if free.name not in ("", ".."))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = _hidden_folder(path)
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            for name, data in files.items():
                replace_file(partial / name, data, private=private)
            return cls(_publish(partial, path), private)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    @classmethod
    def _fill(cls, path: Path, files: Mapping[str, bytes], *, private: bool) -> RunFolder:
        with locked(path):
            for name in sorted(files, key=lambda name: name == SCENARIO):
                replace_file(path / name, files[name], private=private)
        return cls(path, private)

    @classmethod
    def open(cls, path: Path, *, private: bool = False) -> RunFolder:
        """The folder of an earlier run, to go on with it.

        Raises:
          UsageError: it is no run's folder, or it was written by a newer troth.
          VerificationError: a file in it is damaged.
        """
        read_scenario(path)
        read_summary(path)
        return cls(path, private)

    def scenario_text(self) -> str:
        """The scenario exactly as the run was given it, overrides included."""
        return read_scenario(self.path)

    def summary(self) -> Summary:
        """The summary last written."""
        return read_summary(self.path)

    def rounds(self) -> list[RoundRecord]:
        """Every whole line of `rounds.jsonl`."""
        return read_rounds(self.path)

    def append_round(self, record: RoundRecord) -> None:
        """Add one line to `rounds.jsonl`. It survives this process, and a power cut once
        `sync_rounds` has returned: rounds are too quick to wait for the disk in each."""
        append_line(self.path / ROUNDS, msgspec.json.encode(record), private=self.private)

    def sync_rounds(self) -> None:
        """Put the rounds recorded so far on the disk."""
        sync_file(self.path / ROUNDS)

    def replace_round(self, record: RoundRecord) -> None:
        """Put a round that is reported again in the place of its earlier record. All others stay:
        what was recorded is not erased before there is something to stand for it."""
        kept = [each for each in self.rounds() if each.round != record.round]
        self.write_rounds(sorted([*kept, record], key=lambda each: each.round))

    def truncate_rounds(self, after_round: int) -> None:
        """Keep rounds 1 to `after_round`, for a run that goes on from a snapshot taken there."""
        self.write_rounds([record for record in self.rounds() if record.round <= after_round])

    def write_rounds(self, records: Sequence[RoundRecord]) -> None:
        """Replace `rounds.jsonl` as a whole."""
        lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
        replace_file(self.path / ROUNDS, lines, private=self.private)

    def write_summary(self, summary: Summary) -> None:
        """Replaces the files `parties.jsonl` and `summary.json` of the folder as a whole."""
        for name, data in summary_files(summary).items():
            replace_file(self.path / name, data, private=self.private)

    def write_privacy(self, privacy: PrivacyRecord) -> None:
        """Replaces the file `privacy.json` of the folder as a whole."""
        replace_file(self.path / PRIVACY, pretty_json(privacy) + b"\n", private=self.private)

    def write_model(
        self, params: Mapping[str, Float32s] | Mapping[NodeId, Float32s], charter_digest: str
    ) -> None:
        """Replace `model.safetensors`: flat float32 tensors (D,), and the digest of the charter
        that says what model they are. One model for all is called `PARAMS`; where every party has
        its own, each goes by its party's name."""
        assert params
        tensors = {name: np.ascontiguousarray(params_D) for name, params_D in params.items()}
        data = save(tensors, {"charter_digest": charter_digest})
        replace_file(self.path / MODEL, data, private=self.private)

    def read_model(self) -> tuple[dict[str, Float32s], str]:
        """What `write_model` wrote, names ascending, and the digest of its charter.

        Raises:
          UsageError: there is no model.
          VerificationError: the file is damaged.
        """
        file = self.path / MODEL
        if not file.is_file():
            raise UsageError(
                f"{self.path}: {MODEL} is missing",
                hint="the model is written when a run ends: finish it with troth simulate --resume",
            )
        try:
            with safe_open(file, framework="numpy") as opened:
                params = {name: opened.get_tensor(name) for name in sorted(opened.keys())}
                digest = (opened.metadata() or {}).get("charter_digest", "")
        except SafetensorError as error:
            raise VerificationError(
                f"{file}: is damaged: {str(error).lower()}", hint=RUN_AGAIN
            ) from None
        except OSError as error:
            raise cannot_read(file, error) from None
        for name, params_D in params.items():
            if params_D.dtype != np.float32 or params_D.ndim != 1:
                raise VerificationError(
                    f"{file}: {name} is {params_D.dtype} of shape {params_D.shape}, "
                    "not float32 of shape (D,)",
                    hint=RUN_AGAIN,
                )
        return params, digest

    def outcome_digest(self, summary: Summary | None = None) -> bytes:
        """SHA-256 of what came of the run: of its model, if there is one, and of its summary.

        Args:
          summary: the one that will be written; absent: the one that stands there.

        Raises:
          UsageError: a file cannot be read.
        """
        digest = sha256()
        try:
            if (self.path / MODEL).exists():
                digest.update(sha256(regular(self.path / MODEL).read_bytes()).digest())
            said = self._kept() if summary is None else summary_files(summary)
        except OSError as error:
            raise cannot_read(self.path, error) from None
        for data in said.values():
            digest.update(data)
        return digest.digest()

    def _kept(self) -> dict[str, bytes]:
        """What stands in the files of the summary. Folders of older releases list no parties."""
        names = [PARTIES, SUMMARY] if (self.path / PARTIES).exists() else [SUMMARY]
        return {name: regular(self.path / name).read_bytes() for name in names}

    def write_snapshot(self, data: bytes) -> None:
        """Replace `snapshot.bin`, the state from which the run can go on, behind its checksum."""
        replace_file(self.path / SNAPSHOT, snapshot_bytes(data), private=self.private)

    def read_snapshot(self) -> bytes:
        """The last snapshot.

        Raises:
          UsageError: there is none, as the run has finished or takes none.
          VerificationError: it is not what was written.
        """
        file = self.path / SNAPSHOT
        try:
            kept = regular(file).read_bytes()
        except OSError as error:
            raise cannot_read(file, error) from None
        begins = len(SNAPSHOT_BEGINS)
        digest, data = kept[begins : begins + 32], kept[begins + 32 :]
        if not kept.startswith(SNAPSHOT_BEGINS) or sha256(data).digest() != digest:
            raise VerificationError(
                f"{file}: is damaged, or of another release of troth",
                hint="restore the whole folder from a copy, or run its scenario.toml again",
            )
        return data

    def finish(self, summary: Summary) -> None:
        """Write the last summary, then delete the snapshot if the run finished; one that failed or
        was interrupted keeps it, to go on from. A kill between the two leaves a snapshot nobody
        needs."""
        self.write_summary(summary)
        if summary.status == "finished":
            (self.path / SNAPSHOT).unlink(missing_ok=True)


def digest_of_rounds(records: Sequence[RoundRecord]) -> bytes:
    """SHA-256 of these records, by which they are known again when a run goes on."""
    return sha256(b"".join(map(msgspec.json.encode, records))).digest()


def snapshot_bytes(data: bytes) -> bytes:
    """What `snapshot.bin` holds for this snapshot."""
    return SNAPSHOT_BEGINS + sha256(data).digest() + data


def is_empty(path: Path) -> bool:
    """Whether `path` is a folder with nothing in it but what a file system of its own begins with,
    or what is left of a run that was killed before it had begun."""
    left = {LOCK, PARTIES, SUMMARY, SNAPSHOT, BASE, "lost+found"}
    left |= {f".{name}.partial" for name in (SCENARIO, PARTIES, SUMMARY, SNAPSHOT, BASE)}
    try:
        return path.is_dir() and all(inner.name in left for inner in path.iterdir())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {reason_of(error)}") from None


def _stays(path: Path) -> bool:
    """Whether the folder at `path`, which is empty, cannot be exchanged for another one."""
    elsewhere = path.is_mount() or path.is_symlink() or path.resolve() == Path.cwd()
    return elsewhere or any(path.iterdir())


def _hidden_folder(path: Path) -> Path:
    """A new empty folder beside `path`, of a name that no other process has."""
    for number in count():
        partial = path.with_name(f".{path.name}.{os.getpid()}-{number}.partial")
        try:
            partial.mkdir()
        except FileExistsError:
            continue
        return partial
    raise AssertionError("unreachable")


def _publish(partial: Path, path: Path) -> Path:
    """Rename `partial` to the first free one of path, path-2, path-3, ..."""
    for target in numbered(path):
        try:
            # Renaming onto a folder with something in it fails, and every run's folder has
            # something in it.
            partial.rename(target)
        except OSError as error:
            if error.errno in _TAKEN:
                continue
            raise cannot_write(target, error) from None
        sync_folder(target.parent)
        return target
    raise AssertionError("unreachable")
