"""The files that a peer of a ledger brings to a real run, and where it begins when it does not
simply go on: with a chain file that it was given, or with what its own files still hold.

A file is checked before anything of it is written. What the peer begins with is then saved as if it
had been stopped there, so the role knows nothing of files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from troth.chain.audit import Audit
from troth.chain.block import VerifiedBlock
from troth.chain.export import blocks_of
from troth.chain.store import ChainFile, ChainStore
from troth.charter.digest import canonical_json
from troth.charter.loading import LoadedScenario
from troth.deployment.bringing import NodeFiles
from troth.errors import VerificationError
from troth.ids import NodeId, PartyId
from troth.protocols.biscotti.catching_up.gossip import MAX_ANSWER_BYTES
from troth.protocols.biscotti.catching_up.returning import Past, past_of, state_on
from troth.protocols.biscotti.ledger.block import CertifiedBlock, read_kept
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis
from troth.protocols.biscotti.ledger.head import Head, Rules, model_bytes
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.protocols.biscotti.ledger.replay import replay_own
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.operation.founding import (
    check,
    notes_of,
    read_genesis_file,
    read_own,
    terms_of,
)
from troth.protocols.biscotti.state import PeerState
from troth.report.progress import Display
from troth.report.read import CHAIN
from troth.wire import Float32s
from troth.worlds.real.journal import Journal
from troth.worlds.states import decode_state, encode_state

SECONDS_PER_START = 8
"""Seconds of the clock for which one start is counted where the journal is lost. No node is started
more often than that, so the count is above the one that the lost journal had."""


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


@dataclass(frozen=True, eq=False)
class Brought:
    """A chain file that a peer was given, checked and still open.

    Args:
      audit: what checking it has found.
      trusted: hash of the block up to which it was taken on trust; None if all was checked.
    """

    file: ChainFile
    audit: Audit[CheckedGenesis, CertifiedBlock, Head]
    trusted: bytes | None


class PeerBringing:
    """How a peer's secret, genesis and chain come into its run: a
    `troth.deployment.bringing.Bringing`."""

    def __init__(self, loaded: LoadedScenario, id: NodeId, files: NodeFiles) -> None:
        self._loaded = loaded
        self._id = id
        self._files = files
        self._brought: Brought | None = None

    def read(self, initial_D: Float32s) -> Members:
        """Reads the peer's keys, noise and genesis; errors are those of `read_peer`."""
        self._peer = read_peer(self._loaded, self._id, self._files, initial_D)
        return self._peer.members

    def check(self, opened: ExitStack, progress: Display) -> None:
        """Checks the chain that the peer brings, if any; errors are those of `checked_file`."""
        if self._files.chain is not None:
            progress.message(f"checks {self._files.chain}")
            checked = checked_file(self._peer, self._files.chain, self._files.trusted)
            self._brought = opened.enter_context(checked)

    def open(
        self, opened: ExitStack, folder: Path, journal: Journal
    ) -> tuple[ChainStore, tuple[str, ...]]:
        """Raises: as `LedgerPeer.open_chain` and `settle_start`."""
        store = opened.enter_context(self._peer.open_chain(folder))
        notes = settle_start(self._peer, store, journal, self._brought)
        return store, (*self._peer.notes, *notes)


@contextmanager
def checked_file(peer: LedgerPeer, path: Path, trusted: bytes | None) -> Iterator[Brought]:
    """Check a chain file that a peer was given, and keep it open within the context.

    Args:
      trusted: hash of a block of the file up to which it is taken on trust; None: check all of it.

    Raises:
      UsageError: it cannot be read.
      VerificationError: as `replay_own`.
    """
    with ChainFile(path) as file:
        audit = replay_own(file, peer.members.rules, peer.initial_D, trusted=trusted)
        yield Brought(file, audit, trusted)


