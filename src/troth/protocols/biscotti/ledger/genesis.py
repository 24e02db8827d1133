"""The genesis: everything peers must agree on before the first round (section 4.1 of the paper).

It is put together from the charter's digest and one public file of each peer. Whoever does that is
trusted with nothing but to reach everybody: each peer checks all of it, finds its own entry as it
wrote it, and compares the chain's id, which is the genesis' digest, with the others out of band.

The generators of all commitments follow from the charter, not from the chain's id: the noise roots
in the genesis are made of commitments, which must be there before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from troth.chain.errors import GenesisError
from troth.chain.sealed import Sealed, seal, unseal
from troth.crypto import certificates, vrf
from troth.crypto.certificates import PossessedKey
from troth.crypto.digest import Digest
from troth.crypto.signatures import PUBLIC_KEY_BYTES, SigningKey, verify
from troth.errors import PeerError, UsageError, VerificationError, reason_of
from troth.ids import NodeId
from troth.protocols.biscotti.ledger.block import MAX_PEERS, Part, PeerName, RoundNumber, Signature
from troth.wire import Codec, Message, shown

SIGNING_PURPOSE = "biscotti public file"
"""What a peer's signature of its entry is for."""
MAX_GENESIS_BYTES = 2**20
"""The largest genesis, in bytes."""
MAX_PUBLIC_FILE_BYTES = 2**14
"""The largest public file of a peer, in bytes."""
MAX_STAKE = 2**53
"""The most stake that all peers hold together."""
MAX_DIMENSION = 2**31 - 1
"""The most parameters of a model."""
MAX_BOUND = 2**51
"""The largest absolute value of a coordinate of an update, in steps of the grid. Sums of
`MAX_PEERS` updates then stay below 2^62, and fit into 64 bits with their sign."""

Key = Annotated[bytes, msgspec.Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
BlsPublicKey = Annotated[
    bytes,
    msgspec.Meta(
        min_length=certificates.PUBLIC_KEY_BYTES, max_length=certificates.PUBLIC_KEY_BYTES
    ),
]
BlsSignature = Annotated[
    bytes,
    msgspec.Meta(min_length=certificates.SIGNATURE_BYTES, max_length=certificates.SIGNATURE_BYTES),
]
CharterDigest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$(?!\n)")]
Stake = Annotated[int, msgspec.Meta(ge=0, le=MAX_STAKE)]


class PublicEntry(Part, frozen=True):
    """What a peer publishes before the genesis: its keys, and its commitment to its noise."""

    peer: PeerName
    charter: CharterDigest
    """The digest of the charter that the peer agrees to take part in."""
    # Biscotti, section 4.1, (3): "the public keys PK_i of all other peers in the system, which are
    # used to create and verify signatures during verification".
    signing: Key
    """The Ed25519 key of the peer's messages and of this entry."""
    vrf: Key
    """The key of the peer's VRF, which proves the noisers that it draws and the seeds that it
    makes. It is another one than the signing key."""
    bls: BlsPublicKey
    """The BLS key of the peer's part in certificates."""
    possession: BlsSignature
    """Proof that the peer knows the BLS key's secret, without which it could make up a key that
    cancels others' in an aggregate."""
    # Biscotti, section 4.1, (4): "pre-commitments to differentially private noise for T SGD
    # iterations ζ_{1..T} by each peer".
    noise_root: Digest
    """Merkle root of the peer's noise commitments for all rounds and slots."""
    signature: Signature
    """The peer's signature, by `signing`, of all of the above."""


class StakeUpdate(Part, frozen=True):
    """The stake update function of a chain. `linear`: each role of a round that gave the model an
    update adds the same for ever (table 1 of the paper: 5); blame costs `penalty`, or what is
    left."""

    name: Literal["linear"] = "linear"
    contributed: Stake = 5
    verified: Stake = 5
    aggregated: Stake = 5
    penalty: Stake = 5


class Genesis(Message, frozen=True):
    """The fields of a genesis. The digest of its encoding is the chain's id."""

    charter: CharterDigest
    # Biscotti, section 4.1, (1): "the initial model state w_0 and expected number of iterations T".
    # Differs from the paper: w_0 is named by its digest, because it follows from the charter.
    rounds: RoundNumber
    """T, the rounds of the training, for all of which noise is committed to."""
    dimension: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIMENSION)]
    """D, how many parameters the model has."""
    model: Digest
    """The digest of w_0; see `model_digest`."""
    # Biscotti, section 4.1, (2): "the public key PK for creating commitments to SGD updates".
    # Differs from the paper: generators are hashed to the curve, because the trusted setup of such
    # a key leaves a trapdoor with whoever has made it.
    generators: Digest
    """The digest of all generators, so that a peer notices that it derived others; see
    `generator_id`."""
    fraction_bits: Annotated[int, msgspec.Meta(ge=0, le=52)]
    """f: the integers of an update are its values times 2^f, rounded."""
    bound: Annotated[int, msgspec.Meta(ge=1, le=MAX_BOUND)]
    """B, the largest absolute value of a coordinate of an update, in steps of the grid."""
    # Biscotti, section 4.1, (5) and (6): "the initial distribution of stake among peers", and "a
    # stake update function that executes when new blocks are appended."
    stake_update: StakeUpdate
    peers: Annotated[tuple[PublicEntry, ...], msgspec.Meta(min_length=1, max_length=MAX_PEERS)]
    """The peers' entries, ascending by name."""
    stake: Annotated[tuple[Stake, ...], msgspec.Meta(min_length=1, max_length=MAX_PEERS)]
    """The stake that each peer begins with, in the peers' order."""

    @property
    def generator_id(self) -> bytes:
        """32 bytes of the domain separation tag (RFC 9380, section 3.1) that all generators are
        hashed with: the charter's digest."""
        return bytes.fromhex(self.charter.removeprefix("sha256:"))

    def names(self) -> tuple[NodeId, ...]:
        """The names of all peers, ascending."""
        return tuple(entry.peer for entry in self.peers)


