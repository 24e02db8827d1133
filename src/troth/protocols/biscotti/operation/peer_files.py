"""The files that a peer of a ledger brings to a real run, and the chain in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from troth.chain.store import ChainStore
from troth.charter.digest import canonical_json
from troth.charter.loading import LoadedScenario
from troth.deployment.bringing import NodeFiles
from troth.ids import NodeId, PartyId
from troth.protocols.biscotti.ledger.head import Rules, model_bytes
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.operation.founding import (
    check,
    notes_of,
    read_genesis_file,
    read_own,
    terms_of,
)
from troth.report.read import CHAIN
from troth.wire import Float32s


@dataclass(frozen=True, eq=False)
class LedgerPeer:
    """A peer whose files have been read and checked.

    Args:
      members: the peer itself, with its keys, noise and genesis.
      charter: canonical JSON.
      initial_D: w_0, shape (D,).
      notes: what a reader of a run of these peers must know.
    """

    id: NodeId
    members: Members
    charter: bytes
    initial_D: Float32s
    notes: tuple[str, ...]

    def open_chain(self, folder: Path) -> ChainStore:
        """Open the file of the peer's chain in its folder, or make it.

        Raises:
          UsageError, VerificationError: as `ChainStore`.
        """
        genesis = self.members.rules.genesis
        model = model_bytes(self.initial_D)
        return open_chain(folder / CHAIN, genesis, charter=self.charter, model=model)


def read_peer(
    loaded: LoadedScenario, id: NodeId, files: NodeFiles, initial_D: Float32s | None = None
) -> LedgerPeer:
    """Read a peer's files, and compare the genesis with what the peer works out itself.

    Args:
      initial_D: as `terms_of`.

    Raises:
      LocalError: as `terms_of`, `read_own`, `read_genesis_file` and `check`.
    """
    terms = terms_of(loaded, initial_D)
    own = read_own(terms, id, files.secret)
    genesis = read_genesis_file(files.genesis)
    check(terms, genesis, own.entry)
    party = PartyId(id)
    return LedgerPeer(
        id,
        Members(
            Rules(genesis, terms.setting, terms.charter_tables),
            {party: own.keys},
            {party: own.table},
        ),
        canonical_json(loaded.scenario.charter),
        terms.initial_D,
        notes_of(terms, genesis),
    )
