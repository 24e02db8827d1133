"""What there is to say of a run: the parts of which `summary.json` is put together."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal

import msgspec
import numpy as np

from troth.charter.digest import charter_digest
from troth.charter.scenario import Scenario
from troth.ids import Bytes, PartyId, Round
from troth.protocols.protocol import Account
from troth.records import Metrics, PartyRecord, RoundRecord, Status, Summary, Traffic


def summary_of(
    scenario: Scenario, status: Status, world: Literal["simulated", "real"], **more: Any
) -> Summary:
    """The summary of a run.

    Args:
      more: the fields that do not follow from the scenario.
    """
    charter = scenario.charter
    return Summary(
        status=status,
        world=world,
        name=charter.name,
        protocol=str(charter.protocol.__struct_config__.tag),
        seed=scenario.seed,
        troth_version=version("troth"),
        charter_digest=charter_digest(charter),
        rounds_planned=charter.training.rounds,
        task=charter.task.kind,
        **more,
    )


def with_rounds(summary: Summary, rounds: Sequence[RoundRecord]) -> Summary:
    """With what the rounds say: how far it came, and what became of every contribution."""
    accepted = Counter(node for record in rounds for node in record.accepted)
    rejected = Counter(rejection.node for record in rounds for rejection in record.rejected)
    missing = Counter(node for record in rounds for node in record.missing)
    measured = [record.metrics for record in rounds if record.metrics is not None]
    return msgspec.structs.replace(
        summary,
        rounds=rounds[-1].round if rounds else Round(0),
        final=measured[-1] if measured else None,
        parties=[
            msgspec.structs.replace(
                party,
                accepted=accepted[party.party],
                rejected=rejected[party.party],
                missing=missing[party.party],
            )
            for party in summary.parties
        ],
    )


def party_record(
    party: PartyId,
    examples: int,
    *,
    sent: Mapping[str, tuple[int, int]],
    bytes_received: int,
    account: Account | None,
    **more: Any,
) -> PartyRecord:
    """A party and its traffic.

    Args:
      sent: messages and bytes that it has sent, by message type.
      account: what it knows of itself; None if it is somebody else who says this.
      more: other fields of `PartyRecord`.
    """
    return PartyRecord(
        party=party,
        examples=examples,
        told=None if account is None else account.told,
        stopped=None if account is None else account.stopped,
        measures=msgspec.UNSET if account is None else dict(account.measures) or msgspec.UNSET,
        bytes_sent=Bytes(sum(size for _, size in sent.values())),
        bytes_received=Bytes(bytes_received),
        messages_sent=sum(messages for messages, _ in sent.values()),
        sent=traffic_of(sent),
        **more,
    )


def traffic_of(counts: Mapping[str, tuple[int, int]]) -> dict[str, Traffic]:
    """Messages and bytes by message type, in the order of their names."""
    return {
        name: Traffic(messages=messages, bytes=Bytes(size))
        for name, (messages, size) in sorted(counts.items())
    }


def added(counts: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Messages and bytes by message type, of several nodes together."""
    together: dict[str, tuple[int, int]] = {}
    for by_type in counts:
        for name, (messages, size) in by_type.items():
            before = together.get(name, (0, 0))
            together[name] = (before[0] + messages, before[1] + size)
    return together


def mean_metrics(metrics: Sequence[Metrics]) -> Metrics | None:
    """The mean over models, each on the same examples; None of none."""
    if not metrics:
        return None
    rates = [m.attack_rate for m in metrics if m.attack_rate is not None]
    return Metrics(
        loss=float(np.mean([m.loss for m in metrics])),
        error=float(np.mean([m.error for m in metrics])),
        examples=metrics[0].examples,
        attack_rate=float(np.mean(rates)) if rates else None,
    )


def peak_rss_bytes() -> Bytes:
    """Peak resident memory of this process, plus the largest of its workers'."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Bytes((own + workers) * unit)
