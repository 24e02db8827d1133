"""A peer of a ledger: what it brings along, and the chain in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from troth.chain.store import ChainStore
from troth.charter.digest import canonical_json
from troth.charter.loading import LoadedScenario
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


@dataclass(frozen=True)
class PeerFiles:
    """What a peer brings along: what `troth genesis` has made, and perhaps a chain.

    Args:
      secret: its own.
      genesis: of all peers.
      chain: a chain file to begin with.
      trusted: hash of a block of that file, up to which it is taken on trust.
    """

    secret: Path
    genesis: Path
    chain: Path | None = None
    trusted: bytes | None = None


@dataclass(frozen=True, eq=False)
class LedgerPeer:
    """A peer whose files have been read and checked.

    Args:
      notes: what must be known of a run of these peers.
    """

    id: NodeId
    members: Members
    charter: bytes
    initial_D: Float32s
    notes: tuple[str, ...]

    def open_chain(self, folder: Path) -> ChainStore:
        """The peer's chain in its folder.

        Raises:
          UsageError, VerificationError: as `ChainStore`.
        """
        genesis = self.members.rules.genesis
        model = model_bytes(self.initial_D)
        return open_chain(folder / CHAIN, genesis, charter=self.charter, model=model)


def read_peer(loaded: LoadedScenario, id: NodeId, files: PeerFiles) -> LedgerPeer:
    """Read a peer's files, and compare the genesis with what the peer works out itself.

    Raises:
      LocalError: as `terms_of`, `read_own`, `read_genesis_file` and `check`.
    """
    terms = terms_of(loaded)
    own = read_own(terms, id, files.secret)
    genesis = read_genesis_file(files.genesis)
    check(terms, genesis, own.entry)
    party = PartyId(id)
    return LedgerPeer(
        id,
        Members(
            Rules(genesis, terms.setting, terms.protocol, terms.training),
            {party: own.keys},
            {party: own.table},
        ),
        canonical_json(loaded.scenario.charter),
        terms.initial_D,
        notes_of(terms, genesis),
    )