_GENESES = Codec([Genesis], max_bytes=MAX_GENESIS_BYTES)


@dataclass(frozen=True)
class CheckedGenesis:
    """A genesis that `check_genesis` has passed."""

    record: Sealed[Genesis]
    keys: tuple[PossessedKey, ...]
    """The peers' BLS keys, in the peers' order."""

    @property
    def id(self) -> bytes:
        """The chain's id, 32 bytes: the digest of its genesis."""
        return self.record.digest

    @property
    def content(self) -> Genesis:
        """The fields of the genesis."""
        return self.record.content

    @cached_property
    def by_name(self) -> dict[NodeId, PublicEntry]:
        """The peers' entries by their names."""
        return {entry.peer: entry for entry in self.content.peers}

    def stake(self) -> dict[NodeId, int]:
        """The stake that each peer begins with, by its name."""
        return dict(zip(self.content.names(), self.content.stake, strict=True))


def public_entry(
    peer: NodeId,
    charter: str,
    *,
    signing: SigningKey,
    vrf: bytes,
    bls: bytes,
    possession: bytes,
    noise_root: bytes,
) -> PublicEntry:
    """A peer's own entry of the genesis, signed by its signing key."""
    unsigned = PublicEntry(
        peer, charter, signing.public, vrf, bls, possession, noise_root, bytes(64)
    )
    return msgspec.structs.replace(
        unsigned, signature=signing.sign(SIGNING_PURPOSE, _signed_text(unsigned))
    )


def build_genesis(
    agreed: Genesis, entries: Iterable[PublicEntry], stake: Mapping[NodeId, int]
) -> CheckedGenesis:
    """The genesis of these peers, checked.

    Args:
      agreed: what follows from the charter and w_0; its own peers and stake do not matter.
      entries: the peers' public files, in any order.
      stake: what each of them begins with; same peers.

    Raises:
      GenesisError: as `check_genesis`, or `stake` names other peers than `entries`.
    """
    peers = tuple(sorted(entries, key=lambda entry: entry.peer))
    odd = sorted(stake.keys() ^ {entry.peer for entry in peers})
    if odd:
        raise GenesisError("stake", f"{odd[0]} has a public file or stake, and not both")
    amounts = tuple(stake[entry.peer] for entry in peers)
    return check_genesis(
        seal(_GENESES, msgspec.structs.replace(agreed, peers=peers, stake=amounts))
    )


def read_genesis(data: bytes, *, source: NodeId) -> CheckedGenesis:
    """The genesis in `data`, checked.

    Args:
      source: where it is from, for the error.

    Raises:
      GenesisError: it is no genesis in its canonical encoding, or as `check_genesis`.
    """
    try:
        record = unseal(_GENESES, Genesis, data, sender=source)
    except PeerError as error:
        raise GenesisError("encoding", f"is wrong: {error.message}") from None
    return check_genesis(record)


