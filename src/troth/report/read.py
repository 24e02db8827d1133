"""A run read back from its folder, whatever state a kill left it in."""

from __future__ import annotations

import errno
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from troth.errors import UsageError, VerificationError, reason_of
from troth.records import (
    SCHEMA_VERSION,
    PartyRecord,
    Record,
    RoundRecord,
    Summary,
    pretty_json,
)

SCENARIO = "scenario.toml"
SUMMARY = "summary.json"
PARTIES = "parties.jsonl"
ROUNDS = "rounds.jsonl"
CHAIN = "chain.sqlite"

RUN_AGAIN = "the file was changed after the run wrote it; run the scenario again"

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    path: Path
    scenario_text: str
    summary: Summary
    rounds: tuple[RoundRecord, ...]


def load_run(path: Path) -> Run:
    """The run in folder `path`; only reads, so it may be a run that is still going.

    Raises:
      UsageError: the folder is not a run's, or a newer troth wrote it.
      VerificationError: a file in it is damaged.
    """
    return Run(path, read_scenario(path), read_summary(path), tuple(read_rounds(path)))


def read_scenario(path: Path) -> str:
    """The text of `scenario.toml` in folder `path`."""
    try:
        return _read(path, SCENARIO).decode()
    except UnicodeDecodeError as error:
        raise VerificationError(
            f"{path / SCENARIO}: is damaged: byte {error.start} is not UTF-8 text", hint=RUN_AGAIN
        ) from None


def read_summary(path: Path) -> Summary:
    """The summary in folder `path`."""
    data = _read(path, SUMMARY)
    file = path / SUMMARY
    version = _decode(data, _Versioned, str(file)).schema_version
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{file}: schema_version = {version} is above {SCHEMA_VERSION}, "
            "the newest this troth reads",
            hint="read it with the troth that wrote it, or a newer one",
        )
    summary = _decode(data, Summary, str(file))
    if version == 1:
        return summary
    listed = _decode(data, _Listing, str(file)).parties_listed
    return msgspec.structs.replace(summary, parties=_read_parties(path, listed))


def summary_files(summary: Summary) -> dict[str, bytes]:
    """The files of a folder that hold this summary, in the order in which they are written.

    A run may have very many parties, so they stand in a file of their own, one in a line, and
    `summary.json` says how many there are. A kill between the two leaves a newer list beside an
    older summary, never one with too few.
    """
    parties = b"".join(msgspec.json.encode(party) + b"\n" for party in summary.parties)
    said = msgspec.structs.asdict(summary)
    listed = len(said.pop("parties"))
    return {PARTIES: parties, SUMMARY: pretty_json({**said, "parties_listed": listed}) + b"\n"}


def _read_parties(path: Path, listed: int) -> list[PartyRecord]:
    file = path / PARTIES
    try:
        lines = regular(file).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise cannot_read(file, error) from None
    if len(lines) < listed:
        raise VerificationError(
            f"{file}: is damaged: it lists {len(lines)} parties, and {SUMMARY} {listed}",
            hint=RUN_AGAIN,
        )
    return [
        _decode(line, PartyRecord, f"{file}: line {number}")
        for number, line in enumerate(lines, start=1)
    ]


def read_rounds(path: Path) -> list[RoundRecord]:
    """The whole lines of `rounds.jsonl` in folder `path`; a torn last line is left out, no file is
    no round."""
    try:
        data = regular(path / ROUNDS).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(path / ROUNDS, error) from None
    # What follows the last newline is nothing, or a line that a kill tore.
    lines = data.split(b"\n")[:-1]
    return [
        _decode(line, RoundRecord, f"{path / ROUNDS}: line {number}")
        for number, line in enumerate(lines, start=1)
    ]


class _Versioned(Record, frozen=True):
    schema_version: int


class _Listing(Record, frozen=True):
    parties_listed: int


def _read(path: Path, name: str) -> bytes:
    if not path.is_dir():
        raise UsageError(
            f"{path} is not a folder" if path.exists() else f"{path} does not exist",
            hint="name the folder of a run, such as runs/credit",
        )
    try:
        return regular(path / name).read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"{path}: {name} is missing, so this is not the folder of a run",
            hint="name the folder of a run, such as runs/credit",
        ) from None
    except OSError as error:
        raise cannot_read(path / name, error) from None


def regular(file: Path) -> Path:
    """The same path, if there is no pipe or device in the place of a file: to read one may wait
    for ever.

    Raises:
      OSError: there is.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(file))
    return file


def cannot_read(file: Path, error: OSError) -> UsageError:
    """The error to raise when the system refuses to read `file`."""
    return UsageError(
        f"cannot read {file}: {reason_of(error)}",
        hint="see that it is a file that you may read; a copy of the whole folder has it, too",
    )


def _decode(data: bytes, kind: type[AnyRecord], place: str) -> AnyRecord:
    try:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            # Metrics that are not finite were written as null. Only then is the slow way worth its
            # time.
            return msgspec.convert(_with_nan(msgspec.json.decode(data)), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"{place}: is damaged: {str(error)[:200]}", hint=RUN_AGAIN
        ) from None


def _with_nan(value: object, *, of_measures: bool = False) -> object:
    """`value` with NaN for every null loss and error of a table of metrics, and for every null
    measure of a party."""
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    if isinstance(value, dict):
        metrics = {"loss", "error", "examples"} <= value.keys()
        return {
            key: math.nan
            if item is None and (of_measures or (metrics and key in ("loss", "error")))
            else _with_nan(item, of_measures=key == "measures")
            for key, item in value.items()
        }
    return value
