"""The peers file: who a node may speak to, by public key, and where they are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from troth.crypto.identity import PublicId, parse_public_id
from troth.errors import UsageError, reason_of
from troth.ids import NodeId

MAX_PEERS_BYTES = 64 * 2**20

MAX_SHOWN = 160
"""Characters of a wrong URL that an error shows."""

_TABLES = {"peers", "addresses"}

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
"""Labels of a host's name (RFC 1123, 2.1), with the underscores that local names have."""


def read_peers(path: Path) -> dict[NodeId, PublicId]:
    """The public id of every node that the file names.

    ```toml
    [peers]
    server = "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12"
    party-0 = "..."
    ```

    Raises:
      UsageError: the file cannot be read, does not say that, or gives two nodes one key.
    """
    table = _document(path)["peers"]
    peers: dict[NodeId, PublicId] = {}
    owner: dict[str, str] = {}
    for name, public in table.items():
        if not isinstance(public, str) or parse_public_id(public) is None:
            raise UsageError(
                f"{path}: peers.{name} is not a public id of 64 hexadecimal digits",
                hint="troth identity show FILE prints it",
            )
        if public in owner:
            raise UsageError(
                f"{path}: peers.{name} has the same public id as peers.{owner[public]}",
                hint="every node needs an identity of its own",
            )
        owner[public] = name
        peers[NodeId(name)] = PublicId(public)
    return peers


def read_addresses(path: Path) -> dict[NodeId, str]:
    """Where nodes listen, as far as the file says.

    ```toml
    [addresses]
    party-0 = "https://HOST:PORT"
    ```

    Raises:
      UsageError: the file cannot be read, or gives the address of somebody who is not in `[peers]`.
    """
    document = _document(path)
    addresses: dict[NodeId, str] = {}
    for name, url in document.get("addresses", {}).items():
        if not isinstance(url, str):
            raise UsageError(
                f"{path}: addresses.{name} is not an address in quotes",
                hint=f'write {name} = "https://HOST:PORT"',
            )
        url = node_url(url, f"{path}: addresses.{name}")
        if name not in document["peers"]:
            raise UsageError(
                f"{path}: addresses.{name} is the address of somebody who is not in [peers]",
                hint="see that the name is spelt the same in both tables",
            )
        addresses[NodeId(name)] = url
    return addresses


def node_url(text: str, said_by: str) -> str:
    """The URL at which a node listens, without a slash at its end.

    Args:
      said_by: the option, or the file and key, that says it.

    Raises:
      UsageError: it is not of the form https://HOST:PORT.
    """
    try:
        parts = urlsplit(text)
        whole = parts.scheme == "https" and bool(parts.port) and _is_host(parts.hostname or "")
    except ValueError:  # of a port or an address of IPv6
        whole = False
    if not whole or "@" in text or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(
            f"{said_by} {text[:MAX_SHOWN]!a} is not of the form https://HOST:PORT",
            hint="the node that listens says its URL when it starts",
        )
    return text.rstrip("/")


def _is_host(text: str) -> bool:
    """Whether this is a host's name, or an address of IPv4 or IPv6."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return _HOST.fullmatch(text) is not None


def _document(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            document = tomllib.loads(file.read(MAX_PEERS_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {reason_of(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML: {str(error).lower()}") from None
    tables = all(isinstance(table, dict) for table in document.values())
    if not tables or not document.get("peers") or document.keys() - _TABLES:
        raise UsageError(
            f"{path}: holds something else than a table [peers], and perhaps [addresses]",
            hint='write one line for each node: party-0 = "PUBLIC ID"',
        )
    return document


def peers_text(
    peers: Mapping[NodeId, PublicId], addresses: Mapping[NodeId, str] | None = None
) -> str:
    """A file that `read_peers` and `read_addresses` read."""
    lines = ["[peers]", *_lines(peers)]
    if addresses:
        lines += ["", "[addresses]", *_lines(addresses)]
    return "\n".join([*lines, ""])


def _lines(table: Mapping[NodeId, str]) -> list[str]:
    return [f'"{name}" = "{value}"' for name, value in sorted(table.items())]
