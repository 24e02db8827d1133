"""A broker as strangers see it: the HTTP API over TLS.

Nobody who asks shows a name; the broker proves its own. One request asks one question of the
protocol, and the answer is the role's, whenever that comes. What anybody may take up is bounded by
`limits`, for each connection by itself and for all of them together.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from troth.crypto.identity import Identity
from troth.errors import PeerError
from troth.roles.messages import Answer, AnswerStatus, Question
from troth.wire import Codec, Message
from troth.worlds.real.api import paths
from troth.worlds.real.api.bodies import AnswerBody, read_body
from troth.worlds.real.api.face import Deploying, Face
from troth.worlds.real.api.forms import JSON, decode
from troth.worlds.real.api.lobby import Guest, Lobby
from troth.worlds.real.api.media import accepted, sent
from troth.worlds.real.api.memory import Memory
from troth.worlds.real.api.openapi import openapi_json
from troth.worlds.real.api.page import page_html
from troth.worlds.real.api.statuses import HELD, PREFER
from troth.worlds.real.host import Host
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Refusal
from troth.worlds.real.rate import TokenBucket
from troth.worlds.real.serving import Server, admitting, check_framing, connection_gone
from troth.worlds.real.tls import open_server_context

DEPLOYING_AT_ONCE = 2
"""How many of the largest questions that bring a charter may be on their way at once."""

REFUSALS = (AnswerStatus.FOR_GOOD, AnswerStatus.UNPROCESSABLE)
"""Answers that count against whoever has asked, as a strike. A paid question that gets one is taken
for a free one."""

TAKEN = (AnswerStatus.ANSWERED, AnswerStatus.REJECTED)
"""Answers that show that a paid question has really been paid for. What comes when the training is
over is told to everybody, and shows nothing."""


@dataclass(frozen=True, eq=False)
class Deployed:
    """A broker whose charter is known, and whose role runs."""

    host: Host
    model_id: str
    charter: bytes
    """The charter in canonical JSON, whose digest `model_id` is."""


SHORTEST_HOLD_S = 0.5
"""No question is held back shorter because whoever asks prefers it: that is half of the shortest
time after which a node may give its broker up."""

Q = TypeVar("Q", bound=Question)

Said = Response | AnswerBody
"""What is said to a request."""

Deploy = Callable[[Any], Awaitable[Deployed]]
"""Makes a broker of a charter, and starts its role; called once, unless it fails.

It is given a question of the class that `Face.deploying` names.

Raises:
  PeerError: the charter, or who sent it, is not acceptable; whoever asked is told why.
  Refusal: not now, or not by this server.
