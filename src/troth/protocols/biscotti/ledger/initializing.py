"""From the charter to the genesis (section 4.1 of the paper): the noise that a peer commits to,
what it publishes, and what all of it has to agree with.

Pure: whoever reads and writes the files is `troth genesis`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import msgspec

from troth.chain.errors import GenesisError
from troth.compute import Compute
from troth.crypto.group import POINT_BYTES
from troth.crypto.noise_table import NoiseTable, Seeds
from troth.errors import VerificationError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import pieces
from troth.protocols.biscotti.ledger.genesis import (
    CheckedGenesis,
    Genesis,
    PublicEntry,
    StakeUpdate,
    build_genesis,
    public_entry,
)
from troth.protocols.biscotti.ledger.head import model_digest
from troth.protocols.biscotti.parameters import Biscotti, StakeSpec
from troth.protocols.biscotti.setting import Setting
from troth.protocols.protocol import CharterTables
from troth.wire import Float32s

SLOTS_PER_REQUEST = 16
"""Slots of noise that one computation commits to."""


# ------------------------------------------------------------------ a peer's noise


class CommittedNoise(msgspec.Struct, frozen=True):
    """The commitments of some slots of noise, one after the other, 96 bytes for each row."""

    rows: bytes


@dataclass(frozen=True)
class CommitNoise(Compute[object, CommittedNoise]):
    """The computation that expands the noise of some slots and commits to it; at D = 7,850 about 34
    ms a slot, and 24 once a process has a table (`troth.crypto.multiples`), from about the 120th
    slot on.

    It holds secrets of the peer whose noise it is, and is computed on that peer's machine only.
    """

    setting: Setting
    seeds: tuple[Seeds, ...]

    label: ClassVar[str] = "commit_noise"

    def run(self, bench: object) -> CommittedNoise:  # noqa: ARG002  (the contract's name)
        return CommittedNoise(self.setting.rows.encoded(self.seeds))

    def units(self) -> float:
        return float(len(self.seeds))


def noise_requests(
    setting: Setting, keys: PeerKeys, *, per_request: int = SLOTS_PER_REQUEST
) -> tuple[CommitNoise, ...]:
    """The computations that commit to all of a peer's noise, all T x J slots in the table's order;
    none where updates are not masked."""
    # Biscotti, section 4.4: "each peer i generates T noise vectors ζ_t and commits these noise
    # vectors into the ledger".
    # Differs from the paper: J vectors for each round, because no two updates may be masked by the
    # same one.
    if setting.sigma is None:
        return ()
    shape = setting.table
    seeds = [
        keys.noise.seeds(Round(index // shape.slots + 1), index % shape.slots)
        for index in range(shape.size)
    ]
    return tuple(
        CommitNoise(setting, tuple(seeds[start : start + per_request]))
        for start in range(0, len(seeds), per_request)
    )


def noise_table(
    owner: NodeId, setting: Setting, results: Iterable[CommittedNoise]
) -> NoiseTable | None:
    """The table that `results` of `noise_requests` make; None where updates are not masked."""
    if setting.sigma is None:
        return None
    return read_noise_table(owner, setting, noise_bytes(results))


def noise_bytes(results: Iterable[CommittedNoise]) -> bytes:
    """The commitments of all slots, as a peer keeps them beside its secret."""
    return b"".join(result.rows for result in results)


def read_noise_table(owner: NodeId, setting: Setting, data: bytes) -> NoiseTable:
    """The table of noise that `noise_bytes` has written. Whether its root is the one in the genesis
    is left to be compared.

    Raises:
      VerificationError: these are not as many commitments as this setting asks for.
    """
    slot_bytes = setting.layout.rows * POINT_BYTES
    expected = setting.table.size * slot_bytes
    if len(data) != expected:
        raise VerificationError(f"noise table: has {len(data)} bytes, not {expected}")
    return NoiseTable(
        owner,
        setting.table,
        [pieces(rows, POINT_BYTES) for rows in pieces(data, slot_bytes)],
    )


def noise_root(owner: NodeId, table: NoiseTable | None) -> bytes:
    """The root, 32 bytes, by which the genesis names a peer's noise. Without noise it is a hash of
    the owner's name, which opens to nothing: no two peers may show the same root."""
    if table is None:
        return sha256(b"troth-biscotti-no-noise\0" + owner.encode()).digest()
    return table.root


