"""The parts of a real node: identities, peers files, journals, links, deadlines."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.crypto.identity import Identity, parse_public_id
from troth.errors import LocalError, UsageError, VerificationError
from troth.ids import NodeId
from troth.records import Summary
from troth.report.folder import RunFolder
from troth.wire import encode_array
from troth.worlds.real import tls
from troth.worlds.real.deadline import AdaptiveDeadline
from troth.worlds.real.journal import Checkpoint, Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Link, Refusal
from troth.worlds.real.peers import peers_text, read_addresses, read_peers

ANN, BOB = NodeId("ann"), NodeId("bob")
SUMMARY = Summary(
    status="running",
    world="real",
    name="a",
    protocol="tormentor",
    seed=1,
    troth_version="0",
    charter_digest="sha256:0",
)
ACTIONS = ("send", "carry", "lose answer", "replay", "save", "crash")


def test_an_identity_survives_its_file_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ann.pem"
    made = Identity.create()
    made.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Identity.load(path).public == made.public
    assert parse_public_id(made.public) is not None
    with pytest.raises(UsageError, match="exists already"):
        Identity.create().save(path)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="its mode is 0640"):
        Identity.load(path)


def test_a_secret_is_not_printed_and_not_sent() -> None:
    identity = Identity.create()
    secret = identity.key.private_bytes_raw().hex()
    assert secret not in repr(identity)
    assert "<redacted>" in repr(identity)
    with pytest.raises(LocalError, match="no wire encoder"):
        encode_array(identity)
    with pytest.raises(TypeError):
        pickle.dumps(identity)


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAA==\n", "x" * 9000])
def test_what_is_no_identity_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.pem"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="is not an Ed25519 secret key"):
        Identity.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        Identity.load(tmp_path / "none.pem")


def test_a_peers_file_is_read_as_written(tmp_path: Path) -> None:
    peers = {ANN: Identity.create().public, BOB: Identity.create().public}
    path = tmp_path / "peers.toml"
    path.write_text(peers_text(peers))
    assert read_peers(path) == peers


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[peers", "is not TOML"),
        ("", r"something else than a table \[peers\]"),
        ('[addresses]\nann = "https://a:1"\n', "something else"),
        ("peers = 5\n", "something else"),
        ("[peers]\n[more]\n", "something else"),
        ('[peers]\nann = "abc"\n', "peers.ann is not a public id"),
        ("[peers]\nann = 5\n", "peers.ann is not a public id"),
        ('[peers]\nann = "{0}"\nbob = "{0}"\n', "peers.bob has the same public id as peers.ann"),
    ],
)
def test_a_bad_peers_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(text.format("ab" * 32))
    with pytest.raises(UsageError, match=problem):
        read_peers(path)


def test_addresses_are_read_as_written(tmp_path: Path) -> None:
    peers = {ANN: Identity.create().public, BOB: Identity.create().public}
    addresses = {BOB: "https://bob.example:8443"}
    path = tmp_path / "peers.toml"
    path.write_text(peers_text(peers, addresses))
    assert (read_peers(path), read_addresses(path)) == (peers, addresses)
    path.write_text(peers_text(peers))
    assert read_addresses(path) == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ann = 5", "addresses.ann is not an address in quotes"),
        ('anne = "https://a:1"', r"addresses.anne is the address of somebody who is not in"),
    ],
)
def test_bad_addresses_are_refused(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(peers_text({ANN: Identity.create().public}) + f"[addresses]\n{line}\n")
    with pytest.raises(UsageError, match=problem):
        read_addresses(path)


def test_a_journal_gives_back_what_was_last_saved(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, node=ANN, run="run")
    journal.save(
        Checkpoint(
            state=b"one",
            tally=b"t",
            received={BOB: 3},
            inbox={(BOB, 3): b"three", (BOB, 1): b"one"},
            outbox={(BOB, 5): b"five"},
        )
    )
    second = Checkpoint(
        state=b"two",
        tally=b"u",
        received={BOB: 4},
        inbox={(BOB, 1): b"one", (BOB, 4): b"four"},
        outbox={(BOB, 5): b"five", (BOB, 6): b"six"},
    )
    journal.save(second)
    secret, starts = journal.secret_seed, journal.starts
    # Whoever is killed does not close it.
    copied = tmp_path / "copy.sqlite"
    for suffix in ("", "-wal", "-mark"):
        (tmp_path / f"copy.sqlite{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    journal.close()
    for place in (path, copied):
        again = Journal(place, node=ANN, run="run")
        assert again.load() == second
        assert list(again.load().inbox) == [(BOB, 1), (BOB, 4)]
        assert (again.secret_seed, again.starts) == (secret, starts + 1)
        again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_in_place_of_a_lost_one_counts_on_from_above_it(tmp_path: Path) -> None:
    """So no number of a message is given twice."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, node=ANN, run="run")
    journal.start_above(500)
    journal.start_above(3)
    assert journal.starts == 500
    journal.close()
    again = Journal(path, node=ANN, run="run")
    assert again.starts == 501
    again.close()


