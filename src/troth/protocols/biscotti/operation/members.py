"""The peers of a simulated ledger: their keys, their noise, and the genesis of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from troth import streams
from troth.charter.digest import charter_digest
from troth.charter.scenario import Scenario
from troth.engines.engine import Engine
from troth.ids import PartyId
from troth.protocols.biscotti.failures import run_notes
from troth.protocols.biscotti.keys import SEED_BYTES, PeerKeys
from troth.protocols.biscotti.ledger.head import Rules
from troth.protocols.biscotti.ledger.initializing import (
    entry_of,
    make_genesis,
    noise_requests,
    noise_root,
    noise_table,
)
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.roles import Members
from troth.protocols.biscotti.setting import setting_of
from troth.wire import Float32s


def simulated_members(
    scenario: Scenario, parties: Sequence[PartyId], initial_D: Float32s, engine: Engine
) -> Members:
    """All peers, with keys that follow from the scenario's seed.

    Raises:
      CharterError: the protocol's numbers do not go together, or its committees fail more often
        than the charter bears.
    """
    protocol, training = scenario.charter.protocol, scenario.charter.training
    assert isinstance(protocol, Biscotti)
    digest = charter_digest(scenario.charter)
    setting = setting_of(
        protocol,
        training,
        charter=bytes.fromhex(digest.removeprefix("sha256:")),
        dimension=len(initial_D),
        modelled=scenario.cryptography.group == "modelled",
    )
    # Refuses committees that fail too often before minutes are spent on noise.
    run_notes(protocol, training, parties, setting)
    secret = streams.secret(scenario.seed)
    keys = {
        party: PeerKeys.from_seed(secret.child("node", party, "keys").digest(SEED_BYTES), digest)
        for party in parties
    }
    requests = {party: noise_requests(setting, keys[party]) for party in parties}
    # All at once, or the engine's workers wait for each other after every peer.
    noise = iter(engine.run([request for made in requests.values() for request in made]))
    tables = {
        party: noise_table(party, setting, list(islice(noise, len(requests[party]))))
        for party in parties
    }
    entries = [
        entry_of(party, digest, keys[party], noise_root(party, tables[party])) for party in parties
    ]
    genesis = make_genesis(protocol, training, setting, initial_D, digest, entries)
    return Members(Rules(genesis, setting, protocol, training), keys, tables)


def member_notes(scenario: Scenario, members: Members) -> list[str]:
    """What a reader must know of a simulated ledger."""
    rules = members.rules
    parties = sorted(members.keys)
    notes = [
        "peers' keys and noise follow from the seed: whoever has the scenario knows them",
        *run_notes(rules.parameters, rules.training, parties, rules.setting),
    ]
    if rules.setting.modelled:
        notes.append(
            "commitments are modelled by numbers, not made on the curve: they bind nobody who "
            "computes, and their cost is not that of real ones"
        )
    if scenario.engine.share_checks:
        notes.append(
            "checks of the same public bytes by several peers were computed once; "
            "share_checks = false in [engine] has every peer check everything itself"
        )
    return notes
