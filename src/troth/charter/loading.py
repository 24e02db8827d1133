"""Reads a charter or a scenario: the way from a file to something that can be run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from troth.charter.arguments import path_of
from troth.charter.charter import Charter
from troth.charter.document import Document, parse, read_text, without_nulls
from troth.charter.explain import explain, not_finite
from troth.charter.extension import foreign_of, with_extension
from troth.charter.file import CHARTER_KEYS, WORLD_KEYS, charter_file, scenario_file
from troth.charter.inlining import inline_charter
from troth.charter.keys import parse_key
from troth.charter.overrides import Override, apply_overrides, parse_override
from troth.charter.scenario import Scenario
from troth.charter.shorthand import spell_out
from troth.charter.validate import validate, validate_charter
from troth.charter.words import kind
from troth.errors import CharterError, UsageError, charter_errors_in
from troth.protocols.lookup import protocol_named
from troth.specification import tag

BASE = ".base"
"""The file beside a scenario that a run keeps, with the folder of what it is a copy of."""

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario that can be run, and where it came from."""

    scenario: Scenario
    text: str
    """Exact TOML: the file with its comments, a charter that it names inlined, overrides applied.
    Loading it again gives an equal scenario."""
    path: Path
    base: Path
    """The folder in which relative paths and `module:callable` are looked up."""


def load_scenario(
    path: Path | str, *, overrides: Sequence[str] = (), base: Path | str | None = None
) -> LoadedScenario:
    """Reads, completes and validates a scenario.

    Args:
      path: a TOML file. The charter's tables stand in it, or in the file that its `charter` names.
      overrides: `key=value`, applied in order.
      base: folder for relative paths; absent: the file's own, or for a copy in a run's folder,
        that of the original.

    Raises:
      UsageError: there is no such file, or an argument is of another type.
      CharterError: it does not say something that can be run; names file, key, value and what to
        try.
    """
    path = path_of(path, "path")
    given = isinstance(overrides, list | tuple) and all(isinstance(one, str) for one in overrides)
    if not given:
        raise UsageError(
            "overrides are not a list of texts", hint='give them as ["training.rounds=5"]'
        )
    base = _base_of(path) if base is None else path_of(base, "base")
    return load_text(read_text(path), path=path, base=base, overrides=overrides)


def _base_of(path: Path) -> Path:
    """The file's own folder, or for a copy that a run keeps, the folder of what it is a copy of."""
    try:
        kept = Path(os.fsdecode((path.parent / BASE).read_bytes()))
    except OSError:
        return path.parent
    return kept if kept.is_dir() else path.parent


def load_text(
    text: str, *, path: Path, base: Path, overrides: Sequence[str] = ()
) -> LoadedScenario:
    """Reads, completes and validates a scenario that is given as text.

    Args:
      path: what errors call the text.
      base: folder for relative paths and `module:callable`.
      overrides: as in `load_scenario`.

    Raises:
      CharterError: as in `load_scenario`.
    """
    document = parse(text, path)
    charter_file: Path | None = None
    if "charter" in document:
        charter_file = _charter_file(document, path, base)
        text = _with_charter(text, document, path, charter_file)
        document = parse(text, path)
    changes = [parse_override(override) for override in overrides]
    text, document = apply_overrides(text, document, changes, str(path))
    try:
        scenario = scenario_of(document)
    except CharterError as error:
        raise _located(error, path, charter_file, changes) from None
    return LoadedScenario(scenario=scenario, text=text, path=path, base=base)


def load_charter(path: Path, *, overrides: Sequence[str] = ()) -> Charter:
    """Reads and validates a charter file, which holds nothing of a simulated world.

    Raises: as `load_scenario`.
    """
    changes = [parse_override(override) for override in overrides]
    text = read_text(path)
    _, document = apply_overrides(text, parse(text, path), changes, str(path))
    _refuse_world_keys(document, path)
    with charter_errors_in(path):
        return _charter_of_document(document)


