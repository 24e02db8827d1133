"""The genesis: what it is made of, and whose fault it is when it is not sound."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from small_chain import (
    CHARTER,
    CHARTER_DIGEST,
    MODEL,
    PEERS,
    entry_of,
    keys_of,
    make_genesis,
    small_genesis,
)

from troth.chain.errors import GenesisError
from troth.crypto.signatures import SigningKey
from troth.errors import ExitCode, LocalError, UsageError, VerificationError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import MAX_PEERS
from troth.protocols.biscotti.ledger.genesis import (
    MAX_BOUND,
    MAX_PUBLIC_FILE_BYTES,
    Genesis,
    PublicEntry,
    StakeUpdate,
    check_entry,
    check_named,
    public_entry,
    read_genesis,
    read_public_file,
    write_public_file,
)
from troth.wire import Codec

FILE = NodeId("genesis.bin")


def resigned(entry: PublicEntry, **fields: object) -> PublicEntry:
    """The entry with other fields, signed by its own peer."""
    signed = ("vrf", "bls", "possession", "noise_root")
    content = {name: getattr(entry, name) for name in signed} | fields
    charter = str(content.pop("charter", entry.charter))
    signing = content.pop("signing", keys_of(entry.peer).signing)
    # What is passed on is of any type: wrong ones are among what is tried.
    return public_entry(entry.peer, charter, signing=signing, **content)  # type: ignore[arg-type]  # see above


def test_the_same_peers_in_any_order_give_the_same_chain() -> None:
    again = make_genesis(entries=[entry_of(peer) for peer in reversed(PEERS)])
    assert again.id == small_genesis().id
    assert again.content.names() == PEERS
    assert again.content.generator_id.hex() == CHARTER_DIGEST.removeprefix("sha256:")
    assert again.stake() == dict.fromkeys(PEERS, 10)
    assert read_genesis(again.record.data, source=FILE).id == again.id


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": Round(11)},
        {"dimension": 4},
        {"model": bytes(32)},
        {"generators": bytes(32)},
        {"fraction_bits": 11},
        {"bound": 999},
        {"stake_update": StakeUpdate(penalty=6)},
        {"stake": {**dict.fromkeys(PEERS, 10), PEERS[0]: 11}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_is_in_the_id(changes: dict[str, object]) -> None:
    assert make_genesis(**changes).id != small_genesis().id


OTHER_CHARTER = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"stake": dict.fromkeys(PEERS[:3], 10)}, "stake", "party-3"),
        ({"stake": dict.fromkeys((*PEERS, NodeId("party-4")), 10)}, "stake", "party-4"),
        ({"stake": dict.fromkeys(PEERS, 0)}, "stake", "sums to 0"),
        ({"stake": dict.fromkeys(PEERS, 2**53)}, "stake", "sums to"),
        ({"entries": [entry_of(peer) for peer in (*PEERS, PEERS[0])]}, "peers", "each once"),
        ({"charter": OTHER_CHARTER}, "peers", "party-0 signed another charter"),
        (
            {"entries": [*map(entry_of, PEERS[:3]), entry_of(PEERS[3], OTHER_CHARTER)]},
            "peers",
            "party-3 signed another charter",
        ),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(GenesisError, match=says) as caught:
        make_genesis(**changes)
    assert caught.value.field == field
    assert caught.value.exit_code == ExitCode.VERIFICATION_FAILED


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"noise_root": bytes(32)}, "party-1 sent a wrong signature"),
        ({"signature": bytes(64)}, "party-1 sent a wrong signature"),
        ({"signing": bytes(32)}, "party-1 sent a wrong signature"),
    ],
    ids=["noise_root", "signature", "signing"],
)
def test_an_entry_is_its_peers_own(fields: dict[str, object], says: str) -> None:
    entry = msgspec.structs.replace(entry_of(PEERS[1]), **fields)
    with pytest.raises(GenesisError, match=says):
        check_entry(entry)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"vrf": keys_of(PEERS[1]).signing.public}, "uses its signing key"),
        ({"vrf": bytes([1]) + bytes(31)}, "party-1 "),
        ({"bls": bytes(48)}, "malformed BLS public key"),
        ({"bls": keys_of(PEERS[2]).bls.public}, "does not prove to know its BLS key"),
        ({"possession": bytes(96)}, "does not prove to know its BLS key"),
        ({"possession": keys_of(PEERS[1]).bls.sign(keys_of(PEERS[1]).bls.public)}, "not prove"),
    ],
    ids=["one key for two", "small order", "no point", "another's key", "no proof", "no PoP"],
)
def test_a_signed_entry_may_still_be_wrong(fields: dict[str, object], says: str) -> None:
    with pytest.raises(GenesisError, match=says):
        check_entry(resigned(entry_of(PEERS[1]), **fields))


@pytest.mark.parametrize("name", ["vrf", "noise_root"])
def test_no_two_peers_share_a_key_or_a_table_of_noise(name: str) -> None:
    copied = resigned(entry_of(PEERS[3]), **{name: getattr(entry_of(PEERS[0]), name)})
    with pytest.raises(GenesisError, match=f"party-0 and party-3 have the same {name}"):
        make_genesis(entries=[*map(entry_of, PEERS[:3]), copied])


def test_sums_fit_into_64_bits() -> None:
    assert make_genesis(bound=MAX_BOUND).content.bound == MAX_BOUND
    assert MAX_PEERS * MAX_BOUND < 2**62
    with pytest.raises(LocalError, match=str(MAX_BOUND)):
        make_genesis(bound=MAX_BOUND + 1)


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\x90", small_genesis().record.data + b"\0"])
def test_bytes_that_are_no_genesis(data: bytes) -> None:
    with pytest.raises(GenesisError) as caught:
        read_genesis(data, source=FILE)
    assert caught.value.field == "encoding"


def test_one_genesis_has_one_encoding() -> None:
    data = small_genesis().record.data
    dimension = data.index(bytes((10, 3)))  # rounds and dimension, each in the shortest way
    longer = data[: dimension + 1] + b"\xcc\x03" + data[dimension + 2 :]
    with pytest.raises(GenesisError, match="an encoding of its own"):
        read_genesis(longer, source=FILE)


def test_charter_and_model_are_the_ones_named() -> None:
    check_named(small_genesis(), CHARTER, MODEL)
    for charter, model, field in ((CHARTER + b" ", MODEL, "charter"), (CHARTER, b"", "model")):
        with pytest.raises(GenesisError) as caught:
            check_named(small_genesis(), charter, model)
        assert caught.value.field == field


def test_a_charter_is_json() -> None:
    for charter in (b"{", b"\xff", b"[" * 100_000):
        digest = f"sha256:{sha256(charter).hexdigest()}"
        genesis = make_genesis(charter=digest, entries=[entry_of(peer, digest) for peer in PEERS])
        with pytest.raises(GenesisError, match="not JSON"):
            check_named(genesis, charter, MODEL)


def test_every_peer_has_a_stake() -> None:
    """`build_genesis` makes no other genesis, but somebody else may."""
    content = msgspec.structs.replace(small_genesis().content, stake=(10, 10, 10))
    with pytest.raises(GenesisError, match="has 3 entries for 4 peers"):
        read_genesis(Codec([Genesis]).encode(content), source=FILE)


def test_public_files_come_back(tmp_path: Path) -> None:
    path = tmp_path / "party-0.json"
    write_public_file(path, entry_of(PEERS[0]))
    assert read_public_file(path) == entry_of(PEERS[0])
    assert json.loads(path.read_text())["charter"] == CHARTER_DIGEST


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vrf": "zz" * 32}, '"vrf" is not in hexadecimal digits'),
        ({"vrf": None}, "Expected `str`"),
        ({"vrf": "00"}, "is not a peer's public file"),
        ({"peer": "Not A Name"}, "is not a peer's public file"),
        ({"extra": "0"}, '"extra" is missing or unknown'),
        ({"noise_root": "00" * 32}, "party-0 sent a wrong signature"),
        ({"noise": "x" * MAX_PUBLIC_FILE_BYTES}, "more than 16384 bytes"),
    ],
)
def test_a_bad_public_file_is_named(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    path = tmp_path / "party-0.json"
    write_public_file(path, entry_of(PEERS[0]))
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(VerificationError, match=says) as caught:
        read_public_file(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 10_000, '{"peer": "party-0"'])
def test_what_is_no_public_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "party-0.json"
    path.write_text(text)
    with pytest.raises(VerificationError, match="is not a peer's public file"):
        read_public_file(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_public_file(tmp_path / "absent.json")


def test_secrets_are_not_in_it() -> None:
    keys = keys_of(PEERS[0])
    assert repr(keys.signing) == repr(keys.vrf) == repr(keys.bls) == "<redacted>"
    assert isinstance(keys.signing, SigningKey)
