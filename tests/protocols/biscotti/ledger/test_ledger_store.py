"""A peer's chain on its disk: forks, catching up, kills at any point, and one writer."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from small_chain import (
    CHARTER,
    MODEL,
    SENDER,
    certify,
    changed,
    empty,
    follow,
    full_block,
    make_genesis,
    open_store,
    seed,
    small_blocks,
    small_genesis,
    write_chain,
)

from troth.chain.block import SealedBlock, VerifiedBlock
from troth.chain.store import ChainFile, ChainStore, Tip
from troth.errors import LocalError, UsageError, VerificationError
from troth.ids import Round
from troth.protocols.biscotti.ledger.block import CertifiedBlock, read_sealed
from troth.protocols.biscotti.ledger.kind import audit_structure, open_chain
from troth.protocols.biscotti.ledger.link import ChainState, check_link, empty_block, first_state

pytestmark = pytest.mark.filterwarnings(
    # Python 3.12 warns of it where threads run; the children here use none of them.
    "ignore:.*use of fork.*:DeprecationWarning"
)

FIRST = first_state(small_genesis())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chain.sqlite"


def grow(store: ChainStore, state: ChainState, *blocks: CertifiedBlock) -> ChainState:
    for block in blocks:
        state = follow(state, block)
        store.append(VerifiedBlock(block.sealed))
    return state


def sealed(blocks: Sequence[CertifiedBlock]) -> tuple[SealedBlock, ...]:
    return tuple(block.sealed for block in blocks)


def winning(
    store: ChainStore, *, above: int = 0, most_bytes: int = 2**30
) -> tuple[SealedBlock, ...]:
    """The winning chain above a height: what a peer that comes back asks for."""
    return store.branch(store.tip().hash, above=above, most_bytes=most_bytes)


def test_a_new_chain_is_its_genesis(path: Path) -> None:
    with open_store(path) as store:
        assert store.tip() == Tip(small_genesis().id, 0, 0, anchor=small_genesis().id)
        assert store.tips() == (store.tip(),)
        assert winning(store) == ()
        assert store.get(small_genesis().id) is None


def test_blocks_come_back_after_a_restart(path: Path) -> None:
    blocks = small_blocks()
    write_chain(path)
    assert sorted(path.parent.iterdir()) == [path], "nothing lies beside a closed chain"
    with open_store(path) as store:
        assert store.tip() == Tip(blocks[-1].hash, 3, 2, anchor=blocks[-1].hash)
        assert winning(store) == sealed(blocks)
        assert winning(store, above=1) == sealed(blocks[1:])
        assert winning(store, above=3) == ()
        assert store.get(blocks[1].hash) == blocks[1].sealed
        assert store.hashes(blocks[1].hash) == (blocks[0].hash, blocks[1].hash)
        assert store.hashes(blocks[1].hash, above=1) == (blocks[1].hash,)
        assert store.append(VerifiedBlock(blocks[0].sealed)) == store.tip(), "again is nothing new"
        assert winning(store) == sealed(blocks)


def test_other_threads_may_use_it(path: Path) -> None:
    with open_store(path) as store, ThreadPoolExecutor(4) as threads:
        store.append(VerifiedBlock(small_blocks()[0].sealed))
        assert set(threads.map(lambda _: store.tip(), range(20))) == {store.tip()}
        last = threads.submit(store.append, VerifiedBlock(small_blocks()[1].sealed)).result()
    assert last.height == 2


def test_a_block_needs_the_one_below_it(path: Path) -> None:
    blocks = small_blocks()
    with open_store(path) as store:
        with pytest.raises(LocalError, match="no block below it"):
            store.append(VerifiedBlock(blocks[1].sealed))
        raised = certify(changed(blocks[0].block.content, height=2))
        with pytest.raises(LocalError, match="no block below it"):
            store.append(VerifiedBlock(raised.sealed))
        assert store.tip().height == 0


def test_a_peer_that_comes_back_catches_up(path: Path, tmp_path: Path) -> None:
    with open_store(write_chain(path)) as ahead, open_store(tmp_path / "behind.sqlite") as behind:
        state = grow(behind, FIRST, small_blocks()[0])
        while missing := winning(ahead, above=behind.tip().height, most_bytes=1):
            # As it would come over the network.
            received = [read_sealed(block, SENDER) for block in missing]
            state = grow(behind, state, *received)
        assert behind.tip() == ahead.tip()
        assert winning(behind) == winning(ahead)


def test_a_certified_block_beats_an_empty_one_and_what_stands_on_it(path: Path) -> None:
    late = certify(full_block(FIRST))
    with open_store(path) as store:
        lonely = grow(store, FIRST, empty(FIRST))
        lonely = grow(store, lonely, empty(lonely))
        assert store.tip().height == 2
        grow(store, FIRST, late)
        assert store.tip() == Tip(late.hash, 1, 1, anchor=late.hash)
        assert {tip.hash for tip in store.tips()} == {late.hash, lonely.hash}
        assert winning(store) == (late.sealed,)
        higher = certify(full_block(lonely))
        grow(store, lonely, higher)
        smaller = min(late, higher, key=lambda block: block.hash)
        assert store.tip().hash == smaller.hash, "one certificate each: length counts nothing"


def test_an_empty_block_on_top_keeps_the_certified_one_below_it(path: Path) -> None:
    certified = certify(full_block(FIRST))
    with open_store(path) as store:
        state = grow(store, FIRST, certified)
        above = empty(state)
        grow(store, state, above)
        assert store.tip() == Tip(above.hash, 2, 1, anchor=certified.hash)


def test_peers_that_saw_the_same_blocks_in_any_order_choose_the_same(tmp_path: Path) -> None:
    one = certify(full_block(FIRST))
    other = certify(changed(full_block(FIRST), model=seed("other")))
    tips = []
    for name, order in (("a", (one, other)), ("b", (other, one))):
        with open_store(tmp_path / name) as store:
            for block in order:
                grow(store, FIRST, block)
            tips.append(store.tip())
    assert tips[0] == tips[1]
    assert tips[0].hash == min(one.hash, other.hash)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Tip(b"\2", 1, 1, b"\2"), Tip(b"\1", 9, 0, b"\0")),
        (Tip(b"\4", 2, 1, b"\1"), Tip(b"\3", 3, 1, b"\2")),
        (Tip(b"\2", 3, 1, b"\0"), Tip(b"\1", 2, 1, b"\0")),
        (Tip(b"\1", 2, 1, b"\0"), Tip(b"\2", 2, 1, b"\0")),
    ],
)
def test_the_fork_choice(better: Tip, worse: Tip) -> None:
    assert better.preference() > worse.preference()


def test_one_process_writes_and_nobody_reads_meanwhile(path: Path) -> None:
    with open_store(path):
        for open_again in (open_store, ChainFile):
            with pytest.raises(UsageError, match="has it open"):
                open_again(path)
    with ChainFile(path) as one, ChainFile(path) as other:
        assert list(one.rows()) == list(other.rows()) == []


def test_a_chain_goes_on_with_its_own_genesis_only(path: Path) -> None:
    write_chain(path)
    with pytest.raises(VerificationError, match="another genesis"):
        open_store(path, make_genesis(rounds=Round(11)))
    with pytest.raises(VerificationError, match="charter"):
        open_chain(path, small_genesis(), charter=b"{}", model=MODEL)
    with pytest.raises(VerificationError, match="model"):
        open_chain(path, small_genesis(), charter=CHARTER, model=b"")
    with open_store(path) as store:
        assert store.tip().height == 3


def text(path: Path) -> None:
    path.write_text("this is no chain, but long enough to be taken for a database " * 20)


def other_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE blocks (hash BLOB)")
    database.close()


def a_trigger(path: Path) -> None:
    write_chain(path)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TRIGGER t AFTER INSERT ON blocks BEGIN DELETE FROM facts; END")
    database.close()


def another_format(path: Path) -> None:
    write_chain(path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE facts SET value = CAST('x' AS BLOB) WHERE key = 'format'")
    database.close()


@pytest.mark.parametrize("spoil", [text, other_tables, a_trigger, another_format])
def test_what_is_no_chain_is_refused(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    for open_it in (open_store, ChainFile):
        with pytest.raises(VerificationError, match="is not a chain"):
            open_it(path)


def test_files_that_cannot_be_opened(path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        ChainFile(path)
    with pytest.raises(UsageError, match="cannot be opened"):
        open_store(path / "below")


def test_a_damaged_block_of_ones_own_is_noticed(path: Path) -> None:
    write_chain(path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE blocks SET data = CAST(x'00' || data AS BLOB) WHERE height = 1")
        database.execute("UPDATE blocks SET data = (SELECT data FROM blocks WHERE height = 3) "
                         "WHERE height = 2")  # fmt: skip
    database.close()
    with open_store(path) as store:
        for height, block in enumerate(small_blocks()[:2], 1):
            with pytest.raises(VerificationError, match=f"block {height}"):
                store.get(block.hash)


def killed_after(path: Path, instructions: int) -> bool:
    """Whether a process that appends the small chain, reporting each block once it is stored, was
    killed right before SQLite's n-th virtual instruction."""
    blocks = small_blocks()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            connect = sqlite3.connect
            count = iter(range(instructions, -1, -1))

            def step() -> int:
                if next(count) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return 0

            def watched(*arguments: object, **options: object) -> sqlite3.Connection:
                database: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]  # passed on as they are
                database.set_progress_handler(step, 1)
                return database

            sqlite3.connect = watched  # type: ignore[assignment]  # in the child only
            store = open_store(path)
            for block in blocks:
                store.append(VerifiedBlock(block.sealed))
                os.write(write, b".")
            store.close()
        finally:
            os._exit(0)
    os.close(write)
    reported = b""
    while part := os.read(read, 100):
        reported += part
    os.close(read)
    _, status = os.waitpid(child, 0)
    check_sound(path, len(reported))
    return os.WIFSIGNALED(status)


