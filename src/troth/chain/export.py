"""A chain as text: JSON, one object a line, bytes in hexadecimal digits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from troth.chain.audit import Audit
from troth.chain.store import ChainFile
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import CertifiedBlock, read_block, read_certificate
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis
from troth.protocols.biscotti.ledger.link import signers_of


def blocks_of(file: ChainFile, audit: Audit[Any]) -> Iterator[CertifiedBlock]:
    """The blocks of the winning chain, one in memory at a time.

    Args:
      audit: of this file, still open.
    """
    source = NodeId(file.path.name)
    wanted = set(audit.line)
    for row in file.rows():
        if row.hash in wanted:
            yield CertifiedBlock(
                read_block(row.data, sender=source),
                None
                if row.certificate is None
                else read_certificate(row.certificate, sender=source),
            )


def export_lines(file: ChainFile, audit: Audit[Any]) -> Iterator[str]:
    """The genesis, then every block of the winning chain.

    Args:
      audit: of this file, still open, so nothing that is not sound is passed on.
    """
    yield json.dumps(genesis_json(audit.genesis) | {"charter": json.loads(file.facts.charter)})
    for block in blocks_of(file, audit):
        yield json.dumps(block_json(audit.genesis, block))


def genesis_json(genesis: CheckedGenesis) -> dict[str, object]:
    """Its fields, and the chain's id."""
    return {"kind": "genesis", "id": genesis.id.hex(), **_fields(genesis.content)}


def block_json(genesis: CheckedGenesis, certified: CertifiedBlock) -> dict[str, object]:
    """Its fields, its hash, and the names of those who certified it."""
    return {
        "kind": "block",
        "hash": certified.hash.hex(),
        **_fields(certified.block.content),
        "certificate": None
        if certified.certificate is None
        else {
            "signers": signers_of(genesis, certified),
            "signature": certified.certificate.signature.hex(),
        },
    }


def summary_json(genesis: CheckedGenesis, certified: CertifiedBlock) -> dict[str, object]:
    """What a table of blocks says of it; `stake` is how much stake there is more than before."""
    block = certified.block.content
    return {
        "height": block.height,
        "proposer": block.proposer or "",
        "updates": len(block.contributions),
        "verdicts": len(block.verdicts),
        "signers": len(signers_of(genesis, certified)),
        "evidence": len(block.evidence),
        "stake": sum(change.amount for change in block.stake_changes),
        "hash": certified.hash.hex(),
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
