"""Messages that are too large: refused, blamed on who sent them, and not kept by anybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import pytest
from biscotti_runs import Run, set_up
from test_biscotti_attackers import SEATS, culprit, goes_on

from troth.attacks.biscotti import aggregators, contributors, sizes
from troth.attacks.biscotti.contributors import masking
from troth.attacks.biscotti.malice import Attack, Malice, Receivers, altered, sending
from troth.ids import NodeId
from troth.protocols.biscotti import roles
from troth.protocols.biscotti.blaming import offences
from troth.protocols.biscotti.catching_up.stash import most_bytes
from troth.protocols.biscotti.ledger.block import MAX_BLOCK_BYTES, MAX_COMMITMENT_BYTES
from troth.protocols.biscotti.messages import (
    MAX_NOISERS,
    MAX_SHARE_BYTES,
    MESSAGES,
    Accepted,
    Masked,
    NoiseGrant,
    Proposal,
    Shares,
)
from troth.roles.effects import Send, SendBytes
from troth.roles.messages import RoundMessage
from troth.wire import WIRE_VERSION, Codec, Message, encode_array

CODEC = Codec(MESSAGES)


# ------------------------------------------------------------------ attackers

Make = Callable[[Any], Any]
"""Makes a field's value from the honest one."""


def resized(kind: type[Message], **fields: Make) -> Attack:
    """Sends messages of a kind with some fields made anew, under the honest signature."""

    return sending(kind)(lambda _, to, message: [Send(to, _with(message, fields))])


def beyond(kind: type[Message], **fields: Make) -> Attack:
    """The same with fields that are larger than their type allows, which no codec would encode."""

    @sending(kind)
    def attack(_: Malice, to: Receivers, message: Message) -> Iterable[SendBytes]:
        data = msgspec.msgpack.encode(_with(message, fields), enc_hook=encode_array)
        yield SendBytes(to, bytes((WIRE_VERSION,)) + data)

    return attack


def masked_with(**fields: Make) -> Attack:
    """Signs and sends a masked update with some fields made anew."""
    return masking(lambda _, message: _with(message, fields))


def _with(message: Any, fields: dict[str, Make]) -> Any:
    return altered(message, **{name: make(getattr(message, name)) for name, make in fields.items()})


def _much_noise(uses: Any) -> Any:
    return tuple(altered(use, rows=bytes(MAX_COMMITMENT_BYTES)) for use in uses)


MASKED_SIZES: dict[str, Attack] = {
    "one value more": masked_with(values=lambda values_D: np.append(values_D, np.uint32(0))),
    "no values": masked_with(values=lambda values_D: values_D[:0]),
    "a million values": sizes.million_values,
    "all commitments": masked_with(commitments=lambda _: bytes(MAX_COMMITMENT_BYTES)),
    "twice the blindings": masked_with(blindings=lambda data: 2 * data),
    "all noisers": masked_with(noise=lambda uses: uses[:1] * MAX_NOISERS),
    "much noise": masked_with(noise=_much_noise),
}
"""By what is wrong, masked updates of another size than the model's that a codec does encode."""


# ------------------------------------------------------------------ what peers hold


class Scales:
    """How many bytes of each sender's messages any one honest peer has held at once."""

    normal = 0
    """The most for any sender where all follow the protocol."""

    def __init__(self) -> None:
        self.most: Counter[NodeId] = Counter()

    def weigh(self, peer: roles.Peer) -> None:
        held: Counter[NodeId] = Counter()
        for duty in peer.duties:
            for kept in vars(duty).values():
                if isinstance(kept, RoundMessage):
                    assert peer.desk is not None
                    held[peer.desk.context.leader] += len(CODEC.encode(kept))
                elif isinstance(kept, dict):
                    for sender, message in kept.items():
                        if isinstance(message, RoundMessage):
                            held[sender] += len(CODEC.encode(message))
        for sender, stashed in peer.stash.held.items():
            held[sender] += sum(map(len, stashed.values()))
        self.most |= held


@pytest.fixture
def scales(monkeypatch: pytest.MonkeyPatch) -> Scales:
    """Weighs after each message, when it has been looked at."""
    found, advance = Scales(), roles.Peer._advance

    async def weighed(peer: roles.Peer) -> None:
        await advance(peer)
        found.weigh(peer)

    monkeypatch.setattr(roles.Peer, "_advance", weighed)
    if not Scales.normal:
        set_up().go()
        Scales.normal = max(found.most.values())
        found.most.clear()
    return found


def attacked(seat: str, attack: Any, **keys: Any) -> Run:
    return set_up(attacks=lambda context: {SEATS[seat](context): attack}, **keys).go()


def refused(run: Run) -> list[str]:
    """What receivers could not even decode."""
    assert {who for _, error in run.watching.refusals for who in error.culprits} <= {culprit(run)}
    return [error.message for _, error in run.watching.refusals]


