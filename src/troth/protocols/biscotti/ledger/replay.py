"""Replaying a run from its chain file alone (section 4.2 of the paper: anybody can verify).

An auditor does all that peers do with blocks, and what each of them does for one slot a round only:
it checks every slot of noise that was opened. A peer that is given a file to begin with does with
its blocks what it does with those that others send it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from troth.chain.audit import Audit, BadChainError, Follow, Trusted, audit
from troth.chain.errors import GenesisError
from troth.chain.store import ChainFile, Facts
from troth.errors import CharterError, PeerError, RoundFailedError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.blaming.auditing import CheckOpening
from troth.protocols.biscotti.ledger.block import CertifiedBlock, NoiseOpening
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.protocols.biscotti.ledger.initializing import check_genesis_of
from troth.protocols.biscotti.ledger.kind import KIND
from troth.protocols.biscotti.ledger.verifying import accept, verify
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.setting import setting_of
from troth.protocols.protocol import CharterTables
from troth.wire import Float32s

ReadCharter = Callable[[bytes], CharterTables[Biscotti]]
"""A function that gives what a charter in canonical JSON says, or raises `CharterError`."""


class CheckBlock(Protocol):
    """A function that checks a block, and gives where the chain stands after it:
    `verifying.verify`, or `verifying.accept`."""

    def __call__(
        self, rules: Rules, head: Head, certified: CertifiedBlock, *, sender: NodeId
    ) -> Head: ...


@dataclass(frozen=True)
class BadSlot:
    """A slot of noise that its noiser has opened and that is not what it has committed to."""

    round: Round
    noiser: NodeId
    slot: int


@dataclass(frozen=True, eq=False)
class Replayed:
    """What replaying has found out of a run up to a block."""

    rules: Rules
    head: Head
    opened: int = 0
    """How many slots of noise were opened and checked."""
    bad_slots: tuple[BadSlot, ...] = ()
    """Opened slots that are not the noise committed to. A block with one of them is sound: those
    who certify it check one slot each."""


def replay(
    file: ChainFile, read_charter: ReadCharter
) -> Audit[CheckedGenesis, CertifiedBlock, Replayed]:
    """Check a chain file completely: its structure, and that every block is what this protocol's
    rules give for what it says.

    Raises:
      BadChainError: names the first block and field that are wrong; a charter of another protocol
        is one.
      VerificationError: the file is damaged as a database.
    """

    def begin(genesis: CheckedGenesis, facts: Facts) -> Replayed:
        rules, model_D = _rules(file.path, genesis, facts, read_charter)
        return Replayed(rules, rules.first(model_D))

    def follow(
        _: CheckedGenesis, below: Replayed, certified: CertifiedBlock, /, *, sender: NodeId
    ) -> Replayed:
        head = _checked(verify, below.rules, below.head, certified, sender)
        block = certified.block.content
        bad = [
            BadSlot(block.round, opening.noiser, opening.slot)
            for opening in block.openings
            if not _opens(below.rules, block.round, opening)
        ]
        return replace(
            below,
            head=head,
            opened=below.opened + len(block.openings),
            bad_slots=(*below.bad_slots, *bad),
        )

    return audit(file, KIND, begin=begin, follow=follow)


def replay_own(
    file: ChainFile, rules: Rules, initial_D: Float32s, *, trusted: bytes | None = None
) -> Audit[CheckedGenesis, CertifiedBlock, Head]:
    """Check a file that a peer is to begin with: that it is of the peer's own genesis, and every
    block of it as one that another peer sends.

    Args:
      trusted: hash of a block that somebody trusted has named; up to there, only what
        `verifying.accept` says is checked.

    Raises:
      BadChainError: names the first block and field that are wrong.
      VerificationError: the file is damaged as a database, or `trusted` is no certified block of
        its winning chain.
    """
    own = rules.genesis.id
    if file.facts.id != own:
        raise BadChainError(
            file.path, 0, "id", f"is {file.facts.id.hex()[:64]}, and this peer's is {own.hex()}"
        )

    def by(check: CheckBlock) -> Follow[CheckedGenesis, CertifiedBlock, Head]:
        def follow(
            _: CheckedGenesis, below: Head, certified: CertifiedBlock, /, *, sender: NodeId
        ) -> Head:
            return _checked(check, rules, below, certified, sender)

        return follow

    vouched = None if trusted is None else Trusted(trusted, by(accept))
    first = rules.first(initial_D)
    return audit(file, KIND, begin=lambda *_: first, follow=by(verify), trusted=vouched)


def _checked(
    check: CheckBlock, rules: Rules, head: Head, certified: CertifiedBlock, source: NodeId
) -> Head:
    try:
        return check(rules, head, certified, sender=source)
    except RoundFailedError as error:
        raise PeerError(
            f"name committees that nobody is drawn for: {error.message}", culprits=(source,)
        ) from None


def _rules(
    path: Path, genesis: CheckedGenesis, facts: Facts, read_charter: ReadCharter
) -> tuple[Rules, Float32s]:
    """What blocks are held against, and w_0, of a genesis whose charter and model lie beside it."""
    content = genesis.content
    try:
        charter_tables = read_charter(facts.charter)
        setting = setting_of(
            charter_tables, charter=content.generator_id, dimension=content.dimension
        )
    except CharterError as error:
        raise BadChainError(path, 0, "charter", f"cannot be replayed: {error.message}") from None
    if len(facts.model) != 4 * content.dimension:
        raise BadChainError(
            path, 0, "model", f"has {len(facts.model)} bytes for {content.dimension} parameters"
        )
    if content.generators == replace(setting, modelled=True).key.generators.digest():
        raise BadChainError(
            path, 0, "generators", "are those of a simulation whose commitments bind nobody"
        )
    model_D = np.frombuffer(facts.model, dtype="<f4").astype(np.float32)
    try:
        check_genesis_of(genesis, charter_tables, setting, model_D, content.charter, own=None)
    except GenesisError as error:
        raise BadChainError(path, 0, error.field, error.problem) from None
    return Rules(genesis, setting, charter_tables), model_D


def _opens(rules: Rules, round: Round, opening: NoiseOpening) -> bool:
    if rules.setting.sigma is None:
        return False
    root = rules.genesis.by_name[opening.noiser].noise_root
    return CheckOpening(rules.setting, root, round, opening).run(None).good
