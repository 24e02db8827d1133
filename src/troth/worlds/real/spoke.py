"""The node that connects: carries a host's messages to and from a hub, and is never connected to.

Two loops, one for each direction. Whatever goes wrong on the way is tried again, ever more slowly;
that nobody answers for too long is noticed by the host, whose role waits. What is not tried again
is a hub that cannot prove to be the one pinned, or that does not know this node.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import httpx

from troth.crypto.identity import Identity, PublicId
from troth.errors import PeerError, VerificationError
from troth.ids import NodeId
from troth.worlds.real.answers import BadAnswerError, is_unproven, read_answer
from troth.worlds.real.carrying import until_cancelled
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
from troth.worlds.real.link import MAX_NUMBER, Refusal
from troth.worlds.real.peers import node_url
from troth.worlds.real.rate import TokenBucket
from troth.worlds.real.tls import client_context

CONNECT_S = 10.0
"""How long connecting may take."""

FIRST_RETRY_S, LAST_RETRY_S = 0.05, 2.0
"""The first wait before another attempt, and the longest; each is twice the one before."""

MAX_REASON_CHARACTERS = 160
"""How much is kept of the hub's reason for a refusal."""

STOP_S = 2.0
"""How long a TLS handshake may take to end when a spoke stops."""

HANG_UPS = 6
"""Connections in a row that end without an answer, though the hub has proven who it is, after which
it is taken not to know this node: asyncio closes them without saying so in a TLS alert."""


class _Rejected(Exception):
    """The hub will never take this message."""