def settle_start(
    peer: LedgerPeer, store: ChainStore, journal: Journal, brought: Brought | None
) -> tuple[str, ...]:
    """Save the state from which a peer begins, where it does not simply go on, and give notes for
    its report on what was not checked or is lost.

    | journal | own chain                  | begins with                                           |
    |---------|----------------------------|-------------------------------------------------------|
    | there   | has the block it stands on | its own, or `brought` by the fork choice              |
    | there   | lacks it                   | `brought`, knowing what rounds it has begun           |
    | lost    | any, or `brought`          | the same, waiting: see `PeerState.forgot`             |
    | none    | none, and none was brought | the genesis: it was never started before              |

    Raises:
      VerificationError: the peer's own chain contradicts the trusted block; it was altered, or
        lacks what the journal stands on while no chain is brought.
      UsageError: the disk does not take it.
    """
    rules, first = peer.members.rules, peer.members.rules.first(peer.initial_D)
    kept = journal.load()
    state: PeerState | None = decode_state(PeerState, kept.state) if kept.state else None
    if state is not None and (brought is None or kept.finished or _holds(store, state.head)):
        store.check(state.branch)
    if kept.finished or (state is None and brought is None and not store.tip().height):
        return _notes(state)
    if state is not None and _holds(store, state.head):
        own = Past(state.head, state.branch, drawn=0)
        if brought is None:
            return _notes(state)
    else:
        own = past_of(rules, first, _branch_of(store), peer.id)
    chosen, checkpoint = own, None
    if brought is not None:
        theirs = past_of(rules, first, blocks_of(brought.file, brought.audit), peer.id)
        wins = theirs.head.preference() > own.head.preference()
        if brought.trusted is not None:
            _check_agrees(store.path, own, theirs, brought.trusted, wins=wins)
        if wins:
            chosen, checkpoint = theirs, brought.trusted
    if state is None:
        # Others know numbers of messages that the lost journal gave.
        journal.start_above(int(time.time()) // SECONDS_PER_START)
    if state is None or chosen is not own or not _holds(store, state.head):
        state = state_on(rules, chosen, state, checkpoint=checkpoint)
        # Before the blocks, so that what was taken on trust is said to be so whatever happens.
        journal.save(replace(kept, state=encode_state(state)))
    if brought is not None and chosen is not own:
        for block in blocks_of(brought.file, brought.audit):
            # Both sources are here: `checked_file` says which.
            store.keep(VerifiedBlock(block.sealed))
    return _notes(state)


def _holds(store: ChainStore, head: Head) -> bool:
    return head.height == 0 or store.get(head.hash) is not None


def _branch_of(store: ChainStore) -> Iterator[CertifiedBlock]:
    """The blocks of the store's winning chain, ascending, with only a few in memory at a time."""
    tip, above = store.tip(), 0
    while above < tip.height:
        blocks = store.branch(tip.hash, above=above, most_bytes=MAX_ANSWER_BYTES)
        yield from map(read_kept, blocks)
        above += len(blocks)


def _check_agrees(path: Path, own: Past, theirs: Past, trusted: bytes, *, wins: bool) -> None:
    if trusted in own.branch:
        return
    height = theirs.branch.index(trusted)
    if own.certified_height >= height or not wins:
        raise VerificationError(
            f"{path}: holds another chain than block {height} of hash {trusted.hex()} is on",
            hint="ask whoever named the hash and other peers which of the two is theirs; to give "
            "this peer's own chain up, start it in a new folder",
        )


def _notes(state: PeerState | None) -> tuple[str, ...]:
    notes = []
    if state is not None and state.checkpoint is not None:
        notes.append(
            f"the chain up to block {state.checkpoint.hex()} was taken on trust, and not checked "
            "completely: whoever named that hash could have made up its models and stake"
        )
    if state is not None and state.forgot:
        notes.append(
            "what this peer did before is lost or was never there: it listens until it begins a "
            "round that it cannot have begun before"
        )
    return tuple(notes)
