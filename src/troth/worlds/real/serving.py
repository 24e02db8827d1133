"""HTTP/1.1 over TLS, for whoever listens: uvicorn's implementation on asyncio's TLS.

Uvicorn unsets its only timer as soon as a byte arrives. So its protocol class is extended by one
that gives every request's head a time to be there. It writes an answer's head, and then its body:
what is written in one step of the event loop goes out together here, as each write is a record of
TLS and a call of the system, which cost more than all that is done for a small answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, cast

import h11
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from troth.errors import UsageError, reason_of
from troth.worlds.real.alarm import Alarm
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Refusal

CLOSE_S = 2.0
"""How long answers that are on their way may take when a server closes."""

MAX_HEADER_BYTES = 16 * 2**10

JOINED_BYTES = 16 * 2**10
"""How much may wait to be written together: as much as a record of TLS holds."""


class TimedProtocol(H11Protocol):
    """One connection. Its first request, and the rest of a request that has begun, have to come
    within `request_s`."""

    request_s: ClassVar[float]
    unread_bytes: ClassVar[int]
    """How much of a body may still come after its request was answered without it."""
    _overdue: Alarm | None = None
    _unread_bytes = 0

    # Uvicorn narrows the argument in the same way, hence the override.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # see above
        super().connection_made(JoinedWrites(transport))
        self._overdue = Alarm(self.loop)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_request()
        self._read_on()
        self._count_unread(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._overdue is not None:
            self._overdue.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (uvicorn's name)
        """Refuse what is no HTTP: in words of our own, as uvicorn's name it and its version's
        habits."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response("malformed request")
        else:
            self.transport.close()
        # Uvicorn would let the application answer as well, fail at that, and log it.
        cycle = cast("Any", self.cycle)
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()

    def _count_unread(self, came_bytes: int) -> None:
        """End the connection when too much comes of a body that nobody reads: uvicorn takes and
        drops it for as long as it comes."""
        cycle = cast("Any", self.cycle)
        unread = cycle is not None and cycle.response_complete
        if not unread or self.conn.their_state is not h11.SEND_BODY:
            self._unread_bytes = 0
            return
        self._unread_bytes += came_bytes
        if self._unread_bytes > self.unread_bytes:
            self.transport.abort()

    def _read_on(self) -> None:
        """Read on after a large body, which uvicorn has stopped for: whoever goes away while it
        waits for an answer is noticed. What it has sent beyond its request waits unread."""
        cycle = cast("Any", self.cycle)
        if (
            self.flow.read_paused
            and cycle is not None
            and not cycle.more_body
            and not self.conn.trailing_data[0]
        ):
            self.flow.resume_reading()

    def _expect_request(self) -> None:
        # Uvicorn declares the cycle, a request and its answer, as if there always were one.
        cycle = cast("Any", self.cycle)
        assert self._overdue is not None, "it is there as soon as there is a connection"
        if not (cycle is None or cycle.response_complete):
            self._overdue.clear()
        elif not self._overdue.is_set:
            self._overdue.set(self.request_s, self.transport.abort)


class JoinedWrites(asyncio.Transport):
    """A transport that passes on at once what is written to it in one step of the event loop.

    It holds `JOINED_BYTES` at most, so that whoever writes much still learns in time that it goes
    out slowly.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self._pass_on)
        self._held.append(bytes(data))
        self._held_bytes += len(data)
        if self._held_bytes >= JOINED_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._held:
            data, self._held, self._held_bytes = b"".join(self._held), [], 0
            self._transport.write(data)

    def close(self) -> None:
        self._pass_on()
        self._transport.close()

    def abort(self) -> None:
        self._held, self._held_bytes = [], 0
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()


def admitting(
    name: str,
    *,
    timeout_s: float,
    unread_bytes: int,
    enter: Callable[[asyncio.Transport], Any],
    leave: Callable[[Any], None],
) -> type[TimedProtocol]:
    """The asyncio protocol of connections that somebody has to let in.

    Args:
      name: where the application finds what `enter` gave for a request's connection: it is
        `request.state.NAME`.
      timeout_s: `TimedProtocol.request_s`.
      unread_bytes: `TimedProtocol.unread_bytes`.
      enter: lets a new connection in, as something that it is known by; None: it is closed at once.
      leave: is given the same when the connection has ended.
    """

    most_bytes = unread_bytes

    class AdmittedProtocol(TimedProtocol):
        request_s = timeout_s
        unread_bytes = most_bytes
        entered: Any = None

        # Narrowed as in `TimedProtocol`.
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # see above
            super().connection_made(transport)
            self.entered = enter(self.transport)
            if self.entered is None:
                self.transport.abort()
                return
            self.app_state = {name: self.entered}

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.entered is not None:
                leave(self.entered)

    return AdmittedProtocol


def check_framing(request: Request) -> None:
    """Check that a request says in one way how long its body is, and that one to be given something
    has none.

    With both headers the HTTP implementation reads chunks for as long as they come, whatever the
    length says (RFC 9112, 6.3), so a bound on the length would bound nothing.

    Raises:
      Refusal: it does not; nothing of the body was read, and the connection ends.
    """
    length = request.headers.get("content-length")
    if "transfer-encoding" in request.headers:
        if length is not None:
            raise Refusal(400, "a length and chunks are stated together", close=True)
        raise Refusal(411, "a body says its length", close=True)
    if request.method in ("GET", "HEAD") and length not in (None, "0"):
        raise Refusal(413, f"a {request.method} has no body", close=True)


async def body_of(request: Request, size_bytes: int) -> AsyncIterator[bytes]:
    """The pieces of a body that its sender has stated to be `size_bytes` long, counted as they come
    in: no more is passed on, whatever the HTTP implementation lets through.

    Raises:
      Refusal: more has come.
    """
    left_bytes = size_bytes
    async for piece in request.stream():
        left_bytes -= len(piece)
        if left_bytes < 0:
            raise Refusal(400, f"more than the stated {size_bytes} bytes", close=True)
        yield piece


async def connection_gone(_: Request, __: Exception) -> Response:
    """For `ClientDisconnect`: nobody reads this, as the connection is gone."""
    return Response(status_code=400)


class Server:
    """Serves an application to whoever gets through the TLS handshake.

    Args:
      protocol: what each connection is.
      idle_s: how long a connection may stay open between two requests.
    """

    def __init__(
        self,
        application: ASGIApp,
        protocol: type[H11Protocol],
        context: ssl.SSLContext,
        limits: Limits,
        *,
        idle_s: int,
    ) -> None:
        self._config = Config(
            application,
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # Strangers' malformed requests are warnings, and would fill a log.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=idle_s,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        self._context = context
        self._limits = limits
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def open(self, address: str, port: int) -> int:
        """Listen; the port, which the operating system chooses where `port` is 0.

        Raises:
          UsageError: the address cannot be listened at.
        """
        self._config.load()
        protocol_class: Any = self._config.http_protocol_class
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: protocol_class(config=self._config, server_state=self._state, app_state={}),
                address,
                port,
                family=socket.AF_UNSPEC,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=CLOSE_S,
            )
        except OSError as error:
            raise UsageError(
                f"cannot listen at {address}:{port}: {reason_of(error)}",
                hint="choose another port, or 0 to have one chosen",
            ) from None
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def close(self) -> None:
        """Take no more connections, and end those there are."""
        if self._server is None:
            return
        self._server.close()
        tasks = set(self._state.tasks)
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=CLOSE_S)
        for connection in list(self._state.connections):
            connection.transport.abort()
        if tasks:
            # They notice that nobody is there any more.
            _, tasks = await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in tasks:
            task.cancel()
