"""A simulated run of ten peers with real cryptography, and its chain as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from troth.chain.block import VerifiedBlock
from troth.charter.digest import canonical_json
from troth.charter.loading import load_text
from troth.charter.scenario import Scenario
from troth.ids import NodeId
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import (
    CertifiedBlock,
    certified_text,
    read_kept,
    seal_block,
)
from troth.protocols.biscotti.ledger.building import certify
from troth.protocols.biscotti.ledger.head import Rules, model_bytes
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.wire import Float32s
from troth.worlds.simulated.stage import make_world, prepare

TEXT = """
name = "small"
seed = 3

[task]
kind = "classification"
data = "breast_cancer"
model = "logistic"

[training]
rounds = 3
learning_rate = 0.1
batch_size = 10

[protocol]
name = "biscotti"

[parties]
count = 10
"""


@dataclass(frozen=True)
class SmallRun:
    """What came of a run."""

    scenario: Scenario
    rules: Rules
    initial_D: Float32s
    keys: dict[NodeId, PeerKeys]
    blocks: tuple[CertifiedBlock, ...]
    """One peer's chain, ascending."""

    @property
    def model(self) -> bytes:
        return model_bytes(self.initial_D)

    @property
    def charter(self) -> bytes:
        return canonical_json(self.scenario.charter)

    def write(self, path: Path, blocks: Sequence[CertifiedBlock] | None = None) -> Path:
        """A chain file of these blocks, which are put in as if they had been verified."""
        genesis = self.rules.genesis
        with open_chain(path, genesis, charter=self.charter, model=self.model) as store:
            for block in self.blocks if blocks is None else blocks:
                store.append(VerifiedBlock(block.sealed))
        return path

    def changed(self, place: int, **changes: object) -> CertifiedBlock:
        """A block with other contents, and a certificate by those who have certified it."""
        block = self.blocks[place]
        sealed = seal_block(msgspec.structs.replace(block.block.content, **changes))
        signers = self.aggregators(place)
        text = certified_text(sealed.digest)
        signatures = {peer: self.keys[peer].certificate.sign(text) for peer in signers}
        return CertifiedBlock(sealed, certify(self.rules, text, signatures))

    def aggregators(self, place: int) -> tuple[NodeId, ...]:
        """Of the round that ends with a block."""
        head = self.rules.first(self.initial_D)
        for block in self.blocks[:place]:
            head = self.rules.follow(head, block)
        return self.rules.context(head.before).aggregators


class Nobody:
    """Watches a run and keeps nothing."""

    def report(self, node: object, report: object, simulated_s: float) -> None: ...

    def refused(self, receiver: object, error: object) -> None: ...


@cache
def small_run() -> SmallRun:
    scenario = load_text(TEXT, path=Path("small.toml"), base=Path()).scenario
    stage = prepare(scenario, base=Path(), root=None)
    world = make_world(stage, Nobody())  # type: ignore[arg-type]  # nothing of it is looked at
    world.start()
    world.run()
    roles = {NodeId(id): role.keywords for id, role in stage.cast.roles.items()}  # type: ignore[attr-defined]  # they are partials
    ledger = world.nodes[stage.parties[0]].store
    branches = [ledger.branch(tip, above=0, most_bytes=2**40) for tip in ledger.hashes]
    return SmallRun(
        scenario,
        roles[stage.parties[0]]["plan"].rules,
        stage.initial_D,
        {id: bound["keys"] for id, bound in roles.items()},
        tuple(map(read_kept, max(branches, key=len))),
    )