def charter_of(data: bytes) -> Charter:
    """Reads and validates a charter that `troth.charter.digest.canonical_json` wrote.

    Raises:
      CharterError: `data` are no valid charter; the error names no file.
      VerificationError: its protocol is other code than what is installed here.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise CharterError("is not JSON") from None
    if not isinstance(document, dict):
        raise CharterError(f"is {kind(document)}, not a table")
    return _charter_of_document(without_nulls(document))


def _charter_of_document(document: Document) -> Charter:
    foreign = foreign_of(document)
    charter = _charter_said(convert(_completed(document), charter_file(foreign)))
    validate_charter(charter)
    return charter


def _completed(document: Document) -> Document:
    """The document without short forms, in which `[privacy]` says its mechanism: where it was left
    out, that is the usual one of the protocol."""
    spelt = spell_out(document)
    protocol, privacy = spelt.get("protocol"), spelt.get("privacy", {})
    named = protocol_named(protocol.get("name")) if isinstance(protocol, dict) else None
    if named is not None and isinstance(privacy, dict) and "mechanism" not in privacy:
        spelt["privacy"] = {"mechanism": tag(named.privacy[0]), **privacy}
    return spelt


def _charter_said(said: msgspec.Struct) -> Charter:
    return with_extension(Charter(**{name: getattr(said, name) for name in CHARTER_KEYS}))


def scenario_of(document: Document) -> Scenario:
    """Spells out, converts and validates the document of a scenario file.

    Raises:
      CharterError: it cannot be run; the error names a key of the document, and no file.
    """
    foreign = foreign_of(document)
    said = convert(_completed(document), scenario_file(foreign))
    charter = _charter_said(said)
    scenario = Scenario(charter=charter, **{name: getattr(said, name) for name in WORLD_KEYS})
    validate(scenario)
    return scenario


def convert(spelt: Document, cls: type[S]) -> S:
    """Converts a document without short forms to a typed table; the caller calls its `check`.

    Raises:
      CharterError: the document is no such table; the error names a key of it, and no file.
    """
    error = not_finite(spelt, cls)
    if error is not None:
        raise error
    try:
        return msgspec.convert(spelt, cls)
    except (msgspec.ValidationError, OverflowError) as refusal:
        raise explain(spelt, cls) or CharterError(f"is refused: {refusal}") from None


def _charter_file(document: Document, path: Path, base: Path) -> Path:
    named = document["charter"]
    if not isinstance(named, str):
        raise CharterError(
            f"is {kind(named)}, not the name of a file",
            file=path,
            key="charter",
            value=named,
            hint='write charter = "charter.toml", or the charter\'s tables at the top level',
        )
    both = [name for name in document if name in CHARTER_KEYS]
    if both:
        raise CharterError(
            f'stands here although charter = "{named}" says it',
            file=path,
            key=both[0],
            hint=f"keep {both[0]} in {named} only, or remove charter and write all of it here",
        )
    return base / named


def _with_charter(text: str, document: Document, path: Path, charter_file: Path) -> str:
    try:
        charter_text = read_text(charter_file)
    except UsageError as error:
        raise CharterError(
            f"cannot be read: {error.message}",
            file=path,
            key="charter",
            value=document["charter"],
            hint="the path is relative to the scenario file",
        ) from None
    _refuse_world_keys(parse(charter_text, charter_file), charter_file)
    return inline_charter(text, charter_text)


def _refuse_world_keys(document: Document, path: Path) -> None:
    for name in document:
        if name in WORLD_KEYS or name == "charter":
            raise CharterError(
                "does not belong in a charter",
                file=path,
                key=name,
                hint=f"{name} belongs in a scenario, which simulates the charter",
            )


def _located(
    error: CharterError, path: Path, charter_file: Path | None, changes: Sequence[Override]
) -> CharterError:
    """The same error, which names the `--set` or the file that its key comes from."""
    if error.key is None:
        return error.in_file(path)
    key = parse_key(error.key)
    for change in reversed(changes):
        if change.concerns(key):
            return error.in_file(f"{path} with {change.origin}")
    if charter_file is not None and key[0] in CHARTER_KEYS:
        return error.in_file(charter_file)
    return error.in_file(path)
