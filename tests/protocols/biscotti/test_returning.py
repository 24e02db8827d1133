"""Chain files that a peer is given to begin with: checked or trusted, and what it begins with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_run import small_run

from troth.chain.audit import Audit, BadChainError
from troth.chain.block import VerifiedBlock
from troth.chain.store import ChainFile, ChainStore
from troth.errors import VerificationError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.catching_up.returning import past_of
from troth.protocols.biscotti.ledger.block import CertifiedBlock, certified_text
from troth.protocols.biscotti.ledger.building import certify
from troth.protocols.biscotti.ledger.genesis import build_genesis
from troth.protocols.biscotti.ledger.head import Head
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.protocols.biscotti.ledger.link import empty_block
from troth.protocols.biscotti.ledger.replay import replay_own
from troth.protocols.biscotti.members import Members
from troth.protocols.biscotti.operation.starting import LedgerPeer, checked_file, settle_start
from troth.protocols.biscotti.state import PeerState
from troth.worlds.real.journal import Checkpoint, Journal
from troth.worlds.states import decode_state, encode_state

ME = NodeId("party-4")


def checked(path: Path, trusted: bytes | None = None) -> Audit[Head]:
    run = small_run()
    with ChainFile(path) as file:
        return replay_own(file, run.rules, run.initial_D, trusted=trusted)


def refusal(path: Path, trusted: bytes | None = None) -> BadChainError:
    with pytest.raises(BadChainError) as caught:
        checked(path, trusted)
    return caught.value


def unsound(place: int) -> CertifiedBlock:
    """Certified, and nothing is wrong with it but a signature."""
    first, *others = small_run().blocks[place].block.content.verdicts
    forged = msgspec.structs.replace(first, signature=bytes(64))
    return small_run().changed(place, verdicts=(forged, *others))


def empty_first() -> CertifiedBlock:
    rules = small_run().rules
    first = rules.first(small_run().initial_D)
    return CertifiedBlock(empty_block(rules.genesis, first.state), None)


# ------------------------------------------------------------------ the file


def test_trusted_or_checked_the_same_state_follows(tmp_path: Path) -> None:
    blocks = small_run().blocks
    path = small_run().write(tmp_path / "c.sqlite")
    full = checked(path)
    for trusted in (blocks[0].hash, blocks[2].hash):
        audit = checked(path, trusted)
        assert encode_state(audit.state) == encode_state(full.state)
        assert audit.branch == full.branch == tuple(block.hash for block in blocks)


def test_up_to_the_trusted_block_contents_are_taken_on_trust(tmp_path: Path) -> None:
    block = unsound(0)
    path = small_run().write(tmp_path / "c.sqlite", [block])
    found = refusal(path)
    assert (found.height, found.field) == (1, "verdicts")
    assert checked(path, block.hash).tip.height == 1


def test_above_it_everything_is_checked(tmp_path: Path) -> None:
    first = small_run().blocks[0]
    path = small_run().write(tmp_path / "c.sqlite", [first, unsound(1)])
    found = refusal(path, first.hash)
    assert (found.height, found.field) == (2, "verdicts")


def test_a_certificate_is_never_taken_on_trust(tmp_path: Path) -> None:
    """No hash binds it."""
    run = small_run()
    sealed = run.blocks[0].block
    others = [peer for peer in run.keys if peer not in run.aggregators(0)]
    text = certified_text(sealed.digest)
    signed = {peer: run.keys[peer].certificate.sign(text) for peer in others}
    block = CertifiedBlock(sealed, certify(run.rules, text, signed))
    found = refusal(run.write(tmp_path / "c.sqlite", [block]), block.hash)
    assert (found.height, found.field) == (1, "certificate")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": bytes(32)}, "model"),
        ({"stake": bytes(32)}, "stake"),
        ({"aggregate": np.zeros(3, np.int64)}, "aggregate"),
        ({"aggregate": np.full(31, 2**62)}, "aggregate"),
        ({"chain": bytes(32)}, "chain"),
    ],
)
def test_what_follows_from_a_trusted_block_is_checked(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    block = small_run().changed(0, **changes)
    found = refusal(small_run().write(tmp_path / "c.sqlite", [block]), block.hash)
    assert (found.height, found.field) == (1, field)


def test_the_trusted_block_has_to_be_a_certified_one_of_the_winning_chain(tmp_path: Path) -> None:
    blocks, empty, lost = small_run().blocks, empty_first(), unsound(0)
    path = small_run().write(tmp_path / "c.sqlite", [*blocks, empty])
    for trusted, says in (
        (bytes(32), f"no block has the hash {'00' * 32}"),
        (empty.hash, "block 1 has no certificate"),
    ):
        with pytest.raises(VerificationError, match=says):
            checked(path, trusted)
    branches = small_run().write(tmp_path / "branches.sqlite", [*blocks, lost])
    with pytest.raises(VerificationError, match=f"no block has the hash {lost.hash.hex()}"):
        checked(branches, lost.hash)


def test_a_file_of_another_genesis(tmp_path: Path) -> None:
    run, path = small_run(), tmp_path / "c.sqlite"
    content = run.rules.genesis.content
    genesis = build_genesis(content, content.peers, dict.fromkeys(run.keys, 11))
    with open_chain(path, genesis, charter=run.charter, model=run.model):
        pass
    found = refusal(path)
    assert (found.height, found.field) == (0, "id")
    assert run.rules.genesis.id.hex() in str(found)


@pytest.mark.parametrize("column", ["data", '"index"', "hash", "previous", "certificate"])
def test_any_altered_byte_below_the_trusted_block_is_found(tmp_path: Path, column: str) -> None:
    path = small_run().write(tmp_path / "c.sqlite")
    with closing(sqlite3.connect(path)) as database:
        (data,) = database.execute(f"SELECT {column} FROM blocks WHERE height = 2").fetchone()
    for place in range(0, len(data), max(1, len(data) // 7)):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        copy = tmp_path / "copy.sqlite"
        copy.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(copy)) as database, database:
            database.execute(f"UPDATE blocks SET {column} = ? WHERE height = 2", (bytes(altered),))
        assert refusal(copy, small_run().blocks[2].hash).height in (2, 3), place


# ------------------------------------------------------------------ what the peer begins with


@dataclass
class Folder:
    """A peer's own files."""

    path: Path
    store: ChainStore
    journal: Journal

    @property
    def peer(self) -> LedgerPeer:
        run = small_run()
        return LedgerPeer(ME, Members(run.rules, {}, {}), run.charter, run.initial_D, ())

    @property
    def state(self) -> PeerState | None:
        saved = self.journal.load().state
        return None if saved is None else decode_state(PeerState, saved)

    def keep(self, blocks: Sequence[CertifiedBlock]) -> None:
        for block in blocks:
            self.store.keep(VerifiedBlock(block.sealed))

    def save(self, blocks: Sequence[CertifiedBlock], begun: int) -> PeerState:
        """What it has saved on top of these blocks."""
        run = small_run()
        past = past_of(run.rules, run.rules.first(run.initial_D), blocks, ME)
        state = PeerState(past.head, Round(begun), past.branch, masked=1, takes_part=True)
        self.journal.save(Checkpoint(encode_state(state), b""))
        return state

    def settle(
        self, brought: Sequence[CertifiedBlock] | None = None, trusted: bytes | None = None
    ) -> tuple[str, ...]:
        """Start with a chain file of these blocks, if any."""
        if brought is None:
            return settle_start(self.peer, self.store, self.journal, None)
        path = small_run().write(self.path / "brought.sqlite", brought)
        with checked_file(self.peer, path, trusted) as checked:
            return settle_start(self.peer, self.store, self.journal, checked)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Folder]:
    run = small_run()
    with ExitStack() as opened:
        store = opened.enter_context(
            open_chain(
                tmp_path / "own.sqlite", run.rules.genesis, charter=run.charter, model=run.model
            )
        )
        journal = Journal(tmp_path / "journal.sqlite", node=ME, run="small")
        yield Folder(tmp_path, store, opened.enter_context(closing(journal)))


