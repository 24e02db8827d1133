"""A chain of four peers with real keys, and blocks that pass every check of the structure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from troth.chain import bitmap
from troth.chain.block import VerifiedBlock
from troth.chain.store import ChainStore
from troth.crypto import certificates, vrf
from troth.crypto.certificates import CertificateKey
from troth.crypto.signatures import SigningKey
from troth.crypto.vrf import VrfKey
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import (
    ACKNOWLEDGEMENT,
    DEALING,
    OPENING,
    VERDICT,
    Acknowledgement,
    Block,
    Certificate,
    CertifiedBlock,
    Contribution,
    Evidence,
    NoiseOpening,
    Verdict,
    certified_text,
    opening_text,
    seal_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.genesis import (
    CheckedGenesis,
    Genesis,
    PublicEntry,
    StakeUpdate,
    build_genesis,
    public_entry,
)
from troth.protocols.biscotti.ledger.kind import open_chain
from troth.protocols.biscotti.ledger.link import ChainState, check_link, empty_block, first_state
from troth.protocols.biscotti.ledger.lottery import next_seed, seed_input
from troth.protocols.biscotti.ledger.stake import apply_changes, stake_changes

PEERS = tuple(NodeId(f"party-{index}") for index in range(4))
SENDER = NodeId("party-9")
CHARTER = b'{"name":"small"}'
CHARTER_DIGEST = f"sha256:{sha256(CHARTER).hexdigest()}"
MODEL = bytes(24)
DIMENSION = 3
BOUND = 1000


@dataclass(frozen=True)
class Keys:
    signing: SigningKey
    vrf: VrfKey
    bls: CertificateKey


def seed(*names: object) -> bytes:
    return sha256(json.dumps([str(name) for name in names]).encode()).digest()


@cache
def keys_of(peer: NodeId) -> Keys:
    return Keys(
        SigningKey(seed(peer, "signing")),
        VrfKey(seed(peer, "vrf")),
        CertificateKey.from_seed(seed(peer, "bls")),
    )


@cache
def entry_of(peer: NodeId, charter: str = CHARTER_DIGEST) -> PublicEntry:
    keys = keys_of(peer)
    return public_entry(
        peer,
        charter,
        signing=keys.signing,
        vrf=keys.vrf.public,
        bls=keys.bls.public,
        possession=keys.bls.prove_possession(),
        noise_root=seed(peer, "noise"),
    )


def make_genesis(**changes: object) -> CheckedGenesis:
    fields: dict[str, Any] = {
        "charter": CHARTER_DIGEST,
        "rounds": Round(10),
        "dimension": DIMENSION,
        "model": sha256(MODEL).digest(),
        "generators": seed("generators"),
        "fraction_bits": 10,
        "bound": BOUND,
        "stake_update": StakeUpdate(),
        "entries": [entry_of(peer) for peer in PEERS],
        "stake": dict.fromkeys(PEERS, 10),
        **changes,
    }
    entries, stake = fields.pop("entries"), fields.pop("stake")
    return build_genesis(Genesis(**fields, peers=(), stake=()), entries, stake)


@cache
def small_genesis() -> CheckedGenesis:
    return make_genesis()


def certify(
    block: Block, signers: Sequence[NodeId] = PEERS[:3], genesis: CheckedGenesis | None = None
) -> CertifiedBlock:
    """The block with a true certificate, whatever it holds."""
    sealed = seal_block(block)
    owners = {key.owner: key for key in (genesis or small_genesis()).keys}
    text = certified_text(sealed.digest)
    signature = certificates.combine(
        [owners[peer] for peer in signers],
        text,
        {peer: keys_of(peer).bls.sign(text) for peer in signers},
    )
    places = [list(owners).index(peer) for peer in signers]
    return CertifiedBlock(sealed, Certificate(bitmap.of(places, len(owners)), signature))


def full_block(
    below: ChainState,
    *,
    aggregate: Sequence[int] = (5, -7, 2),
    evidence: Sequence[Evidence] = (),
    proposer: NodeId = PEERS[2],
) -> Block:
    """One update by party-0, accepted by party-1, aggregated by party-2 and party-3."""
    genesis = small_genesis()
    number = Round(below.height + 1)
    commitments = {
        sha256(rows).digest(): rows for rows in (seed(number, "rows", index) for index in range(3))
    }
    updates = sorted(commitments)
    dealings = [update + seed(number, "dealing", update.hex()) for update in updates[:2]]
    places = bitmap.of((0, 2), 3)
    accepted = signed_list(genesis.id, number, updates[0] + updates[2])
    held = signed_list(genesis.id, number, b"".join(dealings))
    proof = keys_of(proposer).vrf.prove(seed_input(genesis.id, number, below.seed))
    changes = stake_changes(
        genesis.content.stake_update,
        below.stake,
        contributors=PEERS[:1],
        verifiers=PEERS[1:2],
        aggregators=PEERS[2:],
        blamed={line.accused for line in evidence},
    )
    return Block(
        chain=genesis.id,
        height=below.height + 1,
        previous=below.hash,
        proposer=proposer,
        seed=next_seed(below.seed, number, vrf.output(proof)),
        seed_proof=proof,
        model=seed("model", number),
        aggregate=np.array(aggregate, np.int64),
        blindings=seed("blindings", number),
        contributions=(
            Contribution(
                PEERS[0],
                updates[0],
                commitments[updates[0]],
                dealings[0][len(updates[0]) :],
                keys_of(PEERS[0]).signing.sign(
                    DEALING, signed_list(genesis.id, number, dealings[0])
                ),
            ),
        ),
        dealings=b"".join(dealings),
        acknowledgements=tuple(
            Acknowledgement(
                peer, bitmap.of((0, 1), 2), keys_of(peer).signing.sign(ACKNOWLEDGEMENT, held)
            )
            for peer in PEERS[2:]
        ),
        candidates=b"".join(updates),
        verdicts=(Verdict(PEERS[1], places, keys_of(PEERS[1]).signing.sign(VERDICT, accepted)),),
        openings=(opened(number),),
        evidence=tuple(evidence),
        stake_changes=changes,
        stake=apply_changes(below.stake, changes, sender=SENDER).digest(),
    )


def opened(number: Round) -> NoiseOpening:
    """A slot that party-3 opens."""
    parts = seed("slot"), seed("blinding"), seed("path")
    text = opening_text(small_genesis().id, number, 2, *parts)
    return NoiseOpening(PEERS[3], 2, *parts, keys_of(PEERS[3]).signing.sign(OPENING, text))


def follow(below: ChainState, certified: CertifiedBlock) -> ChainState:
    return check_link(small_genesis(), below, certified, sender=SENDER)


def empty(below: ChainState) -> CertifiedBlock:
    return CertifiedBlock(empty_block(small_genesis(), below), None)


def small_blocks() -> list[CertifiedBlock]:
    """A full block, an empty one, and one with a penalty."""
    state = first_state(small_genesis())
    blocks = []
    penalty = Evidence("bad-share", PEERS[3], Round(3), b"proof")
    for make in (
        lambda below: certify(full_block(below)),
        empty,
        lambda below: certify(full_block(below, evidence=(penalty,))),
    ):
        blocks.append(make(state))
        state = follow(state, blocks[-1])
    return blocks


def open_store(path: Path, genesis: CheckedGenesis | None = None) -> ChainStore:
    return open_chain(path, genesis or small_genesis(), charter=CHARTER, model=MODEL)


def write_chain(path: Path, blocks: Sequence[CertifiedBlock] | None = None) -> Path:
    with open_store(path) as store:
        for block in small_blocks() if blocks is None else blocks:
            store.append(VerifiedBlock(block.sealed))
    return path


def changed(block: Block, **fields: object) -> Block:
    return msgspec.structs.replace(block, **fields)