class Spoke:
    """Carries a host's messages to and from the hub `server`.

    Args:
      url: where the hub listens: `https://HOST:PORT`.
      public: the hub's public key.

    Raises:
      UsageError: `url` is not of that form. Nothing is ever sent without TLS.
    """

    def __init__(
        self, host: Host, identity: Identity, *, server: NodeId, public: PublicId, url: str
    ) -> None:
        url = node_url(url, f"the URL of {server}:")
        self._host = host
        self._server = server
        self._url = url
        self._link = host.links[server]
        limits = host.limits
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=client_context(identity, public),
            # Neither proxies nor anything else of the environment: it could lead elsewhere.
            trust_env=False,
            headers={"accept": "*/*", "accept-encoding": "identity"},
        )
        del self._client.headers["user-agent"]
        self._timeout = httpx.Timeout(limits.body_s, connect=CONNECT_S, pool=None)
        self._poll = f"{OUTBOX}?{WAIT_MS}={round(1000 * limits.poll_s)}"
        self._poll_timeout = httpx.Timeout(
            limits.body_s, connect=CONNECT_S, read=limits.poll_s + CONNECT_S, pool=None
        )
        # As many as a hub allows. One that always has more, or never takes what it is sent, could
        # have this node ask as fast as it can.
        self._requests = TokenBucket(limits.requests_per_s, limits.requests_at_once)
        self._lost_touch = True
        self._stopping = False
        self._handshakes = 0
        self._no_handshake = asyncio.Event()
        self._no_handshake.set()

    async def run(self) -> None:
        """Carry messages until cancelled.

        Raises:
          VerificationError: whoever answers is not the pinned hub, or it does not accept this node.
        """
        async with self._client:
            loops = self._forever(self._push), self._forever(self._pull)
            await until_cancelled(*loops, stop=self._stop)

    async def _stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._no_handshake.wait()

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        wait_s, hang_ups = FIRST_RETRY_S, 0
        while not self._stopping:
            try:
                await step()
                wait_s, hang_ups = FIRST_RETRY_S, 0
            except (BadAnswerError, httpx.TransportError) as error:
                hung_up = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
                hang_ups = hang_ups + 1 if hung_up else 0
                self._check_proof(error, hang_ups)
                self._lost_touch = True
                self._link.changed.set()
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LAST_RETRY_S)

    async def _trace(self, event: str, _: Mapping[str, object]) -> None:
        """Told by httpcore what it does. A handshake that is cancelled leaves its socket open."""
        if event == "connection.start_tls.started":
            self._handshakes += 1
            self._no_handshake.clear()
        elif event.startswith("connection.start_tls."):
            self._handshakes -= 1
            if not self._handshakes:
                self._no_handshake.set()

    async def farewell(self) -> None:
        """Tell the hub a last time what this node holds. If that fails, the hub waits in vain for a
        little while, and no more comes of it."""
        with contextlib.suppress(BadAnswerError, httpx.TransportError):
            await self._ask("GET", LINK)

    # ---------------------------------------------------------------- the two directions

    async def _push(self) -> None:
        """Send the next message, if there is one to send."""
        link = self._link
        if self._lost_touch:
            # The hub may have been started again, and hold less than it did.
            self._lost_touch = False
            await self._ask("GET", LINK)
        message = link.next_after(link.delivered)
        if message is None:
            link.changed.clear()
            await link.changed.wait()
            return
        number, previous, data = message
        try:
            await self._ask("PUT", f"{INBOX}/{number}?{PREVIOUS}={previous}", content=data)
        except _Rejected as rejected:
            # It would not be taken the second time either.
            link.give_up(number)
            complaint = f"refused a message: {rejected}"
            await self._host.blame(PeerError(complaint, culprits=(self._server,)))

    async def _pull(self) -> None:
        """Fetch the next message, or hear that there is none."""
        link = self._link
        answer, body = await self._ask("GET", self._poll, timeout=self._poll_timeout)
        if answer.status_code != 200:
            return
        number = _number(answer, NUMBER_HEADER)
        try:
            await self._host.accept(link, number, 0, body)
        except Refusal as refusal:
            if refusal.status != 400:
                raise BadAnswerError(refusal.reason) from None
            link.received = number

    # ---------------------------------------------------------------- one request

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> tuple[httpx.Response, bytes]:
        """One request and its answer; takes note of how far the hub has heard this node.

        Raises:
          _Rejected: the message will never be taken.
          BadAnswerError: any other answer but 200 or 204, or one that is too large.
        """
        link = self._link
        while wait_s := self._requests.take():
            await asyncio.sleep(wait_s)
        request = self._client.build_request(
            method,
            path,
            content=content,
            headers={
                CHARTER_HEADER: self._host.charter,
                PROCESS_HEADER: self._host.process,
                RECEIVED_HEADER: str(link.received),
                DURABLE_HEADER: str(link.durable),
            },
            timeout=self._timeout if timeout is None else timeout,
            extensions={"trace": self._trace},
        )
        answer = await self._client.send(request, stream=True)
        try:
            body = await read_answer(answer, self._host.limits.body_bytes)
        finally:
            await answer.aclose()
        if answer.status_code == 412:
            raise VerificationError(
                f"{self._server} at {self._url} runs another charter than {self._host.node.id}",
                hint="give all nodes the same scenario file, and the same --set",
            )
        if answer.status_code == 410:
            raise VerificationError(
                f"{self._server} at {self._url} does not go on with {self._host.node.id}: "
                f"{body.decode(errors='replace')[:MAX_REASON_CHARACTERS]}",
                hint="run every node once, with the folder that it had; this one goes on when it "
                "is started again",
            )
        if content is not None and answer.status_code in (400, 413):
            raise _Rejected(body.decode(errors="replace")[:MAX_REASON_CHARACTERS])
        if answer.status_code not in (200, 204):
            raise BadAnswerError(f"answered {answer.status_code}")
        received = _number(answer, RECEIVED_HEADER)
        durable = _number(answer, DURABLE_HEADER)
        self._host.peer_holds(link, received=received, durable=durable)
        return answer, body

    def _check_proof(self, error: BaseException, hang_ups: int) -> None:
        if is_unproven(error):
            raise VerificationError(
                f"whoever answers at {self._url} cannot prove to be {self._server}",
                hint="see that the public id of the server in the peers file is the right one",
            ) from None
        if hang_ups >= HANG_UPS:
            raise VerificationError(
                f"{self._server} at {self._url} does not accept {self._host.node.id}: it proves "
                "who it is, and hangs up",
                hint="this node's public id has to stand in the server's peers file",
            ) from None


def _number(answer: httpx.Response, header: str) -> int:
    text = answer.headers.get(header, "")
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > MAX_NUMBER:
        raise BadAnswerError(f"answered without {header}")
    return int(text)