def check_genesis(record: Sealed[Genesis]) -> CheckedGenesis:
    """Check everything that can be said of a genesis by itself.

    Whether its charter is the one a peer signed, and w_0, generators and the peer's own entry are
    what it computes itself, is for the peer to compare.

    Raises:
      GenesisError: says which field is wrong, and whose.
    """
    genesis = record.content
    names = genesis.names()
    for before, after in pairwise(names):
        if before >= after:
            raise GenesisError("peers", f"{after} comes after {before}; they go up, each once")
    if len(genesis.stake) != len(names):
        raise GenesisError("stake", f"has {len(genesis.stake)} entries for {len(names)} peers")
    if not 0 < sum(genesis.stake) <= MAX_STAKE:
        raise GenesisError("stake", f"sums to {sum(genesis.stake)}, not to 1 ... {MAX_STAKE}")
    for name in ("signing", "vrf", "bls", "noise_root"):
        _check_distinct(genesis.peers, name)
    for entry in genesis.peers:
        if entry.charter != genesis.charter:
            raise GenesisError("peers", f"{entry.peer} signed another charter, {entry.charter}")
    return CheckedGenesis(record, tuple(map(check_entry, genesis.peers)))


def check_named(genesis: CheckedGenesis, charter: bytes, model: bytes) -> None:
    """Check that these are the charter and w_0 that the genesis names.

    Raises:
      GenesisError: one of them is not.
    """
    if f"sha256:{sha256(charter).hexdigest()}" != genesis.content.charter:
        raise GenesisError("charter", "is not the digest of the charter beside it")
    try:
        json.loads(charter)
    except (ValueError, RecursionError):
        raise GenesisError("charter", "is the digest of something that is not JSON") from None
    if sha256(model).digest() != genesis.content.model:
        raise GenesisError("model", "is not the digest of w_0 beside it")


def check_entry(entry: PublicEntry) -> PossessedKey:
    """Check a peer's keys, its proof of possession and its signature of them; give its BLS key.

    Raises:
      GenesisError: says which is wrong, and whose.
    """
    if entry.signing == entry.vrf:
        raise GenesisError("peers", f"{entry.peer} uses its signing key as its vrf key")
    try:
        verify(
            entry.signing,
            SIGNING_PURPOSE,
            _signed_text(entry),
            entry.signature,
            signer=entry.peer,
        )
        vrf.check_key(entry.vrf, owner=entry.peer)
        return certificates.check_possession(entry.bls, entry.possession, owner=entry.peer)
    except PeerError as error:
        raise GenesisError("peers", f"{entry.peer} {error.message}") from None


def write_public_file(path: Path, entry: PublicEntry) -> None:
    """Write a peer's public file: JSON, bytes in hexadecimal digits.

    Raises:
      UsageError: it cannot be written.
    """
    content = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in msgspec.structs.asdict(entry).items()
    }
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {reason_of(error)}") from None


def read_public_file(path: Path) -> PublicEntry:
    """The entry in a peer's public file, checked.

    Raises:
      UsageError: it cannot be read.
      VerificationError: it is no public file, or as `check_entry`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PUBLIC_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {reason_of(error)}") from None
    try:
        if len(data) > MAX_PUBLIC_FILE_BYTES:
            raise ValueError(f"more than {MAX_PUBLIC_FILE_BYTES} bytes")
        written = msgspec.json.decode(data, type=dict[str, str])
        fields = PublicEntry.__struct_fields__
        if set(written) != set(fields):
            odd = sorted(set(written) ^ set(fields))[0]
            raise ValueError(f'"{odd}" is missing or unknown')
        entry = msgspec.convert(
            [
                value if name in ("peer", "charter") else _from_hex(name, value)
                for name, value in ((name, written[name]) for name in fields)
            ],
            PublicEntry,
        )
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path}: is not a peer's public file: {shown(error)}") from None
    try:
        check_entry(entry)
    except GenesisError as error:
        raise VerificationError(f"{path}: {error.problem}") from None
    return entry


def _from_hex(name: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f'"{name}" is not in hexadecimal digits') from None


def _signed_text(entry: PublicEntry) -> bytes:
    """What a peer signs of its entry: all fields but the signature."""
    fields = [getattr(entry, name) for name in PublicEntry.__struct_fields__ if name != "signature"]
    return msgspec.msgpack.encode(fields)


def _check_distinct(entries: Sequence[PublicEntry], name: str) -> None:
    """Check that no two peers show the same value of this field.

    Raises:
      GenesisError: names two peers that do.
    """
    owners: dict[bytes, NodeId] = {}
    for entry in entries:
        other = owners.setdefault(getattr(entry, name), entry.peer)
        if other != entry.peer:
            raise GenesisError("peers", f"{other} and {entry.peer} have the same {name}")
