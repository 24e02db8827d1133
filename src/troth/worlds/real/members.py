"""A peer of a real ledger: what it works out from the charter, and what it brings along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from troth.chain.genesis import CheckedGenesis, GenesisError
from troth.charter.digest import canonical_json, charter_digest
from troth.charter.scenario import Scenario
from troth.errors import CharterError
from troth.ids import PartyId
from troth.protocols.biscotti.chain import Rules, model_bytes
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.roles import Members
from troth.protocols.biscotti.setting import Setting, setting_of
from troth.protocols.biscotti.setup import (
    check_genesis_of,
    entry_of,
    noise_root,
    read_noise_table,
)
from troth.wire import Float32s


@dataclass(frozen=True, eq=False)
class Ground:
    """What a ledger's peers agree on before there is a genesis.

    Args:
      parties: every admitted party, ascending.
      initial_D: w_0, shape (D,).
      digest: the charter's, with `sha256:` before it.
    """

    scenario: Scenario
    protocol: Biscotti
    parties: tuple[PartyId, ...]
    initial_D: Float32s
    digest: str
    setting: Setting

    @property
    def charter(self) -> bytes:
        """Canonical JSON, as it is kept beside the chain."""
        return canonical_json(self.scenario.charter)

    @property
    def model(self) -> bytes:
        """w_0, as it is kept beside the chain."""
        return model_bytes(self.initial_D)


@dataclass(frozen=True, eq=False)
class OwnPart:
    """What a peer brings along.

    Args:
      noise: the commitments to its noise, as `noise_bytes` gives them.
    """

    keys: PeerKeys
    noise: bytes
    genesis: CheckedGenesis


def ground_of(scenario: Scenario, parties: Sequence[PartyId], initial_D: Float32s) -> Ground:
    """What follows from the charter.

    Raises:
      CharterError: the protocol's numbers do not go together, or its cryptography is a model.
    """
    charter = scenario.charter
    assert isinstance(charter.protocol, Biscotti)
    if scenario.cryptography.group != "g1":
        raise CharterError(
            "binds nobody who computes, so it is for simulations only",
            key="cryptography.group",
            value=scenario.cryptography.group,
            hint='set group = "g1", or leave it out',
        )
    digest = charter_digest(charter)
    setting = setting_of(
        charter.protocol,
        charter.training,
        charter=bytes.fromhex(digest.removeprefix("sha256:")),
        dimension=len(initial_D),
    )
    return Ground(scenario, charter.protocol, tuple(parties), initial_D, digest, setting)


def own_members(ground: Ground, id: PartyId, own: OwnPart) -> Members:
    """This peer, and the genesis of all, compared with what the peer works out itself.

    Raises:
      GenesisError: names what differs. VerificationError: the noise is another setting's.
    """
    protocol, training, setting = ground.protocol, ground.scenario.charter.training, ground.setting
    table = None if setting.sigma is None else read_noise_table(id, setting, own.noise)
    entry = entry_of(id, ground.digest, own.keys, noise_root(id, table))
    check_genesis_of(
        own.genesis, protocol, training, setting, ground.initial_D, ground.digest, entry
    )
    names = own.genesis.content.names()
    if names != ground.parties:
        odd = sorted({*names} ^ {*ground.parties})[0]
        raise GenesisError("peers", f"{odd} is in the genesis or admitted, and not both")
    return Members(Rules(own.genesis, setting, protocol, training), {id: own.keys}, {id: table})