# ------------------------------------------------------------------ a peer's entry


def entry_of(owner: NodeId, charter_digest: str, keys: PeerKeys, noise_root: bytes) -> PublicEntry:
    """The entry that a peer publishes. Its signature says that the peer takes part in this charter.

    Args:
      charter_digest: with `sha256:` before it.
    """
    return public_entry(
        owner,
        charter_digest,
        signing=keys.signing,
        vrf=keys.vrf.public,
        bls=keys.certificate.public,
        possession=keys.certificate.prove_possession(),
        noise_root=noise_root,
    )


# ------------------------------------------------------------------ the genesis


def make_genesis(
    charter_tables: CharterTables[Biscotti],
    setting: Setting,
    initial_D: Float32s,
    charter_digest: str,
    entries: Iterable[PublicEntry],
) -> CheckedGenesis:
    """The genesis of these peers. Whoever has their entries and the charter makes the same bytes.

    Args:
      initial_D: w_0, shape (D,).
      charter_digest: with `sha256:` before it.

    Raises:
      GenesisError: an entry is wrong; says which field, and whose.
    """
    peers, initial = tuple(entries), charter_tables.parameters.stake.initial
    return build_genesis(
        _agreed(charter_tables, setting, initial_D, charter_digest),
        peers,
        dict.fromkeys((entry.peer for entry in peers), initial),
    )


def check_genesis_of(
    genesis: CheckedGenesis,
    charter_tables: CharterTables[Biscotti],
    setting: Setting,
    initial_D: Float32s,
    charter_digest: str,
    own: PublicEntry | None,
) -> None:
    """Compare a genesis with what a peer works out itself.

    After this and `biscotti.ledger.genesis.check_genesis`, one thing is left to whoever put it
    together: who the other peers are. So compare the chain's id with theirs, out of band.

    Args:
      initial_D: w_0 as this peer makes it from the charter, shape (D,).
      charter_digest: with `sha256:` before it.
      own: what this peer published; None for somebody who does not take part.

    Raises:
      GenesisError: names the first field that differs, and whose stake or entry it is.
    """
    found, initial = genesis.content, charter_tables.parameters.stake.initial
    agreed = _agreed(charter_tables, setting, initial_D, charter_digest)
    for name in Genesis.__struct_fields__:
        value, expected = getattr(found, name), getattr(agreed, name)
        if name not in ("peers", "stake") and value != expected:
            raise GenesisError(name, f"is {_shown(value)}, and should be {_shown(expected)}")
    for peer, stake in genesis.stake().items():
        if stake != initial:
            raise GenesisError("stake", f"of {peer} is {stake}, and should be {initial}")
    if own is not None:
        _check_own(genesis, own)


def _agreed(
    charter_tables: CharterTables[Biscotti],
    setting: Setting,
    initial_D: Float32s,
    charter_digest: str,
) -> Genesis:
    """What of a genesis follows from the charter and w_0, whoever the peers are."""
    return Genesis(
        charter=charter_digest,
        rounds=Round(charter_tables.training.rounds),
        dimension=setting.dimension,
        model=model_digest(initial_D),
        generators=setting.key.generators.digest(),
        fraction_bits=setting.fixed.fraction_bits,
        bound=setting.bound,
        stake_update=stake_update(charter_tables.parameters.stake),
        peers=(),
        stake=(),
    )


def stake_update(stake: StakeSpec) -> StakeUpdate:
    """The stake update function that a charter asks for."""
    return StakeUpdate(
        contributed=stake.contributed,
        verified=stake.verified,
        aggregated=stake.aggregated,
        penalty=stake.penalty,
    )


def _check_own(genesis: CheckedGenesis, own: PublicEntry) -> None:
    found = genesis.by_name.get(own.peer)
    if found is None:
        raise GenesisError("peers", f"have no {own.peer}")
    for name in own.__struct_fields__:
        if getattr(found, name) != getattr(own, name):
            raise GenesisError("peers", f"{own.peer} has published another {name}")


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
