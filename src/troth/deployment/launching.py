"""How the nodes of a launch are started, and what they say together, by who speaks to whom.

A protocol whose nodes take more than this names its own in `Operation.launch`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from troth.deployment.processes import Processes
from troth.ids import Bytes, NodeId
from troth.records import PartyRecord, RoundRecord, Summary
from troth.report.folder import PARAMS, RunFolder
from troth.report.privacy import launched_privacy_record
from troth.runs.summary import added, traffic_of, with_rounds

MEET_S = 600
"""How long a peer waits for others that it does not hear of. All of them are started, one after the
other, and none is waited for that has ended, as the launch ends then."""


RESTORE = "restore the launch's whole folder from a copy, or launch its scenario.toml again"
"""What to do where files that a launch has made are gone or damaged."""


@dataclass(frozen=True)
class ThroughTor:
    """By Tor and no other way.

    Args:
      config: more lines for tor.
    """

    config: Path | None = None


@dataclass(frozen=True)
class Launching:
    """How the nodes of one launch are started, and what they say together.

    `Operation.launch` in a protocol's record names what makes it:
    (LoadedScenario, ThroughTor | None) -> Launching.

    Args:
      names: of all nodes; the rounds of the first are those of the run.
      owner: who has the model of all, and has measured it on the test set.
      start: starts all nodes, given what `bring` has made.
      together: what the summaries say together, given the nodes' folders and the run's rounds.
      bring: makes what the nodes need for this one run, or finds what an earlier start of it has
        made, and removes it once all have come to their ends.
      check: looks, before a launch goes on, whether what `bring` has made is still there, writing
        nothing. Given where each node has a folder of its name; raises a VerificationError.
      leaves: files of the first node's folder that are the run's, too.
      deciding: the nodes that have to come to their ends; the others may miss hearing of it when a
        launch is stopped at that moment. None: all.
    """

    names: tuple[NodeId, ...]
    owner: NodeId
    start: Callable[[Processes, Any], Awaitable[None]]
    together: Callable[[Mapping[NodeId, RunFolder], Sequence[RoundRecord]], Summary]
    bring: Callable[[Processes], AbstractAsyncContextManager[Any]]
    check: Callable[[Path], None] = lambda _: None
    leaves: tuple[str, ...] = ()
    deciding: tuple[NodeId, ...] | None = None


Options = Callable[[NodeId], Sequence[str]]
"""What a peer is given besides, in the words of the command line."""


@asynccontextmanager
async def bring_nothing(_: Processes) -> AsyncIterator[Options]:
    """For `Launching.bring`: nodes have all they need."""
    yield lambda _: ()


def star(names: tuple[NodeId, ...]) -> Launching:
    """A hub, the first of `names`, and parties that connect to it. The hub has seen everything."""
    return Launching(
        names, names[0], _start_star, lambda left, _: left[names[0]].summary(), bring_nothing
    )


async def _start_star(processes: Processes, _: Options) -> None:
    hub, *parties = processes.names
    # One after the other, too, and the first waits for the last.
    patience = ("--give-up-after", str(MEET_S))
    url = await processes.listening(hub, "--listen", "127.0.0.1:0", *patience)
    for name in parties:
        await processes.node(name, "--connect", url, *patience)


def mesh(
    names: tuple[NodeId, ...],
    bring: Callable[[Processes], AbstractAsyncContextManager[Options]] = bring_nothing,
    check: Callable[[Path], None] = lambda _: None,
    leaves: tuple[str, ...] = (),
) -> Launching:
    """Peers, each of which speaks to every other."""
    return Launching(
        names, names[0], _start_mesh, _peers_together, bring, check=check, leaves=leaves
    )


async def _start_mesh(processes: Processes, options: Options) -> None:
    # One after the other, as each has to be told where those before it listen.
    addresses: dict[NodeId, str] = {}
    for name in processes.names:
        addresses[name] = await processes.listening(
            name, "--listen", "127.0.0.1:0", *options(name), "--give-up-after", str(MEET_S)
        )
        processes.write_peers(addresses)


def _peers_together(left: Mapping[NodeId, RunFolder], rounds: Sequence[RoundRecord]) -> Summary:
    """Each peer knows only what it has sent and spent itself; of rounds all know the same."""
    summaries = {name: folder.summary() for name, folder in left.items()}
    first = next(iter(summaries))
    parties = own_records(summaries)
    sent = added(
        {name: (sent.messages, sent.bytes) for name, sent in party.sent.items()}
        for party in parties
    )
    notes = [*summaries[first].notes, f"traffic in rounds.jsonl is that of {first}"]
    models = {name: folder.read_model()[0] for name, folder in left.items()}
    if PARAMS in models[first]:
        odd = [n for n in left if not np.array_equal(models[n][PARAMS], models[first][PARAMS])]
        if odd:
            notes.append(f"did not end with the model of {first}: {', '.join(odd)}")
    spent = [own for each in summaries.values() if each.privacy for own in each.privacy.parties]
    summary = msgspec.structs.replace(
        summaries[first],
        parties=parties,
        traffic=traffic_of(sent),
        bytes_sent=Bytes(sum(party.bytes_sent for party in parties)),
        notes=notes,
        privacy=launched_privacy_record(spent),
    )
    return with_rounds(summary, rounds)


def own_records(summaries: Mapping[NodeId, Summary]) -> list[PartyRecord]:
    """What each party says of itself, where no node knows of all parties."""
    return [party for each in summaries.values() for party in each.parties]
