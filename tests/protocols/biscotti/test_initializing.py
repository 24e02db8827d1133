"""Noise tables, public entries and the genesis, from a charter's tables."""

from __future__ import annotations

import dataclasses
import pickle
from functools import cache
from hashlib import sha256

import numpy as np
import pytest
from biscotti_tables import agreed

from troth.chain.errors import GenesisError
from troth.crypto.noise_table import check_seeds
from troth.engines.local import BatchedEngine
from troth.errors import VerificationError
from troth.ids import NodeId, Round
from troth.learning.training import Training
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis, PublicEntry, read_genesis
from troth.protocols.biscotti.ledger.initializing import (
    CommitNoise,
    check_genesis_of,
    entry_of,
    make_genesis,
    noise_bytes,
    noise_requests,
    noise_root,
    noise_table,
    read_noise_table,
)
from troth.protocols.biscotti.parameters import (
    Biscotti,
    GaussianMask,
    MaskedPrivacy,
    NoMask,
    StakeSpec,
)
from troth.protocols.biscotti.setting import Setting, setting_of
from troth.protocols.protocol import CharterTables

PEERS = tuple(NodeId(f"party-{index}") for index in range(3))
CHARTER = "sha256:" + sha256(b"a charter").hexdigest()
DIMENSION = 24
TRAINING = Training(rounds=3, learning_rate=0.1)
MASK = MaskedPrivacy(mask=GaussianMask(sigma=0.1), slots=2)
MASKED = agreed(MASK, TRAINING)
BARE = agreed(MaskedPrivacy(mask=NoMask()), TRAINING)
INITIAL_D = np.linspace(-1, 1, DIMENSION, dtype=np.float32)


def setting(charter: CharterTables[Biscotti] = MASKED) -> Setting:
    digest = bytes.fromhex(CHARTER.removeprefix("sha256:"))
    return setting_of(charter, charter=digest, dimension=DIMENSION)


def keys(peer: NodeId) -> PeerKeys:
    return PeerKeys.from_seed(sha256(peer.encode()).digest(), CHARTER)


@cache
def entry(peer: NodeId) -> PublicEntry:
    return entry_of(peer, CHARTER, keys(peer), sha256(b"root" + peer.encode()).digest())


def genesis(charter: CharterTables[Biscotti] = MASKED) -> CheckedGenesis:
    return make_genesis(charter, setting(), INITIAL_D, CHARTER, map(entry, PEERS))


def check(found: CheckedGenesis, **changes: object) -> None:
    arguments: dict[str, object] = {
        "charter_tables": MASKED,
        "setting": setting(),
        "initial_D": INITIAL_D,
        "charter_digest": CHARTER,
        "own": entry(PEERS[1]),
    }
    check_genesis_of(found, **{**arguments, **changes})  # type: ignore[arg-type]  # arguments


@pytest.mark.parametrize("per_request", [1, 4, 100])
def test_a_table_opens_to_the_seeds_of_its_owner(per_request: int) -> None:
    owner, own = PEERS[0], keys(PEERS[0])
    requests = noise_requests(setting(), own, per_request=per_request)
    assert sum(request.units() for request in requests) == 3 * 2

    table = noise_table(owner, setting(), BatchedEngine(None).run(requests))

    assert table is not None
    for round in (Round(1), Round(3)):
        for slot in range(2):
            rows = check_seeds(
                setting().rows,
                noise_root(owner, table),
                setting().table,
                owner=owner,
                round=round,
                slot=slot,
                seeds=own.noise.seeds(round, slot),
                path=table.path(round, slot),
            )
            assert rows == table.rows(round, slot)


def test_noise_for_many_rounds_has_the_same_commitments() -> None:
    """After so many rows they are looked up in a table of multiples."""
    request = noise_requests(setting(), keys(PEERS[0]))[0]
    first = request.run(None)
    again = dataclasses.replace(request, seeds=400 * request.seeds[:1]).run(None)
    slot_bytes = len(first.rows) // len(request.seeds)
    assert again.rows == 400 * first.rows[:slot_bytes]


