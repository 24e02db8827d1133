"""The peers file: who a node may speak to, by public key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from troth.crypto.identity import PublicId, parse_public_id
from troth.errors import UsageError
from troth.ids import NodeId

MAX_PEERS_BYTES = 64 * 2**20


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
    try:
        with path.open("rb") as file:
            document = tomllib.loads(file.read(MAX_PEERS_BYTES).decode())
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML: {str(error).lower()}") from None
    table = document.get("peers")
    if not isinstance(table, dict) or len(document) != 1 or not table:
        raise UsageError(
            f"{path}: holds something else than a table [peers]",
            hint='write one line for each node: party-0 = "PUBLIC ID"',
        )
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


def peers_text(peers: Mapping[NodeId, PublicId]) -> str:
    """A file that `read_peers` reads."""
    lines = [f'"{name}" = "{public}"' for name, public in sorted(peers.items())]
    return "\n".join(["[peers]", *lines, ""])
