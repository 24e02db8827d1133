"""Bodies of questions as they come in, and of answers as they go out, with a time for each."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from troth.protocols.tormentor.messages import Delivered, Finished, Joined, Next
from troth.protocols.tormentor.messages import Refused as RefusedAnswer
from troth.wire import Codec, Message
from troth.worlds.real.api.forms import encode
from troth.worlds.real.api.lobby import Guest
from troth.worlds.real.api.memory import Lease
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Refused

PIECE_BYTES = 64 * 2**10
"""An answer goes out in pieces, so that no second copy of it waits to be sent."""

CARRY_MODEL = (Joined, Next, RefusedAnswer, Finished, Delivered)


async def read_body(
    request: Request, lease: Lease, *, most_bytes: int, limits: Limits
) -> bytearray:
    """The question's body.

    It has to come at a pace: in `stall_s` as much as `slowest_bytes_per_s` makes of that, or the
    rest; and whole within `body_s`.

    Raises:
      Refused: it is too large or too slow, does not say its length, or there is no room for it.
    """
    length = request.headers.get("content-length")
    if length is None:
        raise Refused(411, "a question says its length", close=True)
    # The HTTP implementation takes no other lengths than numbers, and no more than was announced.
    if len(length) > 19 or int(length) > most_bytes:
        raise Refused(413, f"more than {most_bytes} bytes", close=True)
    body = bytearray()
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + limits.body_s
    stride_bytes = round(limits.stall_s * limits.slowest_bytes_per_s)
    next_bytes = stride_bytes
    try:
        async with asyncio.timeout(limits.stall_s) as deadline:
            async for chunk in request.stream():
                lease.grow(len(chunk))
                body += chunk
                if len(body) >= next_bytes:
                    next_bytes = len(body) + stride_bytes
                    deadline.reschedule(min(ends_s, loop.time() + limits.stall_s))
    except TimeoutError:
        raise Refused(408, "the question came too slowly", close=True) from None
    return body


class AnswerBody(Response):
    """An answer in pieces. Whoever is slower to take it than `limits` say loses the connection.

    Args:
      many: bounds how many large answers there are in memory.
    """

    def __init__(
        self,
        answer: Message,
        form: str,
        codec: Codec,
        status: int,
        headers: dict[str, str],
        *,
        guest: Guest,
        limits: Limits,
        many: asyncio.Semaphore,
    ) -> None:
        super().__init__(status_code=status, headers=headers | {"content-type": form})
        self._answer = answer
        self._form = form
        self._codec = codec
        self._guest = guest
        self._limits = limits
        self._many = many

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if _is_large(self._answer):
            async with self._many:
                await self._send(send)
        else:
            await self._send(send)

    async def _send(self, send: Send) -> None:
        data = memoryview(encode(self._answer, self._form, self._codec))
        self.headers["content-length"] = str(len(data))
        pace_s = self._limits.stall_s + len(data) / self._limits.slowest_bytes_per_s
        too_slow = asyncio.get_running_loop().call_later(
            min(self._limits.body_s, pace_s), self._guest.transport.abort
        )
        try:
            start = {"type": "http.response.start", "status": self.status_code}
            await send(start | {"headers": self.raw_headers})
            for place in range(0, len(data), PIECE_BYTES):
                piece = data[place : place + PIECE_BYTES]
                more = place + PIECE_BYTES < len(data)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        finally:
            too_slow.cancel()


def _is_large(answer: Message) -> bool:
    return (
        isinstance(answer, CARRY_MODEL)
        and answer.params_D is not None
        and answer.params_D.nbytes > PIECE_BYTES
    )