def test_a_first_start_is_left_alone(own: Folder) -> None:
    assert own.settle() == ()
    assert own.state is None
    assert own.journal.starts == 1


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_new_peer_begins_on_top_of_the_file_and_listens(own: Folder, count: int) -> None:
    blocks = small_run().blocks[:count]
    # An empty block on top is its maker's own affair.
    top = [empty_first()] if count == 0 else []
    (note,) = own.settle([*blocks, *top])
    assert "it listens" in note
    state = own.state
    assert state is not None
    assert state.branch == (small_run().rules.genesis.id, *(block.hash for block in blocks))
    assert state.head.hash == state.branch[-1]
    assert (state.begun, state.forgot, state.checkpoint) == (min(count + 1, 3), True, None)
    assert state.masked == state.contributed == drawn(count)
    assert own.store.tip().certified == count
    # Above whatever the lost journal has counted.
    assert own.journal.starts > 10**6


def drawn(count: int) -> int:
    """Rounds up to the one on top of so many blocks that drew the peer as a contributor."""
    run = small_run()
    head, found = run.rules.first(run.initial_D), 0
    for block in run.blocks[: count + 1]:
        found += ME in run.rules.context(head.before).contributors
        head = run.rules.follow(head, block)
    return found


def test_trust_is_remembered(own: Folder) -> None:
    block = unsound(0)
    trusted, listens = own.settle([block], block.hash)
    assert block.hash.hex() in trusted
    assert "on trust" in trusted
    assert own.store.get(block.hash) is not None
    # The next start needs no file.
    assert own.settle() == (trusted, listens)


