"""The genesis of a run of peers: each makes its own part, anybody puts the parts together, and each
checks the whole.

A peer keeps two files. Its secret, 32 random bytes, never leaves its machine. Its noise, the
commitments that its root in the genesis is of, lies beside it, because it takes minutes to make and
every round needs it. A secret is for one genesis: noise that hides updates of two chains hides
neither, since the two masked updates give away their difference.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from troth.chain.errors import GenesisError
from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.charter.model import initial_model
from troth.charter.rules.common import admitted
from troth.crypto.noise_table import NoiseTable
from troth.crypto.secret_file import read_secret, write_secret
from troth.errors import CharterError, UsageError, VerificationError, reason_of
from troth.ids import NodeId, PartyId
from troth.protocols.biscotti.failures import run_notes
from troth.protocols.biscotti.keys import SEED_BYTES, PeerKeys
from troth.protocols.biscotti.ledger.genesis import (
    MAX_GENESIS_BYTES,
    CheckedGenesis,
    PublicEntry,
    read_genesis,
)
from troth.protocols.biscotti.ledger.initializing import (
    check_genesis_of,
    entry_of,
    make_genesis,
    noise_bytes,
    noise_requests,
    noise_root,
    read_noise_table,
)
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.rules import check_peers
from troth.protocols.biscotti.setting import Setting, setting_of
from troth.protocols.protocol import CharterTables
from troth.report.atomic import replace_file
from troth.specification import tag
from troth.wire import Float32s, shown

MAX_NOISE_BYTES = 2**31
"""The largest file of noise that is read."""
NEW_SECRET = "make one with: troth genesis entry"


@dataclass(frozen=True, eq=False)
class Terms:
    """What every peer works out from the scenario by itself, without asking another."""

    file: Path
    """The scenario's file, for error messages."""
    charter_tables: CharterTables[Biscotti]
    setting: Setting
    initial_D: Float32s
    """w_0, the model before the first round, shape (D,)."""
    charter: str
    """The charter's digest, with `sha256:` before it."""
    parties: tuple[PartyId, ...]
    """The parties that the charter admits, ascending; those without enough rows are turned away
    later."""


@dataclass(frozen=True, eq=False)
class Own:
    """A peer's own part of a genesis: its secrets, and what it publishes of them."""

    keys: PeerKeys
    """The peer's secret keys."""
    table: NoiseTable | None
    """The noise that it has committed to; None where updates are not masked."""
    entry: PublicEntry
    """Its public keys and the root of its noise, signed, for everybody."""


class _NoiseFile(msgspec.Struct, forbid_unknown_fields=True):
    """The file in which a peer keeps the commitments to its noise, beside its secret."""

    charter: str
    peer: str
    signing: bytes
    """The public key that follows from the same secret."""
    root: bytes
    rows: bytes


def terms_of(loaded: LoadedScenario, initial_D: Float32s | None = None) -> Terms:
    """The terms that follow from a scenario.

    Args:
      initial_D: the scenario's model before round 1, shape (D,), where it has been built already.

    Raises:
      CharterError: its protocol needs no genesis, or its numbers do not go together.
      DataError: as `initial_model`.
    """
    scenario, charter = loaded.scenario, loaded.scenario.charter
    protocol = charter.protocol
    if not isinstance(protocol, Biscotti):
        raise CharterError(
            "needs no genesis",
            file=loaded.path,
            key="protocol.name",
            value=tag(protocol),
            hint='a genesis is for protocol = "biscotti"',
        )
    digest = charter_digest(charter)
    try:
        if scenario.cryptography.group != "g1":
            raise CharterError(
                "binds nobody who computes, and is for simulations only",
                key="cryptography.group",
                value=scenario.cryptography.group,
                hint="leave it out",
            )
        if initial_D is None:
            initial_D = initial_model(scenario, base=loaded.base)
        setting = setting_of(
            charter.charter_tables,
            charter=bytes.fromhex(digest.removeprefix("sha256:")),
            dimension=len(initial_D),
        )
    except CharterError as error:
        raise error if error.file is not None else error.in_file(loaded.path) from None
    parties = tuple(admitted(scenario))
    return Terms(loaded.path, charter.charter_tables, setting, initial_D, digest, parties)


