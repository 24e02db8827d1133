"""From a charter's `[protocol]` table to the record of its protocol.

A protocol that does not come with Troth is found by an entry point of the group `troth.protocols`,
whose name is the protocol's and whose object is its record. It is looked up only when a charter
names a protocol that is not in the registry, so nobody's code is imported for having been
installed. A charter then says which code that was: see `Extension`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from troth.errors import CharterError
from troth.protocols.protocol import Protocol
from troth.protocols.registry import PROTOCOLS
from troth.references import raised
from troth.specification import Table

GROUP = "troth.protocols"

TABLES: tuple[type[Table], ...] = tuple(each.parameters for each in PROTOCOLS)
"""The `[protocol]` tables of the protocols that come with Troth."""

PRIVACY_TABLES: tuple[type[Table], ...] = tuple(
    dict.fromkeys(table for each in PROTOCOLS for table in each.privacy)
)
"""What a charter's `[privacy]` table may be."""

_BY_TABLE: dict[type[Table], Protocol[Any]] = {each.parameters: each for each in PROTOCOLS}
_NAMES = frozenset(each.name for each in PROTOCOLS)


@dataclass(frozen=True)
class Foreign:
    """A protocol that comes from another distribution.

    Args:
      distribution: the name by which it is installed.
      version: of that distribution.
      digest: `sha256:` and 64 hexadecimal digits, over all Python files of the record's package.
    """

    protocol: Protocol[Any]
    distribution: str
    version: str
    digest: str


def protocol_of(parameters: Table) -> Protocol[Any]:
    """The record of the protocol whose table this is."""
    return _BY_TABLE[type(parameters)]


def protocol_named(name: object) -> Protocol[Any] | None:
    """The record of a protocol that comes with Troth or was looked up already; None of any other
    name."""
    return next((each for each in _BY_TABLE.values() if each.name == name), None)


@cache
def foreign_protocol(name: str) -> Foreign | None:
    """The protocol of that name from another distribution; None where nobody has installed one, or
    where Troth has one of that name itself.

    Raises:
      CharterError: it cannot be imported, or is no record of a protocol of that name.
    """
    found = () if name in _NAMES else tuple(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        owners = ", ".join(sorted(_owner(each)[0] for each in found))
        raise CharterError(
            f"is a protocol of several distributions: {owners}",
            key="protocol.name",
            value=name,
            hint="uninstall all but one of them",
        )
    (entry,) = found
    protocol = _loaded(entry)
    _BY_TABLE[protocol.parameters] = protocol
    return Foreign(protocol, *_owner(entry), digest_of_code(entry.module))


def _owner(entry: EntryPoint) -> tuple[str, str]:
    return ("", "") if entry.dist is None else (entry.dist.name, entry.dist.version)


def _loaded(entry: EntryPoint) -> Protocol[Any]:
    try:
        protocol = entry.load()
    except Exception as error:  # whatever the code of others raises
        raise CharterError(
            f"cannot be imported: {entry.value} {raised(error)}",
            key="protocol.name",
            value=entry.name,
            hint=f'try it alone: python -c "import {entry.module}"',
        ) from error
    if not isinstance(protocol, Protocol) or protocol.name != entry.name:
        raise CharterError(
            f"is no record of a protocol of that name: {entry.value}",
            key="protocol.name",
            value=entry.name,
            hint="the entry point names a troth.protocols.protocol.Protocol, whose table has the "
            "tag by which the entry point is called",
        )
    return protocol


def digest_of_code(module: str) -> str:
    """The digest of all Python files of a module's package, or of a module that is in none.

    It covers names and contents of the files, and nothing that they import from elsewhere.
    """
    spec = find_spec(module.rpartition(".")[0] or module)
    assert spec is not None
    files = [
        (file.relative_to(folder).as_posix(), file)
        for folder in map(Path, spec.submodule_search_locations or ())
        for file in folder.rglob("*.py")
    ]
    if not files:
        assert spec.origin is not None
        files = [(Path(spec.origin).name, Path(spec.origin))]
    digest = sha256()
    for name, file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"sha256:{digest.hexdigest()}"