def test_a_table_comes_back_from_its_bytes() -> None:
    owner = PEERS[0]
    results = BatchedEngine(None).run(noise_requests(setting(), keys(owner)))
    table = noise_table(owner, setting(), results)
    assert table is not None
    data = noise_bytes(results)
    assert read_noise_table(owner, setting(), data).root == table.root
    with pytest.raises(VerificationError, match="noise table: has"):
        read_noise_table(owner, setting(), data[:-1])
    altered = bytearray(data)
    altered[7] ^= 1
    assert read_noise_table(owner, setting(), bytes(altered)).root != table.root


def test_a_request_travels_to_another_process_and_does_not_show_its_seeds() -> None:
    request = noise_requests(setting(), keys(PEERS[0]))[0]
    again = pickle.loads(pickle.dumps(request))
    assert isinstance(again, CommitNoise)
    assert again.run(None) == request.run(None)
    assert request.seeds[0].noise.hex() not in repr(request)
    assert "<redacted>" in repr(request)


def test_without_noise_every_root_is_another() -> None:
    bare = setting(BARE)
    assert noise_requests(bare, keys(PEERS[0])) == ()
    assert noise_table(PEERS[0], bare, ()) is None
    assert len({noise_root(peer, None) for peer in PEERS}) == len(PEERS)


def test_the_genesis_says_what_the_charter_says() -> None:
    charter = agreed(
        MASK,
        TRAINING,
        stake=StakeSpec(initial=7, contributed=1, verified=2, aggregated=3, penalty=4),
    )
    found = genesis(charter)
    content = found.content
    assert content.names() == PEERS
    assert found.stake() == dict.fromkeys(PEERS, 7)
    assert (content.rounds, content.dimension, content.charter) == (3, DIMENSION, CHARTER)
    assert content.model == sha256(INITIAL_D.tobytes()).digest()
    assert content.generator_id == setting().generator_id
    update = content.stake_update
    assert (update.contributed, update.verified, update.aggregated) == (1, 2, 3)
    assert update.penalty == 4
    check(found, charter_tables=charter)


def test_everybody_makes_the_same_genesis() -> None:
    turned = make_genesis(MASKED, setting(), INITIAL_D, CHARTER, map(entry, reversed(PEERS)))
    assert turned.id == genesis().id
    check(read_genesis(turned.record.data, source=PEERS[0]))


def test_one_who_takes_no_part_can_check_all_but_an_entry() -> None:
    check(genesis(), own=None)


def other_setting(**changes: object) -> Setting:
    return setting(agreed(MASK, TRAINING, **changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"charter_digest": "sha256:" + "0" * 64}, "charter"),
        ({"charter_tables": agreed(MASK, Training(rounds=4, learning_rate=0.1))}, "rounds"),
        ({"initial_D": np.nextafter(INITIAL_D, np.float32(2))}, "model"),
        ({"setting": other_setting(fraction_bits=18)}, "fraction_bits"),
        ({"setting": other_setting(clip=2.0)}, "bound"),
        ({"setting": other_setting(points=2)}, "generators"),
        (
            {"charter_tables": agreed(MASK, TRAINING, stake=StakeSpec(penalty=6))},
            "stake_update",
        ),
        ({"charter_tables": agreed(MASK, TRAINING, stake=StakeSpec(initial=9))}, "stake"),
        (
            {"own": entry_of(NodeId("party-9"), CHARTER, keys(NodeId("party-9")), bytes(32))},
            "peers",
        ),
        ({"own": entry_of(PEERS[1], CHARTER, keys(PEERS[1]), bytes(32))}, "peers"),
    ],
)
def test_what_a_peer_makes_itself_is_compared(changes: dict[str, object], field: str) -> None:
    with pytest.raises(GenesisError) as caught:
        check(genesis(), **changes)
    assert caught.value.field == field


def test_a_stake_of_somebody_that_is_not_the_charters_names_it() -> None:
    other = agreed(MASK, TRAINING, stake=StakeSpec(initial=9))
    with pytest.raises(GenesisError, match="of party-0 is 10, and should be 9"):
        check(genesis(), charter_tables=other)


def test_ones_own_entry_that_was_replaced_names_the_field() -> None:
    own = entry_of(PEERS[1], CHARTER, keys(PEERS[1]), bytes(32))
    with pytest.raises(GenesisError, match="party-1 has published another noise_root"):
        check(genesis(), own=own)
