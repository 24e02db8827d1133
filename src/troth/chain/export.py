"""A chain as text: JSON, one object a line, bytes in hexadecimal digits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from troth.chain.audit import Audit
from troth.chain.kind import AnyGenesis, B, G
from troth.chain.store import ChainFile
from troth.ids import NodeId


def blocks_of(file: ChainFile, audit: Audit[G, B, Any]) -> Iterator[B]:
    """The blocks of the winning chain, ascending, one in memory at a time.

    Args:
      audit: of this file, still open.
    """
    source = NodeId(file.path.name)
    wanted = set(audit.branch)
    for row in file.rows():
        if row.block.hash in wanted:
            yield audit.kind.read_block(row.block, source)


def export_lines(file: ChainFile, audit: Audit[G, B, Any]) -> Iterator[str]:
    """The genesis, then every block of the winning chain.

    Args:
      audit: of this file, still open, so nothing that is not sound is passed on.
    """
    yield json.dumps(genesis_json(audit.genesis) | {"charter": json.loads(file.facts.charter)})
    for block in blocks_of(file, audit):
        yield json.dumps(block_json(audit, block))


def genesis_json(genesis: AnyGenesis) -> dict[str, object]:
    """Its fields, and the chain's id."""
    record = genesis.record
    return {"kind": "genesis", "id": record.digest.hex(), **_fields(record.content)}


def block_json(audit: Audit[G, B, Any], block: B) -> dict[str, object]:
    """The fields of a block of an audited chain, its hash, and the names of those who certified
    it."""
    certificate = block.certificate
    return {
        "kind": "block",
        "hash": block.block.digest.hex(),
        **_fields(block.block.content),
        "certificate": None
        if certificate is None
        else _fields(certificate) | {"signers": audit.kind.signers(audit.genesis, block)},
    }


def _fields(struct: msgspec.Struct) -> dict[str, object]:
    return {name: _plain(value) for name, value in msgspec.structs.asdict(struct).items()}


def _plain(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case np.ndarray():
            return value.tolist()
        case msgspec.Struct():
            return _fields(value)
        case tuple():
            return [_plain(entry) for entry in value]
        case _:
            return value
