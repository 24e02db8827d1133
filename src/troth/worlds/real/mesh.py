"""A node among equals: the spokes to those peers that it connects to.

In a mesh no node depends on a single other one. So a peer that is away, silent, or cannot prove who
it is costs itself only: it is asked again and again, its messages wait for it up to their bound,
and everybody else goes on. What no node can do is train alone: one that hears of nobody gives up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import anyio

from troth.errors import UnreachableError, VerificationError
from troth.ids import NodeId
from troth.worlds.real.host import CHECK_S, Host
from troth.worlds.real.spoke import Spoke

SUSPECT_S = 30.0
"""How long nobody asks a peer again who could not prove who it is, or does not accept this node."""

LEAVE_S = 2.0
"""How long a node that has ended stays for peers to fetch its last messages. They may be lost, and
a protocol that needs longer stays itself."""


class MeshSpokes:
    """Carries a host's messages to and from the peers that it connects to.

    Args:
      spokes: makes the spoke to each of them.
    """

    def __init__(self, host: Host, spokes: Mapping[NodeId, Callable[[], Spoke]]) -> None:
        self._host = host
        self._make = spokes
        self._running: dict[NodeId, Spoke] = {}
        self._suspects: dict[NodeId, VerificationError] = {}

    async def run(self) -> None:
        """Carry messages until cancelled.

        Raises:
          UnreachableError: nobody at all is heard of any more.
          VerificationError: the same, and this is what is wrong with one of them; as
            `Host.watch_journal`.
        """
        tasks = [asyncio.create_task(self._carry(peer)) for peer in self._make]
        tasks.append(asyncio.create_task(self._watch()))
        tasks.append(asyncio.create_task(self._host.watch_journal()))
        try:
            # Not gathered: whoever cancels this would cancel them twice, and cut short their ends.
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def meet(self) -> None:
        """Wait until every peer was heard of, but for those that are not in time: a round that
        begins before all are up would leave out whoever is late."""
        if self._host.finished:
            return
        try:
            async with asyncio.timeout(self._host.limits.unreachable_s):
                for link in self._host.links.values():
                    await link.met.wait()
        except TimeoutError:
            self._check_reached()

    async def farewell(self) -> None:
        """Tell peers a last time what this node holds, as far as they are quick to hear it."""
        with anyio.move_on_after(LEAVE_S):
            async with anyio.create_task_group() as group:
                for spoke in self._running.values():
                    group.start_soon(spoke.farewell)

    def notes(self) -> tuple[str, ...]:
        """What is wrong with peers that were never heard of."""
        links = self._host.links
        return tuple(
            error.message
            for peer, error in sorted(self._suspects.items())
            if not links[peer].met.is_set()
        )

    async def _carry(self, peer: NodeId) -> None:
        while True:
            spoke = self._running[peer] = self._make[peer]()
            try:
                await spoke.run()
            except VerificationError as error:
                self._suspects[peer] = error
            finally:
                del self._running[peer]
            await asyncio.sleep(SUSPECT_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            self._check_reached()

    def _check_reached(self) -> None:
        links = self._host.links
        try:
            self._host.check_reached(tuple(links), min(1, len(links)))
        except UnreachableError:
            for error in self._suspects.values():
                raise error from None
            raise