def test_a_journal_has_one_process_one_node_and_one_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, node=ANN, run="run")
    with pytest.raises(UsageError, match="another process runs this node"):
        Journal(path, node=ANN, run="run")
    journal.close()
    with pytest.raises(VerificationError, match="belongs to another node"):
        Journal(path, node=BOB, run="run")
    with pytest.raises(VerificationError, match="belongs to another run"):
        Journal(path, node=ANN, run="other")
    path.write_bytes(b"no database at all, but long enough to look at" * 50)
    with pytest.raises(VerificationError, match="is not a journal"):
        Journal(path, node=ANN, run="run")
    with pytest.raises(UsageError, match="cannot be written"):
        Journal(tmp_path / "nowhere" / "j.sqlite", node=ANN, run="run")


def test_a_save_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", node=ANN, run="run")
    journal.save(Checkpoint(state=b"one", tally=b""))
    with pytest.raises((OverflowError, sqlite3.Error)):
        journal.save(Checkpoint(state=b"two", tally=b"", received={BOB: 2**64}))
    assert journal.load().state == b"one"
    journal.close()


@given(st.data())
def test_messages_arrive_once_and_in_order_whatever_the_network_and_crashes_do(
    data: st.DataObject,
) -> None:
    """A sender and a receiver that is set back to what is durable now and then; requests and
    answers that are lost. What the receiver took since it was last set back is an unbroken
    continuation of what it had then."""
    sender = Link(BOB, starts=1, limits=Limits())
    receiver = Link(ANN, starts=1, limits=Limits())
    sent: list[bytes] = []
    taken: list[bytes] = []
    durable: list[bytes] = []
    for _ in range(data.draw(st.integers(1, 60))):
        match data.draw(
            st.sampled_from(["send", "carry", "lose answer", "replay", "save", "crash"])
        ):
            case "send":
                sent.append(str(len(sent)).encode())
                sender.send(sent[-1])
            case "save":
                receiver.durable = receiver.received
                durable = list(taken)
            case "crash":
                receiver.received = receiver.durable
                taken = list(durable)
            case "replay" if receiver.received:
                with pytest.raises(Refusal, match="already"):
                    receiver.check(receiver.received, 0)
            case action:
                message = sender.next_after(sender.delivered)
                if message is not None:
                    number, previous, body = message
                    try:
                        receiver.check(number, previous)
                    except Refusal:
                        pass
                    else:
                        receiver.received = number
                        taken.append(body)
                if action != "lose answer":
                    sender.peer_holds(received=receiver.received, durable=receiver.durable)
        assert taken == sent[: len(taken)]
    # In the end everything gets there.
    for _ in range(len(sent) + 1):
        sender.peer_holds(received=receiver.received, durable=receiver.durable)
        message = sender.next_after(sender.delivered)
        if message is not None:
            receiver.check(*message[:2])
            receiver.received = message[0]
            taken.append(message[2])
    assert taken == sent


def test_numbers_are_never_used_twice() -> None:
    first, second = (Link(BOB, starts=starts, limits=Limits()) for starts in (1, 2))
    for link in (first, second):
        for _ in range(3):
            link.send(b"")
    assert not first.outbox.keys() & second.outbox.keys()
    assert max(first.outbox) < min(second.outbox)


def test_a_deadline_follows_the_answers() -> None:
    deadline = AdaptiveDeadline(patience=4.0)
    assert deadline.wait_s(2.0) == 2.0
    deadline.answered(1.0)
    # RFC 6298, 2.2: SRTT = R, RTTVAR = R / 2.
    assert deadline.wait_s(0.1) == 1.0 + 4 * 0.5
    deadline.answered(2.0)
    # RFC 6298, 2.3: RTTVAR = 3/4 * 0.5 + 1/4 * 1, SRTT = 7/8 * 1 + 1/8 * 2.
    assert deadline.wait_s(0.1) == pytest.approx(1.125 + 4 * 0.625)
    assert deadline.wait_s(60.0) == 60.0
    for _ in range(200):
        deadline.answered(0.01)
    assert deadline.wait_s(0.001) == pytest.approx(0.01, rel=0.01)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="keys pass through memory on Linux")
def test_keys_pass_through_no_file_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a key is written to a disk")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    tls.open_server_context(Identity.create())


def test_elsewhere_keys_pass_through_a_file_that_is_gone_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tls.open_server_context(Identity.create())
    assert not list(tmp_path.iterdir())


def test_files_of_a_node_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "node", "a = 1", SUMMARY, private=True)
    (folder.path / ".summary.json.partial").write_text("a leftover")
    (folder.path / ".summary.json.partial").chmod(0o644)
    folder.write_summary(SUMMARY)
    folder.truncate_rounds(0)
    folder.write_model({"params": np.zeros(3, np.float32)}, "sha256:0")
    assert {file.stat().st_mode & 0o777 for file in folder.path.iterdir()} == {0o600}
