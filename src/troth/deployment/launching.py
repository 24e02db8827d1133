"""How the nodes of a launch are started, and what they say together, by who speaks to whom.

A protocol whose nodes take more than this names its own in `Operation.launch`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

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


@dataclass(frozen=True)
class ThroughTor:
    """By Tor and no other way.

    Args:
      config: more lines for tor.
    """

    config: Path | None = None


class Launching(Protocol):
    """How the nodes of one launch are started, and what they say together.

    `Operation.launch` in a protocol's record names what makes it:
    (LoadedScenario, ThroughTor | None) -> Launching.
    """

    @property
    def names(self) -> tuple[NodeId, ...]:
        """All nodes; the rounds of the first are those of the run."""

    @property
    def owner(self) -> NodeId:
        """Who has the model, and has measured it on the test set."""

    @property
    def by_tor(self) -> bool:
        """Whether its nodes can reach each other by Tor."""

    @property
    def leaves(self) -> tuple[str, ...]:
        """Files of the first node's folder that are the run's, too."""

    async def play(self, processes: Processes) -> None:
        """Start all nodes, and wait until they have ended.

        Raises:
          LocalError: one of them has failed.
        """

    def together(
        self, left: Mapping[NodeId, RunFolder], rounds: Sequence[RoundRecord], /
    ) -> Summary:
        """What the nodes' summaries say together.

        Args:
          left: the nodes' folders.
          rounds: of the run.
        """


@dataclass(frozen=True)
class StarLaunching:
    """A hub, and parties that connect to it. The hub has seen everything."""

    names: tuple[NodeId, ...]
    by_tor: bool = False
    leaves: tuple[str, ...] = ()

    @property
    def owner(self) -> NodeId:
        """The hub."""
        return self.names[0]

    async def play(self, processes: Processes) -> None:
        """The hub first, as the others have to be told where it listens."""
        await processes.play(partial(self._start, processes))

    async def _start(self, processes: Processes) -> None:
        url = await processes.listening(self.owner, "--listen", "127.0.0.1:0")
        for name in self.names[1:]:
            await processes.node(name, "--connect", url)

    def together(self, left: Mapping[NodeId, RunFolder], _: Sequence[RoundRecord], /) -> Summary:
        """What the hub says."""
        return left[self.owner].summary()


Options = Callable[[NodeId], Sequence[str]]
"""What a node is given besides, in the words of the command line."""


@asynccontextmanager
async def nothing(_: Processes) -> AsyncIterator[Options]:
    """For `MeshLaunching.bring`: nodes bring nothing but their rows."""
    yield lambda _: ()


@dataclass(frozen=True)
class MeshLaunching:
    """Peers, each of which speaks to every other. Of rounds all know the same, and each knows only
    what it has sent and spent itself.

    Args:
      bring: makes what the nodes bring for this one run, and removes it afterwards.
    """

    names: tuple[NodeId, ...]
    bring: Callable[[Processes], AbstractAsyncContextManager[Options]] = nothing
    by_tor: bool = False
    leaves: tuple[str, ...] = ()

    @property
    def owner(self) -> NodeId:
        """Any of them."""
        return self.names[0]

    async def play(self, processes: Processes) -> None:
        """One after the other, as each has to be told where those before it listen."""
        async with self.bring(processes) as options:
            await processes.play(partial(self._start, processes, options))

    async def _start(self, processes: Processes, options: Options) -> None:
        addresses: dict[NodeId, str] = {}
        for name in self.names:
            addresses[name] = await processes.listening(
                name, "--listen", "127.0.0.1:0", *options(name), "--give-up-after", str(MEET_S)
            )
            processes.write_peers(addresses)

    def together(
        self, left: Mapping[NodeId, RunFolder], rounds: Sequence[RoundRecord], /
    ) -> Summary:
        """Traffic and privacy of all, and a note on whoever ended with another model."""
        summaries = {name: folder.summary() for name, folder in left.items()}
        first = summaries[self.owner]
        parties = own_records(summaries)
        sent = added(
            {name: (sent.messages, sent.bytes) for name, sent in party.sent.items()}
            for party in parties
        )
        notes = [*first.notes, f"traffic in rounds.jsonl is that of {self.owner}"]
        models = {name: folder.read_model()[0] for name, folder in left.items()}
        shared_D = models[self.owner].get(PARAMS)
        odd = [
            name
            for name, model in models.items()
            if shared_D is not None and not np.array_equal(model[PARAMS], shared_D)
        ]
        if odd:
            notes.append(f"did not end with the model of {self.owner}: {', '.join(odd)}")
        spent = [own for each in summaries.values() if each.privacy for own in each.privacy.parties]
        summary = msgspec.structs.replace(
            first,
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
