"""The node that others connect to: the HTTP interface over mutual TLS.

Uvicorn does not tell applications whose certificate it saw, so its protocol class is extended by
one that does (`serving.admitting`). Whoever gets as far as a request has proven to be a pinned
peer; what it may take up from then on is bounded (`limits`), and counted for each peer by itself,
so that one cannot crowd out the others.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from troth.crypto.identity import Identity, PublicId
from troth.errors import VerificationError
from troth.ids import NodeId
from troth.worlds.real.host import Host
from troth.worlds.real.interface import (
    CHARTER_HEADER,
    DURABLE_HEADER,
    INBOX,
    LINK,
    NUMBER_HEADER,
    OUTBOX,
    PREVIOUS,
    PROCESS_HEADER,
    RECEIVED_HEADER,
    WAIT_MS,
)
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import MAX_NUMBER, Link, Refusal
from troth.worlds.real.rate import TokenBucket
from troth.worlds.real.serving import (
    Server,
    admitting,
    body_of,
    check_framing,
    connection_gone,
)
from troth.worlds.real.tls import peer_public_id, server_context

IDLE_S = 5
"""How long a connection may stay open between two requests; a spoke asks again at once."""


MAX_PROCESSES = 16
"""How many processes of each peer are known, the last ones."""

MAX_PROCESS = 32
"""Characters by which a process is known."""


class Hub:
    """Carries a host's messages to and from the peers that connect.

    Args:
      peers: who may connect, by public key; everyone else is turned away in the TLS handshake.
    """

    def __init__(self, host: Host, identity: Identity, peers: Mapping[NodeId, PublicId]) -> None:
        self._host = host
        self._limits = host.limits
        self._door = Door({public: peer for peer, public in peers.items()}, host.limits)
        self._polls: Counter[NodeId] = Counter()
        self._receiving: set[NodeId] = set()
        self._processes: defaultdict[NodeId, deque[str]] = defaultdict(
            lambda: deque(maxlen=MAX_PROCESSES)
        )
        """By which processes a peer has asked, in the order in which they came."""
        self._closing = False
        self._server = Server(
            self._application(),
            admitting(
                "peer",
                timeout_s=host.limits.handshake_s,
                unread_bytes=host.limits.body_bytes,
                enter=self._enter,
                leave=self._door.leave,
            ),
            server_context(identity, peers.values()),
            host.limits,
            idle_s=IDLE_S,
        )

    async def open(self, address: str, port: int) -> int:
        """Listen; the port, which the operating system chooses where `port` is 0.

        Raises:
          UsageError: the address cannot be listened at.
        """
        return await self._server.open(address, port)

    async def close(self) -> None:
        """Take no more connections, and end those there are."""
        self._closing = True
        for link in self._host.links.values():
            link.changed.set()
        await self._server.close()

    def _enter(self, transport: asyncio.Transport) -> NodeId | None:
        """Who is at the other end of a new connection; None if it may not come in."""
        tls = transport.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject), "a hub speaks TLS only"
        return self._door.enter(peer_public_id(tls))

    # ---------------------------------------------------------------- requests

    def _application(self) -> Starlette:
        application = Starlette(
            routes=[
                Route(INBOX + "/{number}", self._put, methods=["PUT"]),
                Route(OUTBOX, self._get, methods=["GET"]),
                Route(LINK, self._link, methods=["GET"]),
            ],
            exception_handlers={Refusal: _refusal, ClientDisconnect: connection_gone},
        )
        # A path is what it is; a redirect would repeat the host's name to whoever asks.
        application.router.redirect_slashes = False
        return application

    def _peer(self, request: Request) -> Link:
        """Who asks, and that it may ask again already."""
        check_framing(request)
        link = self._host.links.get(request.state.peer)
        if link is None:
            raise Refusal(403, "you are no peer of this node", close=True)
        link.heard_s = time.monotonic()
        self._door.spend(link.peer)
        if self._host.charter and request.headers.get(CHARTER_HEADER) != self._host.charter:
            raise Refusal(412, f"{self._host.node.id} runs another charter", close=True)
        received = _number(request.headers.get(RECEIVED_HEADER))
        durable = _number(request.headers.get(DURABLE_HEADER))
        if durable > received:
            raise Refusal(400, f"{DURABLE_HEADER} is above {RECEIVED_HEADER}", close=True)
        if not self._host.lossy:
            self._check_process(link, request.headers.get(PROCESS_HEADER, ""), received)
        try:
            self._host.peer_holds(link, received=received, durable=durable)
        except VerificationError as error:
            raise Refusal(410, error.message, close=True) from None
        return link

    def _check_process(self, link: Link, process: str, received: int) -> None:
        """Check that a request comes from the one process of the peer that goes on with its
        journal: what is sent to another would be missed by this one, and everybody would wait. A
        peer that bears lost messages may have lost its journal, too.

        Raises:
          Refusal: it does not.
        """
        if received < link.durable_there:
            raise Refusal(
                410, f"{link.peer} has lost its journal, or runs a second time", close=True
            )
        known = self._processes[link.peer]
        if process in [*known][:-1]:
            raise Refusal(
                410, f"another process of {link.peer} has come after this one", close=True
            )
        if 0 < len(process) <= MAX_PROCESS and process not in known:
            known.append(process)

    async def _put(self, request: Request) -> Response:
        link = self._peer(request)
        number = _number(request.path_params["number"])
        previous = _number(request.query_params.get(PREVIOUS))
        link.check(number, previous)
        if link.peer in self._receiving:
            raise Refusal(429, "another message of yours is on its way", close=True)
        self._receiving.add(link.peer)
        try:
            data = await self._body(request, link)
            await self._host.accept(link, number, previous, data)
        finally:
            self._receiving.discard(link.peer)
        return Response(status_code=204, headers=_heard(link))

    async def _body(self, request: Request, link: Link) -> bytes:
        length = request.headers.get("content-length")
        if length is None:
            raise Refusal(411, "a message says its length", close=True)
        size = _number(length)
        if size > self._limits.body_bytes:
            raise Refusal(413, f"{size} bytes are more than {self._limits.body_bytes}", close=True)
        try:
            self._host.room(link, size)
        except Refusal as refusal:
            refusal.close = True
            raise
        chunks = []
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for chunk in body_of(request, size):
                    chunks.append(chunk)
        except TimeoutError:
            raise Refusal(
                408, f"the message took longer than {self._limits.body_s:g} s", close=True
            ) from None
        return b"".join(chunks)

    async def _get(self, request: Request) -> Response:
        link = self._peer(request)
        wait_s = min(self._limits.poll_s, _number(request.query_params.get(WAIT_MS)) / 1000)
        self._polls[link.peer] += 1
        mine = self._polls[link.peer]
        link.changed.set()  # An older request of the same peer, if there is one, notices this one.
        after = link.delivered
        message = link.next_after(after)
        told = link.durable
        ends_s = time.monotonic() + wait_s
        while message is None and link.durable == told and not self._closing:
            link.changed.clear()
            try:
                async with asyncio.timeout(ends_s - time.monotonic()):
                    await link.changed.wait()
            except TimeoutError:
                break
            if self._polls[link.peer] != mine:
                raise Refusal(409, "a newer request waits for messages")
            message = link.next_after(after)
        link.heard_s = time.monotonic()
        if message is None:
            return Response(status_code=204, headers=_heard(link))
        number, _, data = message
        return Response(data, headers=_heard(link) | {NUMBER_HEADER: str(number)})

    async def _link(self, request: Request) -> Response:
        return Response(status_code=204, headers=_heard(self._peer(request)))


class Door:
    """Who is connected, and how often each may ask."""

    def __init__(self, peer_of: Mapping[PublicId, NodeId], limits: Limits) -> None:
        self.limits = limits
        self._peer_of = peer_of
        self._connections: Counter[NodeId] = Counter()
        self._buckets = {
            peer: TokenBucket(limits.requests_per_s, limits.requests_at_once)
            for peer in peer_of.values()
        }

    def enter(self, public: PublicId | None) -> NodeId | None:
        """Who has connected; None if it may not, or has too many connections already."""
        peer = None if public is None else self._peer_of.get(public)
        if peer is None or self._connections[peer] >= self.limits.connections_per_peer:
            return None
        self._connections[peer] += 1
        return peer

    def leave(self, peer: NodeId) -> None:
        """One connection of `peer` has ended."""
        self._connections[peer] -= 1

    def spend(self, peer: NodeId) -> None:
        """Count a request (token bucket).

        Raises:
          Refusal: `peer` asks too often.
        """
        if self._buckets[peer].take():
            raise Refusal(429, f"more than {self.limits.requests_per_s:g} requests per second")


def _number(text: str | None) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        raise Refusal(400, f"a number from 0 to {MAX_NUMBER} is missing", close=True)
    number = int(text)
    if number > MAX_NUMBER:
        raise Refusal(400, f"a number is above {MAX_NUMBER}", close=True)
    return number


def _heard(link: Link) -> dict[str, str]:
    return {RECEIVED_HEADER: str(link.received), DURABLE_HEADER: str(link.durable)}


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"connection": "close"} if error.close else {}
    return PlainTextResponse(error.reason, status_code=error.status, headers=headers)
