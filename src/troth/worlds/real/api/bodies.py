"""Reads bodies of questions, writes those of answers, and ends connections that are too slow."""

from __future__ import annotations

import asyncio

import numpy as np
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from troth.roles.messages import Answer
from troth.wire import Codec
from troth.worlds.real.api.forms import encode
from troth.worlds.real.api.lobby import Guest
from troth.worlds.real.api.memory import Lease
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Refusal
from troth.worlds.real.serving import body_of

PIECE_BYTES = 64 * 2**10
"""How much of an answer is given to the connection at once. It goes out in pieces, so that no
second copy of it waits to be sent."""


async def read_body(
    request: Request, guest: Guest, lease: Lease, *, most_bytes: int, limits: Limits
) -> bytearray:
    """The body of a guest's question, as it comes in.

    It has to come at a pace: in `stall_s` as much as `slowest_bytes_per_s` makes of that, or the
    rest; and whole within `body_s`.

    Raises:
      Refusal: it is too large or too slow, does not say its length, or there is no room for it.
    """
    length = request.headers.get("content-length")
    if length is None:
        raise Refusal(411, "a question says its length", close=True)
    # The HTTP implementation takes no other lengths than numbers.
    if len(length) > 19 or int(length) > most_bytes:
        raise Refusal(413, f"more than {most_bytes} bytes", close=True)
    body = bytearray()
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + limits.body_s
    stride_bytes = round(limits.stall_s * limits.slowest_bytes_per_s)
    next_bytes = stride_bytes
    task, too_slow = asyncio.current_task(), False
    assert task is not None

    def stop() -> None:
        nonlocal too_slow
        too_slow = True
        task.cancel()

    guest.alarm.set(limits.stall_s, stop)
    try:
        async for chunk in body_of(request, int(length)):
            lease.grow(len(chunk))
            body += chunk
            if len(body) >= next_bytes:
                next_bytes = len(body) + stride_bytes
                guest.alarm.set(min(ends_s - loop.time(), limits.stall_s), stop)
    except asyncio.CancelledError:
        # As `asyncio.timeout` does: somebody else may have cancelled the task as well.
        if too_slow and task.uncancel() == 0:
            raise Refusal(408, "the question came too slowly", close=True) from None
        raise
    finally:
        guest.alarm.clear()
    return body


class AnswerBody:
    """An answer that goes out in pieces: an ASGI application, as Starlette's responses are.

    Whoever is slower to take it than `limits` say loses the connection.

    Args:
      form: media type in which it is encoded.
      close: whether the connection ends with it.
      guest: the connection that it goes out over.
      many: bounds how many answers that carry a model are in memory in their encoded form; others
        do not wait for it.
    """

    def __init__(
        self,
        answer: Answer,
        form: str,
        codec: Codec,
        *,
        close: bool,
        guest: Guest,
        limits: Limits,
        many: asyncio.Semaphore,
    ) -> None:
        self._answer = answer
        self._close = close
        self._form = form
        self._codec = codec
        self._guest = guest
        self._limits = limits
        self._many = many

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if _carries_model(self._answer):
            async with self._many:
                await self._send(send)
        else:
            await self._send(send)

    async def _send(self, send: Send) -> None:
        data = memoryview(encode(self._answer, self._form, self._codec))
        headers = [
            (b"content-type", self._form.encode()),
            (b"content-length", str(len(data)).encode()),
        ]
        if self._close:
            headers.append((b"connection", b"close"))
        pace_s = self._limits.stall_s + len(data) / self._limits.slowest_bytes_per_s
        alarm = self._guest.alarm
        alarm.set(min(self._limits.body_s, pace_s), self._guest.transport.abort)
        try:
            status = int(self._answer.status)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            for place in range(0, len(data), PIECE_BYTES):
                piece = data[place : place + PIECE_BYTES]
                more = place + PIECE_BYTES < len(data)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            alarm.clear()


def _carries_model(answer: Answer) -> bool:
    """Whether a second copy of it would take more than a piece. It is seen from what the answer
    holds, so no class can forget to say it."""
    size_bytes = 0
    for name in answer.__struct_fields__:
        match getattr(answer, name):
            case np.ndarray() as array:
                size_bytes += array.nbytes
            case bytes() as data:
                size_bytes += len(data)
    return size_bytes > PIECE_BYTES
