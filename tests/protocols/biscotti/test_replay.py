"""A run replayed from its chain file: sound as it is, and refused by field when it is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from small_run import small_run

from troth.chain.audit import Audit, BadChainError
from troth.chain.store import ChainFile
from troth.charter.loading import charter_of
from troth.errors import CharterError, VerificationError
from troth.protocols.biscotti.duties.aggregator import chosen
from troth.protocols.biscotti.ledger.block import (
    OPENING,
    VERDICT,
    CertifiedBlock,
    certified_text,
    opening_text,
    signed_list,
)
from troth.protocols.biscotti.ledger.building import certify
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis, StakeUpdate, build_genesis
from troth.protocols.biscotti.ledger.head import model_digest
from troth.protocols.biscotti.ledger.kind import audit_structure, open_chain
from troth.protocols.biscotti.ledger.replay import BadSlot, Replayed, replay
from troth.protocols.biscotti.ledger.stake import apply_changes, stake_changes
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.protocol import CharterTables


def read_charter(data: bytes) -> CharterTables[Biscotti]:
    charter = charter_of(data)
    if not isinstance(charter.protocol, Biscotti):
        raise CharterError("is of another protocol", key="protocol.name")
    return charter.charter_tables


def replayed(path: Path) -> Audit[Replayed]:
    with ChainFile(path) as file:
        return replay(file, read_charter)


def refusal(path: Path) -> BadChainError:
    with pytest.raises(BadChainError) as caught:
        replayed(path)
    return caught.value


def test_a_run_is_replayed_to_its_model(tmp_path: Path) -> None:
    run = small_run()
    found = replayed(run.write(tmp_path / "c.sqlite"))
    assert found.tip.height == found.tip.certified == len(run.blocks) == 3
    assert found.tip.hash == run.blocks[-1].hash
    end = found.state
    assert model_digest(end.head.params_D) == run.blocks[-1].block.content.model
    assert not np.array_equal(end.head.params_D, run.initial_D)
    # Eight peers are audited in each round.
    assert end.opened == 3 * 8
    assert end.bad_slots == ()


def test_a_sum_that_is_not_that_of_the_commitments(tmp_path: Path) -> None:
    run = small_run()
    aggregate_D = run.blocks[0].block.content.aggregate
    assert aggregate_D is not None
    aggregate_D = aggregate_D.copy()
    aggregate_D[5] += 1
    head = run.rules.first(run.initial_D)
    count = len(run.blocks[0].block.content.contributions)
    # The model that follows from the wrong sum, so that nothing else is wrong.
    model = model_digest(run.rules.moved(head, aggregate_D, count)[0])
    block = run.changed(0, aggregate=aggregate_D, model=model)
    path = run.write(tmp_path / "c.sqlite", [block])
    found = refusal(path)
    assert (found.height, found.field) == (1, "aggregate")
    with ChainFile(path) as file:
        assert audit_structure(file).tip.height == 1


def test_a_model_that_does_not_follow(tmp_path: Path) -> None:
    run = small_run()
    found = refusal(run.write(tmp_path / "c.sqlite", [run.changed(0, model=bytes(32))]))
    assert (found.height, found.field) == (1, "model")


def test_a_verdict_of_somebody_who_is_no_verifier(tmp_path: Path) -> None:
    run = small_run()
    content = run.blocks[0].block.content
    context = run.rules.context(run.rules.first(run.initial_D).before)
    foreign = next(peer for peer in run.keys if peer not in context.verifiers)
    first, *others = content.verdicts
    text = signed_list(context.chain, context.round, chosen(first.accepted, content.candidates))
    forged = msgspec.structs.replace(
        first, verifier=foreign, signature=run.keys[foreign].signing.sign(VERDICT, text)
    )
    verdicts = tuple(sorted([forged, *others], key=lambda line: line.verifier))
    # It would gain what verifiers gain, and nothing else is wrong.
    changes = stake_changes(
        run.rules.genesis.content.stake_update,
        context.stake,
        contributors=[line.contributor for line in content.contributions],
        verifiers=[line.verifier for line in verdicts],
        aggregators=[line.aggregator for line in content.acknowledgements],
    )
    stake = apply_changes(context.stake, changes, sender=foreign).digest()
    block = run.changed(0, verdicts=verdicts, stake_changes=changes, stake=stake)
    path = run.write(tmp_path / "c.sqlite", [block])
    with ChainFile(path) as file:
        assert audit_structure(file).tip.height == 1
    found = refusal(path)
    assert (found.height, found.field) == (1, "verdicts")
    assert str(found).splitlines()[0].endswith(f"are by {foreign}, who is no verifier")


def test_a_certificate_of_others(tmp_path: Path) -> None:
    run = small_run()
    sealed = run.blocks[0].block
    others = [peer for peer in run.keys if peer not in run.aggregators(0)]
    text = certified_text(sealed.digest)
    certificate = certify(
        run.rules, text, {peer: run.keys[peer].certificate.sign(text) for peer in others}
    )
    found = refusal(run.write(tmp_path / "c.sqlite", [CertifiedBlock(sealed, certificate)]))
    assert (found.height, found.field) == (1, "certificate")


def test_opened_noise_that_was_not_committed_to_is_named(tmp_path: Path) -> None:
    """Its noiser has signed it, and nobody of the committee happened to check that slot."""
    run = small_run()
    content = run.blocks[0].block.content
    first, *others = content.openings
    text = opening_text(
        content.chain, content.round, first.slot, bytes(32), first.blinding_seed, first.path
    )
    signature = run.keys[first.noiser].signing.sign(OPENING, text)
    false = msgspec.structs.replace(first, seed=bytes(32), signature=signature)
    path = run.write(tmp_path / "c.sqlite", [run.changed(0, openings=(false, *others))])
    found = replayed(path).state
    assert found.bad_slots == (BadSlot(content.round, first.noiser, first.slot),)
    assert found.opened == 8


def other_genesis(**changes: Any) -> CheckedGenesis:
    genesis = small_run().rules.genesis
    stake = changes.pop("stake", genesis.stake())
    agreed = msgspec.structs.replace(genesis.content, **changes)
    return build_genesis(agreed, genesis.content.peers, stake)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rounds": 4}, "rounds"),
        ({"generators": bytes(32)}, "generators"),
        ({"bound": 7}, "bound"),
        ({"fraction_bits": 3}, "fraction_bits"),
        ({"stake_update": StakeUpdate(contributed=6)}, "stake_update"),
        ({"dimension": 30}, "model"),
        ({"stake": {f"party-{index}": 11 for index in range(10)}}, "stake"),
    ],
)
def test_a_genesis_that_is_not_its_charters(
    tmp_path: Path, change: dict[str, object], field: str
) -> None:
    run = small_run()
    path = tmp_path / "c.sqlite"
    with open_chain(path, other_genesis(**change), charter=run.charter, model=run.model):
        pass
    found = refusal(path)
    assert (found.height, found.field) == (0, field)


def spoilt(path: Path, copy: Path, statement: str, *values: object) -> Path:
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as database, database:
        assert database.execute(statement, values).rowcount == 1
    return copy


@pytest.mark.parametrize("column", ["data", '"index"', "hash", "previous", "certificate"])
def test_any_altered_byte_of_a_block_is_found(tmp_path: Path, column: str) -> None:
    path = small_run().write(tmp_path / "c.sqlite")
    with closing(sqlite3.connect(path)) as database:
        (data,) = database.execute(f"SELECT {column} FROM blocks WHERE height = 2").fetchone()
    for place in range(0, len(data), max(1, len(data) // 7)):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        statement = f"UPDATE blocks SET {column} = ? WHERE height = 2"
        copy = spoilt(path, tmp_path / "copy.sqlite", statement, bytes(altered))
        assert refusal(copy).height in (2, 3), place


@pytest.mark.parametrize("fact", ["genesis", "index", "id", "charter", "model"])
def test_any_altered_byte_of_the_genesis_is_found(tmp_path: Path, fact: str) -> None:
    path = small_run().write(tmp_path / "c.sqlite")
    with closing(sqlite3.connect(path)) as database:
        (data,) = database.execute("SELECT value FROM facts WHERE key = ?", (fact,)).fetchone()
    for place in range(0, len(data), max(1, len(data) // 7)):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        statement = "UPDATE facts SET value = ? WHERE key = ?"
        copy = spoilt(path, tmp_path / "copy.sqlite", statement, bytes(altered), fact)
        with pytest.raises(VerificationError):
            replayed(copy)


def test_charters_are_read_as_they_were_written() -> None:
    run = small_run()
    assert charter_of(run.charter) == run.scenario.charter


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is an array, not a table"),
        (b'{"name":"small"}', "task is missing"),
        (b'{"name":"small","parties":{"count":3}}', "parties is not a known key"),
    ],
)
def test_what_is_no_charter(data: bytes, says: str) -> None:
    with pytest.raises(CharterError, match=says):
        charter_of(data)
