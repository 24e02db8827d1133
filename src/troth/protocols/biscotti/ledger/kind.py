"""Chains of this protocol, as `troth.chain` reads, checks and writes them."""

from __future__ import annotations

from pathlib import Path

from troth.chain.audit import Audit, audit
from troth.chain.kind import ChainKind
from troth.chain.store import ChainFile, ChainStore, Facts
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import Block, CertifiedBlock, read_sealed
from troth.protocols.biscotti.ledger.genesis import (
    CheckedGenesis,
    Genesis,
    check_named,
    read_genesis,
)
from troth.protocols.biscotti.ledger.link import ChainState, check_link, first_state, signers_of


def _genesis_in(facts: Facts, source: NodeId) -> CheckedGenesis:
    genesis = read_genesis(facts.genesis, source=source)
    check_named(genesis, facts.charter, facts.model)
    return genesis


KIND = ChainKind(
    genesis=Genesis,
    block=Block,
    read_genesis=_genesis_in,
    read_block=read_sealed,
    signers=signers_of,
    # Peers have signed their entries, so reading them can say whose was altered.
    explained=frozenset(["peers"]),
)


def open_chain(path: Path, genesis: CheckedGenesis, *, charter: bytes, model: bytes) -> ChainStore:
    """A peer's own chain on its disk, open for writing; made where there is none.

    Args:
      charter: the charter of the genesis, as canonical JSON.
      model: w_0, as `model_bytes` writes it.

    Raises:
      GenesisError: `charter` or `model` is not what the genesis names.
      UsageError, VerificationError: as `ChainStore`.
    """
    check_named(genesis, charter, model)
    record = genesis.record
    return ChainStore(path, Facts(record.data, record.index, record.digest, charter, model))


def audit_structure(file: ChainFile) -> Audit[CheckedGenesis, CertifiedBlock, ChainState]:
    """Check all of a chain file that `link.check_link` can, without replaying the run.

    Raises:
      BadChainError: names the first block and field that are wrong.
      VerificationError: the file is damaged as a database.
    """
    return audit(file, KIND, begin=lambda genesis, _: first_state(genesis), follow=check_link)