def make_own(
    terms: Terms,
    peer: NodeId,
    secret: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Own:
    """A peer's part, with a new secret if there is none in `secret`. What is there already is used
    again, so an interrupted or repeated call ends with the same part.

    Args:
      progress: told after some slots of noise how many are done, and how many there are.

    Raises:
      UsageError: the scenario has no such peer; a file cannot be read or written; or the secret is
        used for another peer or charter already.
      VerificationError: as `read_own`.
    """
    if peer not in terms.parties:
        raise UsageError(
            f"the scenario has no party {peer}",
            hint=f"its parties are {', '.join(terms.parties[:4])}"
            + (", ..." if len(terms.parties) > 4 else ""),
        )
    if not secret.exists():
        write_secret(secret, os.urandom(SEED_BYTES))
    keys = read_keys(secret, terms.charter)
    place = noise_file(secret)
    # Biscotti, section 4.4: "each peer i generates T noise vectors ζ_t and commits these noise
    # vectors into the ledger, storing a table of size N by T".
    # Differs from the paper: a peer commits to `slots` vectors for each round, because no two
    # updates may be masked by the same; and the genesis holds only the Merkle root of its
    # commitments, because those of 100 peers over 100 rounds would be megabytes.
    if terms.setting.sigma is not None and not place.exists():
        results, done = [], 0
        for request in noise_requests(terms.setting, keys):
            results.append(request.run(None))
            done += len(request.seeds)
            if progress is not None:
                progress(done, terms.setting.table.size)
        rows = noise_bytes(results)
        root = noise_root(peer, read_noise_table(peer, terms.setting, rows))
        noise = _NoiseFile(terms.charter, peer, keys.signing.public, root, rows)
        replace_file(place, msgspec.msgpack.encode(noise))
    return read_own(terms, peer, secret)


def read_own(terms: Terms, peer: NodeId, secret: Path) -> Own:
    """A peer's part of a genesis, from the files that `make_own` has left.

    Raises:
      UsageError: a file is missing or cannot be read; or the secret is used for another peer or
        charter already.
      VerificationError: the file of noise is damaged, or of another secret.
    """
    keys = read_keys(secret, terms.charter)
    table = None if terms.setting.sigma is None else _read_table(terms, peer, secret, keys)
    entry = entry_of(peer, terms.charter, keys, noise_root(peer, table))
    return Own(keys, table, entry)


def read_keys(secret: Path, charter: str) -> PeerKeys:
    """The keys for a charter that follow from the secret in a file.

    Args:
      charter: its digest.

    Raises:
      UsageError: it cannot be read, or holds something else.
    """
    seed = read_secret(secret, hint=NEW_SECRET)
    if len(seed) != SEED_BYTES:
        raise UsageError(
            f"{secret}: holds {len(seed)} bytes, and a peer's secret has {SEED_BYTES}",
            hint=NEW_SECRET,
        )
    return PeerKeys.from_seed(seed, charter)


def noise_file(secret: Path) -> Path:
    """The file in which the noise that follows from a secret is kept."""
    return secret.with_name(f"{secret.name}.noise")


def build(terms: Terms, entries: Iterable[PublicEntry]) -> CheckedGenesis:
    """The genesis of these peers, which is the same bytes whoever builds it.

    Raises:
      GenesisError: an entry is wrong, or of somebody whom the scenario does not have.
      CharterError: they are too few, or their committees fail likelier than the charter allows.
    """
    # Biscotti, section 4.1: "a trusted authority facilitates and bootstraps the training process by
    # publicly distributing the genesis block out of band to all peers in the system."
    # Differs from the paper: anybody may put it together, and every peer checks it and compares its
    # id with the others', because then nobody has to be trusted for it.
    genesis = make_genesis(
        terms.charter_tables, terms.setting, terms.initial_D, terms.charter, entries
    )
    _check_peers(terms, genesis)
    return genesis


def check(terms: Terms, genesis: CheckedGenesis, own: PublicEntry | None) -> None:
    """Check everything of a genesis that a peer can check by itself. What is left to do is to
    compare the chain's id with that of the other peers.

    Args:
      own: what this peer published; None for somebody who does not take part.

    Raises:
      GenesisError: it is not what the scenario and `own` give; says which field.
      CharterError: as `build`.
    """
    check_genesis_of(
        genesis,
        terms.charter_tables,
        terms.setting,
        terms.initial_D,
        terms.charter,
        own,
    )
    _check_peers(terms, genesis)


def notes_of(terms: Terms, genesis: CheckedGenesis) -> tuple[str, ...]:
    """What a reader of a run of these peers must know of it.

    Raises:
      CharterError: as `troth.protocols.biscotti.failures.adversarial_report`.
    """
    return run_notes(terms.charter_tables, genesis.content.names(), terms.setting)


def missing(terms: Terms, genesis: CheckedGenesis) -> tuple[PartyId, ...]:
    """The parties of the scenario that a genesis leaves out, ascending."""
    return tuple(party for party in terms.parties if party not in genesis.by_name)


def read_genesis_file(path: Path) -> CheckedGenesis:
    """The genesis in a file, checked as far as that can be done without a scenario.

    Raises:
      UsageError: it cannot be read.
      GenesisError: as `biscotti.ledger.genesis.read_genesis`.
    """
    data = _read(path, MAX_GENESIS_BYTES, maker="troth genesis build")
    return read_genesis(data, source=NodeId(path.name))


def write_genesis_file(path: Path, genesis: CheckedGenesis) -> None:
    """Write a genesis to the file that `read_genesis_file` reads.

    Raises:
      UsageError: it cannot be written.
    """
    replace_file(path, genesis.record.data)


def _check_peers(terms: Terms, genesis: CheckedGenesis) -> None:
    names = genesis.content.names()
    for peer in names:
        if peer not in terms.parties:
            raise GenesisError("peers", f"{peer} is no party of the scenario")
    try:
        check_peers(terms.charter_tables, len(names))
        notes_of(terms, genesis)
    except CharterError as error:
        raise error.in_file(terms.file) from None


def _read_table(terms: Terms, peer: NodeId, secret: Path, keys: PeerKeys) -> NoiseTable:
    path = noise_file(secret)
    noise = _read_noise(path)

    def refuse(what: str, found: str) -> UsageError:
        return UsageError(
            f"{secret}: is the secret for another {what}, {found}",
            hint="noise that is used twice hides nothing: take another file for the secret",
        )

    if noise.charter != terms.charter:
        raise refuse("charter", noise.charter)
    if noise.signing != keys.signing.public:
        raise VerificationError(
            f"{path}: follows from another secret than {secret}",
            hint="delete it, and make it again with: troth genesis entry",
        )
    if noise.peer != peer:
        raise refuse("peer", noise.peer)
    table = read_noise_table(peer, terms.setting, noise.rows)
    if table.root != noise.root:
        raise VerificationError(
            f"{path}: is damaged", hint="delete it, and make it again with: troth genesis entry"
        )
    return table


def _read(path: Path, most_bytes: int, *, maker: str) -> bytes:
    """The bytes of a file, or the first `most_bytes` + 1 of a larger one.

    Args:
      maker: the command that makes such a file, for the error's hint.

    Raises:
      UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {reason_of(error)}",
            hint=f"{maker} makes it",
        ) from None


def _read_noise(path: Path) -> _NoiseFile:
    data = _read(path, MAX_NOISE_BYTES, maker="troth genesis entry")
    try:
        if len(data) > MAX_NOISE_BYTES:
            raise ValueError(f"more than {MAX_NOISE_BYTES} bytes")
        return msgspec.msgpack.decode(data, type=_NoiseFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise VerificationError(
            f"{path}: holds no noise: {shown(error)}",
            hint="delete it, and make it again with: troth genesis entry",
        ) from None