def reasons(run: Run) -> list[str]:
    """Why the reporter has refused something of the attacker's."""
    return [
        line.reason
        for report in run.watching.reports
        for line in report.rejected
        if line.node == culprit(run)
    ]


# ------------------------------------------------------------------ beyond a type's bound


BEYOND: dict[str, tuple[str, type[Message], dict[str, Callable[[Any], Any]]]] = {
    "a thousand noisers": ("contributor", Masked, {"noise": lambda uses: uses[:1] * 1000}),
    "commitments": ("contributor", Masked, {"commitments": lambda _: bytes(2**20 + 1)}),
    "a share": ("contributor", Shares, {"share": lambda _: bytes(MAX_SHARE_BYTES + 1)}),
    "a path": ("contributor", Shares, {"path": lambda path: path[:1] * 41}),
    "noise": ("audited", NoiseGrant, {"rows": lambda _: bytes(MAX_COMMITMENT_BYTES + 1)}),
    "a list": ("verifier", Accepted, {"contributors": lambda names: names[:1] * 1025}),
    "a block": ("leader", Proposal, {"block": lambda _: bytes(MAX_BLOCK_BYTES + 1)}),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_larger_than_its_type_allows_is_not_decoded(name: str, scales: Scales) -> None:
    seat, kind, changes = BEYOND[name]
    run = attacked(seat, beyond(kind, **changes))
    assert refused(run)
    assert run.punished() == {}
    goes_on(run)
    assert scales.most[culprit(run)] <= Scales.normal


# ------------------------------------------------------------------ within it


TOO_LARGE_TO_SHOW = ("a million values", "all commitments", "much noise")
"""Evidence of it would not fit into a block."""


@pytest.mark.parametrize("name", MASKED_SIZES)
def test_a_masked_update_of_another_size_is_not_kept(name: str, scales: Scales) -> None:
    run = attacked("contributor", MASKED_SIZES[name])
    liar = culprit(run)
    assert run.punished() == ({} if name in TOO_LARGE_TO_SHOW else {liar: {"bad-update"}})
    assert run.accepted(liar) == 0
    goes_on(run)
    assert scales.most[liar] <= Scales.normal


@pytest.mark.parametrize("times", [0, 2])
def test_a_share_of_another_size_is_not_kept(times: int, scales: Scales) -> None:
    run = attacked("contributor", resized(Shares, share=lambda share: times * share))
    assert run.accepted(culprit(run)) == 0
    assert run.punished() == {}
    goes_on(run)
    assert scales.most[culprit(run)] <= Scales.normal


def test_a_list_of_more_than_there_are_is_not_taken(scales: Scales) -> None:
    @sending(Accepted)
    def long_verdict(malice: Malice, to: Receivers, honest: Accepted) -> Iterable[Send]:
        updates = b"".join(number.to_bytes(32) for number in range(1000))
        yield Send(to, altered(honest, updates=updates, contributors=(malice.me,) * 1000))

    run = attacked("verifier", long_verdict)
    verifier = culprit(run)
    assert run.punished() == {}
    for block in run.blocks():
        assert verifier not in {line.verifier for line in block.verdicts}
    goes_on(run)
    assert scales.most[verifier] <= Scales.normal


def test_a_block_of_the_largest_size_costs_its_leaders_rounds_only(scales: Scales) -> None:
    """Only the round's leader may have one waiting at an aggregator, and only one."""
    junk = bytes(MAX_BLOCK_BYTES)
    run = attacked("leader", resized(Proposal, block=lambda _: junk), rounds=3)
    leader = culprit(run)
    led = [run.plan.rules.context(head.before).leader for head in run.heads()[:-1]]
    assert leader in led
    for block, who in zip(run.blocks(), led, strict=True):
        assert (block.proposer is None) == (who == leader)
    assert scales.most[leader] <= MAX_BLOCK_BYTES + 2**16
    assert run.punished() == {}


@pytest.mark.parametrize("attack", [aggregators.wrong_sum, contributors.bad_shares_to_all])
def test_evidence_that_does_not_fit_into_a_block_is_left_out(
    attack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with large models. It once took down whoever had found it."""
    monkeypatch.setattr(offences, "MAX_EVIDENCE_BYTES", 1000)
    seat = "aggregator" if attack is aggregators.wrong_sum else "contributor"
    run = attacked(seat, attack)
    assert run.punished() == {}
    goes_on(run)


# ------------------------------------------------------------------ before its round


def test_what_is_kept_for_a_round_to_come_is_bounded(scales: Scales) -> None:
    run = attacked("verifier", sizes.early)
    early = culprit(run)
    most = most_bytes(run.plan.rules.setting.dimension)
    assert scales.most[early] <= most + Scales.normal
    assert any("a round that has not begun" in reason for reason in reasons(run))
    assert run.punished() == {}
    goes_on(run)