"""


class Later(Refusal):
    """A refusal for now: the same question may be taken later.

    Args:
      wait_s: after how long to ask again.
    """

    def __init__(self, status: int, reason: str, wait_s: float) -> None:
        super().__init__(status, reason)
        self.wait_s = wait_s


class BrokerServer:
    """Serves one model, and the questions of one protocol about it.

    Args:
      face: of the protocol.
      deploy: makes a broker of the first charter that comes; None where `deployed` is given.
      deployed: the broker, where it is known from the start.
      resuming: it was known before this start, and `resume` will say it; until then everybody is
        asked to wait.
    """

    def __init__(
        self,
        face: Face,
        identity: Identity,
        limits: Limits,
        *,
        deploy: Deploy | None = None,
        deployed: Deployed | None = None,
        resuming: bool = False,
    ) -> None:
        assert (deploy is None) != (deployed is None), "either a charter is known, or one will come"
        assert deploy is None or face.deploying is not None, "no question brings a charter"
        self._face = face
        self._limits = limits
        self._deploy = deploy
        self._deployed = deployed
        self._resuming = resuming
        self._deploying_lock = asyncio.Lock()
        most_bytes = 0 if face.deploying is None else face.deploying.most_bytes
        self._deploying_codec = Codec(face.messages, max_bytes=most_bytes)
        self._deploying_memory = Memory(DEPLOYING_AT_ONCE * most_bytes)
        self._memory = Memory(limits.guests_bytes if deployed is None else self._bytes_of(deployed))
        self._free = TokenBucket(limits.free_per_s, limits.free_at_once)
        self._answers = asyncio.Semaphore(limits.answers_at_once)
        self._held: dict[Guest, asyncio.Future[Message | None]] = {}
        """Where the answer of the role is to come, of each connection that waits for one."""
        self._closing = False
        self._lobby = lobby = Lobby(limits)
        self._server = Server(
            self._application(),
            admitting(
                "guest",
                timeout_s=limits.handshake_s,
                unread_bytes=limits.body_bytes,
                enter=lobby.enter,
                leave=self._left,
            ),
            open_server_context(identity),
            limits,
            idle_s=limits.idle_s,
        )

    def resume(self, deployed: Deployed) -> None:
        """Begin to serve the model that was known before this start (`resuming`)."""
        assert self._deployed is None
        assert self._resuming
        self._deployed, self._resuming = deployed, False
        self._memory.size_bytes = self._bytes_of(deployed)

    async def open(self, address: str, port: int) -> int:
        """Begin to listen, and return the port; the operating system chooses one where `port` is 0.

        Raises:
          UsageError: the address cannot be listened at.
        """
        return await self._server.open(address, port)

    async def close(self) -> None:
        """Take no more connections, and end those there are."""
        self._closing = True
        for waiting in self._held.values():
            if not waiting.done():
                waiting.set_exception(_being_stopped())
        await self._server.close()

    def _application(self) -> ASGIApp:
        endpoints = {action: self._endpoint(kind) for action, kind in self._face.actions.items()}
        others = Starlette(
            routes=[
                # These say by which method a question is asked, to whoever asks by another.
                *(
                    Route(f"{paths.MODEL}/{action}", endpoint, methods=["POST"])
                    for action, endpoint in endpoints.items()
                ),
                Route(paths.MODEL, self._status, methods=["GET"]),
                Route(paths.CHARTER, self._charter, methods=["GET"]),
                Route(paths.OPENAPI, self._openapi, methods=["GET"]),
                Route(paths.PAGE, self._page, methods=["GET"]),
            ],
            exception_handlers={
                Refusal: _refusal,
                HTTPException: _http_refusal,
                ClientDisconnect: connection_gone,
            },
        )
        # A path is what it is; a redirect would repeat the host's name to whoever asks.
        others.router.redirect_slashes = False

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            # Questions come this way, past Starlette's layers, which take longer than their answer.
            named = paths.split(scope["path"]) if scope["method"] == "POST" else None
            endpoint = None if named is None else endpoints.get(named.action)
            if named is None or endpoint is None:
                await others(scope, receive, send)
                return
            scope["path_params"] = {"model_id": named.model_id}
            request = Request(scope, receive, send)
            try:
                response = await endpoint(request)
            except Refusal as refusal:
                response = await _refusal(request, refusal)
            except ClientDisconnect as gone:
                response = await connection_gone(request, gone)
            await response(scope, receive, send)

        return application

    # ---------------------------------------------------------------- what is asked

    def _endpoint(self, kind: type[Question]) -> Callable[[Request], Awaitable[Said]]:
        async def endpoint(request: Request) -> Said:
            guest = self._guest(request)
            guest.busy, guest.asking = True, None
            try:
                return await self._question(request, guest, kind)
            except Refusal as refusal:
                if refusal.status == 400:
                    self._strike(guest, refusal)
                raise
            finally:
                guest.busy, guest.asking = False, None
                guest.idle_since_s = time.monotonic()

        return endpoint

    async def _question(self, request: Request, guest: Guest, kind: type[Question]) -> Said:
        form = sent(request)
        answer_form = accepted(request, otherwise=form)
        deploying = self._face.deploying
        if deploying is not None and kind is deploying.question:
            self._spend_free()
            with self._deploying_memory.lease(guest) as lease:
                body = await read_body(
                    request, guest, lease, most_bytes=deploying.most_bytes, limits=self._limits
                )
                question = _decoded(kind, body, form, self._deploying_codec)
                _check_path(request, question)
                return await self._deployed_by(request, guest, deploying, question, answer_form)
        deployed = self._known(request)
        if not kind.is_paid:
            self._spend_free()
        limits = deployed.host.limits
        with self._memory.lease(guest) as lease:
            body = await read_body(
                request, guest, lease, most_bytes=limits.body_bytes, limits=limits
            )
        question = _decoded(kind, body, form, deployed.host.codec)
        _check_path(request, question)
        return await self._asked(request, guest, deployed, question, len(body), answer_form)

    async def _deployed_by(
        self,
        request: Request,
        guest: Guest,
        deploying: Deploying,
        question: Question,
        answer_form: str,
    ) -> Said:
        async with self._deploying_lock:
            self._check_resumed()
            if self._deployed is None:
                assert self._deploy is not None
                try:
                    self._deployed = await self._deploy(question)
                except PeerError as error:
                    refused = deploying.refuse(question, error.message)
                    return self._answer(guest, refused, answer_form, self._deploying_codec)
                self._memory.size_bytes = self._bytes_of(self._deployed)
        deployed = self._known(request)
        # Its memory is counted here already, and may be more than the host has for questions.
        return await self._asked(request, guest, deployed, question, 0, answer_form)

    async def _status(self, request: Request) -> Said:
        guest = self._guest(request)
        form = accepted(request, otherwise=JSON)
        deployed = self._known(request)
        self._spend_free()
        question = self._face.status(deployed.model_id)
        return await self._asked(request, guest, deployed, question, 0, form)

    async def _charter(self, request: Request) -> Response:
        self._guest(request)
        self._spend_free()
        return Response(self._known(request).charter, media_type=JSON)

    async def _openapi(self, request: Request) -> Response:
        self._guest(request)
        self._spend_free()
        return Response(openapi_json(self._face), media_type=JSON)

    async def _page(self, request: Request) -> Response:
        self._guest(request)
        self._spend_free()
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(page_html(self._face), media_type="text/html", headers=headers)

    # ---------------------------------------------------------------- what is answered

    async def _asked(
        self,
        request: Request,
        guest: Guest,
        deployed: Deployed,
        question: Question,
        size_bytes: int,
        answer_form: str,
    ) -> Said:
        host = deployed.host
        guest.asking = question.place
        hold_s = min(host.limits.hold_s, _preferred_s(request))
        answer = await self._role_answers(guest, host, question, size_bytes, hold_s)
        if answer is None:
            return _said({"held": "others have to catch up, ask again"}, HELD, wait_s=0)
        if question.is_paid:
            if answer.status in REFUSALS:
                # It was asked as if paid for.
                self._free.owe()
            elif answer.status in TAKEN:
                self._lobby.paid(guest, answer.place or question.place)
        return self._answer(guest, answer, answer_form, host.codec)

    async def _role_answers(
        self, guest: Guest, host: Host, question: Question, size_bytes: int, hold_s: float
    ) -> Answer | None:
        """Ask the role; its answer, or None if it has none within `hold_s`.

        Raises:
          Refusal: there is no room, the training is over, or the server closes.
          ClientDisconnect: nobody waits for the answer any more.
        """
        if self._closing:
            raise _being_stopped()
        if guest not in self._lobby.guests:
            raise ClientDisconnect
        waiting: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        guest.alarm.set(hold_s, partial(_hold_is_over, waiting))
        self._held[guest] = waiting
        try:
            answer = await host.ask(question, size_bytes, waiting)
            assert answer is None or isinstance(answer, Answer), "an answer answers a question"
            return answer
        finally:
            guest.alarm.clear()
            del self._held[guest]

    def _left(self, guest: Guest) -> None:
        """A connection has ended: nobody waits for its answer any more."""
        self._lobby.leave(guest)
        waiting = self._held.get(guest)
        if waiting is not None and not waiting.done():
            waiting.set_exception(ClientDisconnect())

    def _answer(self, guest: Guest, answer: Answer, form: str, codec: Codec) -> AnswerBody:
        guest.strikes = guest.strikes + 1 if answer.status in REFUSALS else 0
        return AnswerBody(
            answer,
            form,
            codec,
            close=guest.strikes >= self._limits.strikes,
            guest=guest,
            limits=self._limits,
            many=self._answers,
        )

    # ---------------------------------------------------------------- who may ask

    def _guest(self, request: Request) -> Guest:
        check_framing(request)
        guest: Guest = request.state.guest
        wait_s = guest.bucket.take()
        if wait_s:
            raise Later(429, f"more than {self._limits.requests_per_s:g} requests a second", wait_s)
        return guest

    def _spend_free(self) -> None:
        wait_s = self._free.take()
        if wait_s:
            raise Later(429, "too many ask for what costs nothing, try again later", wait_s)

    def _check_resumed(self) -> None:
        if self._resuming:
            raise Later(503, "the broker is being started", 1.0)

    def _known(self, request: Request) -> Deployed:
        self._check_resumed()
        deployed = self._deployed
        if deployed is None or request.path_params["model_id"] != deployed.model_id:
            raise Refusal(404, "no such model here")
        return deployed

    def _strike(self, guest: Guest, refusal: Refusal) -> None:
        guest.strikes += 1
        refusal.close = refusal.close or guest.strikes >= self._limits.strikes

    @staticmethod
    def _bytes_of(deployed: Deployed) -> int:
        return deployed.host.limits.guests_bytes


def _decoded(kind: type[Q], body: bytearray, form: str, codec: Codec) -> Q:
    try:
        return decode(kind, body, form, codec)
    except PeerError as error:
        raise Refusal(400, error.message) from None


def _check_path(request: Request, question: Question) -> None:
    if question.model_id != request.path_params["model_id"]:
        raise Refusal(400, "the body names another model than the path")


def _hold_is_over(waiting: asyncio.Future[Message | None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _being_stopped() -> Later:
    return Later(503, "the broker is being stopped", 1.0)


def _preferred_s(request: Request) -> float:
    """For how long whoever asks wants its question to be held back at most."""
    said = re.fullmatch(r"wait=([0-9]{1,4}(\.[0-9]{1,4})?)", request.headers.get(PREFER, ""))
    return math.inf if said is None else max(SHORTEST_HOLD_S, float(said[1]))


def _said(
    text: dict[str, str], status: int, *, wait_s: float | None = None, close: bool = False
) -> Response:
    headers = {}
    if wait_s is not None:
        headers["retry-after"] = str(math.ceil(wait_s))
    if close:
        headers["connection"] = "close"
    return Response(msgspec.json.encode(text), status, headers, media_type=JSON)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    wait_s = None
    if isinstance(error, Later):
        wait_s = error.wait_s
    elif error.status in (429, 503):
        wait_s = 1.0
    return _said({"error": error.reason}, error.status, wait_s=wait_s, close=error.close)


async def _http_refusal(_: Request, error: Exception) -> Response:
    """Starlette has refused the request: there is no such path, or not by this method."""
    assert isinstance(error, HTTPException)
    response = _said({"error": error.detail.lower()}, error.status_code)
    response.headers.update(error.headers or {})
    return response