def test_a_longer_chain_of_its_own_stays(own: Folder) -> None:
    blocks = small_run().blocks
    own.keep(blocks)
    before = own.save(blocks, begun=3)
    assert own.settle(blocks[:2], blocks[0].hash) == ()
    assert encode_state(own.state) == encode_state(before)


def test_a_longer_chain_of_the_files_wins_and_nothing_is_forgotten(own: Folder) -> None:
    blocks = small_run().blocks
    own.keep(blocks[:1])
    own.save(blocks[:1], begun=3)
    assert own.settle(blocks[:2]) == ()
    state = own.state
    assert state is not None
    assert state.head.hash == own.store.tip().hash == blocks[1].hash
    assert (state.begun, state.forgot, state.masked, state.takes_part) == (3, False, 1, False)


def test_another_branch_is_left_if_it_is_shorter_than_the_trusted_block(own: Folder) -> None:
    blocks, other = small_run().blocks, small_run().changed(0, openings=())
    own.keep([other])
    own.save([other], begun=2)
    own.settle(blocks, blocks[2].hash)
    assert own.state is not None
    assert own.state.head.hash == blocks[2].hash


@pytest.mark.parametrize("saved", [True, False])
def test_a_chain_that_contradicts_the_trusted_block_is_refused(own: Folder, saved: bool) -> None:
    blocks, other = small_run().blocks, small_run().changed(0, openings=())
    own.keep([other])
    before = own.save([other], begun=2) if saved else None
    with pytest.raises(VerificationError, match="holds another chain than block 1 of hash"):
        own.settle(blocks, blocks[0].hash)
    assert own.store.tip().hash == other.hash
    assert encode_state(own.state) == encode_state(before)


def test_a_peer_that_has_lost_its_chain_knows_what_it_began(own: Folder) -> None:
    own.save(small_run().blocks, begun=3)
    assert own.settle(small_run().blocks[:2]) == ()
    state = own.state
    assert state is not None
    assert (state.begun, state.forgot, state.masked) == (3, False, 1)
    assert own.store.tip().height == state.head.height == len(state.branch) - 1 == 2
    assert own.journal.starts == 1


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("left", [0, 2])
def test_a_chain_that_knows_less_than_its_journal_is_refused(
    own: Folder, left: int, finished: bool
) -> None:
    blocks = small_run().blocks
    own.keep(blocks[:left])
    before = own.save(blocks, begun=3)
    if finished:
        own.journal.save(replace(own.journal.load(), result=b"done"))
    with pytest.raises(VerificationError, match=f"lacks block {left + 1}") as refused:
        own.settle()
    assert "--chain" in str(refused.value.hint)
    assert encode_state(own.state) == encode_state(before)
    assert own.store.tip().height == left


@pytest.mark.parametrize(
    "change",
    [
        "data = substr(data, 2)",
        '"index" = substr("index", 2)',
        "certified = certified + 1",
        "anchor = x'00'",
        "previous = x'00'",
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_chain_that_was_altered_is_refused(own: Folder, change: str, finished: bool) -> None:
    blocks = small_run().blocks
    own.keep(blocks)
    own.save(blocks, begun=3)
    if finished:
        own.journal.save(replace(own.journal.load(), result=b"done"))
    own.store._rows(f"UPDATE blocks SET {change} WHERE height = 2")
    with pytest.raises(VerificationError, match="block 2"):
        own.settle()


def test_a_peer_that_has_lost_its_journal_listens(own: Folder) -> None:
    blocks = small_run().blocks[:2]
    own.keep(blocks)
    (note,) = own.settle()
    assert "it listens" in note
    assert own.state is not None
    assert own.state.head.hash == blocks[1].hash
    assert own.state.forgot
