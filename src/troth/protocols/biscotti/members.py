"""The peers of a ledger: their keys, their noise, the genesis of all of them, and what they know of
themselves after a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from troth.chain.ledger import MemoryLedgers
from troth.crypto.noise_table import NoiseTable
from troth.errors import UsageError
from troth.ids import NodeId, PartyId
from troth.privacy.own import OwnPrivacy
from troth.protocols.biscotti.failures import run_notes
from troth.protocols.biscotti.hiding.released import released_privacy
from troth.protocols.biscotti.keys import SEED_BYTES, PeerKeys
from troth.protocols.biscotti.ledger.head import Rules
from troth.protocols.biscotti.ledger.initializing import (
    entry_of,
    make_genesis,
    noise_requests,
    noise_root,
    noise_table,
)
from troth.protocols.biscotti.messages import MESSAGES
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.roles import Plan, peer
from troth.protocols.biscotti.setting import setting_of
from troth.protocols.biscotti.state import PeerState
from troth.protocols.protocol import Account, Agreed, Casting, CharterTables, Simulated
from troth.records import PrivacyRecord
from troth.roles.node import Cast, Role


@dataclass(frozen=True)
class Members:
    """Peers with their genesis: in a simulation all of them, in a real run the node's own peer.

    Args:
      rules: the genesis and the charter, which blocks are held against.
      keys: the secret keys of these peers.
      tables: the noise that they have committed to; None where updates are not masked.
    """

    rules: Rules
    keys: Mapping[PartyId, PeerKeys]
    tables: Mapping[PartyId, NoiseTable | None]

    def admitted(self, parties: Sequence[PartyId]) -> tuple[PartyId, ...]:
        """The names of the peers of the genesis, ascending.

        Raises:
          UsageError: one of them is not among the `parties` that the charter admits.
        """
        names = self.rules.genesis.content.names()
        for name in names:
            if name not in parties:
                raise UsageError(
                    f"{name} is in the genesis, and not admitted",
                    hint="build the genesis again without it",
                )
        return tuple(map(PartyId, names))


def simulated_members(agreed: Agreed[Biscotti], simulated: Simulated) -> Members:
    """All peers, with keys that follow from the scenario's seed.

    Raises:
      CharterError: the protocol's numbers do not go together, or its committees fail more often
        than the charter bears.
    """
    parties = agreed.parties
    setting = setting_of(
        agreed,
        charter=bytes.fromhex(agreed.charter.removeprefix("sha256:")),
        dimension=len(agreed.initial_D),
        modelled=simulated.modelled,
    )
    # Refuses committees that fail too often before minutes are spent on noise.
    run_notes(agreed, parties, setting)
    keys = {
        party: PeerKeys.from_seed(
            simulated.secret.child("node", party, "keys").digest(SEED_BYTES), agreed.charter
        )
        for party in parties
    }
    requests = {party: noise_requests(setting, keys[party]) for party in parties}
    # All at once, or the engine's workers wait for each other after every peer.
    noise = iter(simulated.compute([request for made in requests.values() for request in made]))
    tables = {
        party: noise_table(party, setting, list(islice(noise, len(requests[party]))))
        for party in parties
    }
    entries = [
        entry_of(party, agreed.charter, keys[party], noise_root(party, tables[party]))
        for party in parties
    ]
    genesis = make_genesis(agreed, setting, agreed.initial_D, agreed.charter, entries)
    return Members(Rules(genesis, setting, agreed.charter_tables), keys, tables)


def make_cast(casting: Casting[Biscotti]) -> Cast:
    """Who plays what: every member is a peer, and the run ends when all of them have ended."""
    members, agreed = casting.brought, casting.agreed
    assert isinstance(members, Members)
    # In a simulation one speaks for all; a real node speaks for itself.
    plan = Plan(members.rules, agreed.initial_D, min(members.keys), agreed.base)
    roles: dict[NodeId, Role] = {
        party: partial(peer, plan=plan, keys=keys, table=members.tables[party])
        for party, keys in members.keys.items()
    }
    return Cast(roles, tuple(roles), MESSAGES, stores=MemoryLedgers)


def account_of(
    charter_tables: CharterTables[Biscotti],
    party: PartyId,
    _: OwnPrivacy | None,
    load: Callable[[type[Any]], Any],
    dimension: int,
) -> Account:
    """What a peer knows of itself after a run, from its saved state: what its releases have cost,
    and what stake it holds."""
    state = load(PeerState)
    return Account(
        released_privacy(
            charter_tables,
            party,
            dimension=dimension,
            masked=0 if state is None else state.masked,
            contributed=0 if state is None else state.contributed,
        ),
        measures={} if state is None else {"stake": state.head.state.stake.as_dict()[party]},
    )


def expected_privacy(
    charter_tables: CharterTables[Biscotti], party: PartyId, dimension: int
) -> PrivacyRecord:
    """What the releases of a peer cost that contributes in every round, which is the most that any
    peer can spend.

    Args:
      dimension: D.
    """
    rounds = charter_tables.training.rounds
    spent = released_privacy(
        charter_tables, party, dimension=dimension, masked=rounds, contributed=rounds
    )
    if spent.epsilon is None:
        note = (
            "verifiers see updates with the mask's noise, everybody sees sums; together no "
            "(epsilon, delta) holds"
        )
    else:
        note = (
            f"a peer in all {rounds} sums: epsilon = {spent.epsilon:.4g}, delta = {spent.delta:g} "
            "for all data of a party, whoever looks"
        )
    return PrivacyRecord(
        mechanism=spent.mechanism, epsilon=spent.epsilon, delta=spent.delta, note=note
    )


def check_notes(
    charter_tables: CharterTables[Biscotti],
    parties: Sequence[PartyId],
    dimension: int,
    charter: str,
) -> Iterable[str]:
    """What a check of a scenario says of its ledger: how likely committees fail, and what a run
    rests on.

    Args:
      dimension: D.
      charter: the charter's digest, with `sha256:` before it.

    Raises:
      CharterError: they fail likelier than the charter allows, or noise does not fit the model.
    """
    setting = setting_of(
        charter_tables,
        charter=bytes.fromhex(charter.removeprefix("sha256:")),
        dimension=dimension,
    )
    return run_notes(charter_tables, parties, setting)


def simulation_notes(_: Agreed[Biscotti], members: Members, simulated: Simulated) -> list[str]:
    """What a reader must know of a simulated ledger."""
    rules = members.rules
    notes = [
        "peers' keys and noise follow from the seed: whoever has the scenario knows them",
        *run_notes(rules.charter_tables, sorted(members.keys), rules.setting),
    ]
    if simulated.modelled:
        notes.append(
            "commitments are modelled by numbers, not made on the curve: they bind nobody who "
            "computes, and their cost is not that of real ones"
        )
    if simulated.shares_checks:
        notes.append(
            "checks of the same public bytes by several peers were computed once; "
            "share_checks = false in [engine] has every peer check everything itself"
        )
    return notes