def check_sound(path: Path, reported: int) -> None:
    """Nothing that was reported is lost, and what is there goes on."""
    blocks = small_blocks()
    with open_store(path) as store:
        height = store.tip().height
        assert reported <= height <= reported + 1
        assert winning(store) == sealed(blocks[:height])
        for block in blocks[height:]:
            store.append(VerifiedBlock(block.sealed))
    with ChainFile(path) as file:
        assert audit_structure(file).tip.height == 3


def test_a_kill_between_any_two_steps_of_the_database_loses_nothing(tmp_path: Path) -> None:
    killed = [killed_after(tmp_path / str(n), n) for n in range(1, 2000, 37)]
    assert sum(killed) > 10
    assert not killed[-1], "the last ones were not killed, so all of it was covered"


@pytest.mark.parametrize("heard", range(1, 9))
def test_a_kill_at_any_moment_loses_nothing(path: Path, heard: int) -> None:
    """The process appends empty blocks until it is killed; when, nobody says."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            store, state = open_store(path, LONG), first_state(LONG)
            while True:
                block = empty_of_long(state)
                store.append(VerifiedBlock(block.sealed))
                os.write(write, b".")
                state = follow_long(state, block)
        finally:
            os._exit(1)
    os.close(write)
    reported = b""
    while len(reported) < heard:
        reported += os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    while part := os.read(read, 100):
        reported += part
    os.close(read)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with ChainFile(path) as file:
        assert audit_structure(file).tip.height >= len(reported)
    with open_store(path, LONG) as store:
        assert len(reported) <= store.tip().height <= len(reported) + 1
    with ChainFile(path) as file:
        audit = audit_structure(file)
        assert len(audit.branch) == audit.tip.height == audit.blocks


LONG = make_genesis(rounds=Round(2**32 - 1))


def empty_of_long(state: ChainState) -> CertifiedBlock:
    return CertifiedBlock(empty_block(LONG, state), None)


def follow_long(state: ChainState, block: CertifiedBlock) -> ChainState:
    return check_link(LONG, state, block, sender=SENDER)
