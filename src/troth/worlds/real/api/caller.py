"""Carries a host's questions to a broker, and the answers back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

from troth.errors import PeerError, RoundFailedError
from troth.roles.messages import AnswerStatus, Question
from troth.worlds.real.answers import BadAnswerError, read_answer
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.client import check_proof, make_client, reason_in
from troth.worlds.real.api.forms import MSGPACK
from troth.worlds.real.api.paths import path_of
from troth.worlds.real.api.statuses import HELD, PREFER, TYPED
from troth.worlds.real.carrying import until_cancelled
from troth.worlds.real.host import Host
from troth.worlds.real.limits import Limits
from troth.worlds.real.tor.socks import Socks

FIRST_RETRY_S, LAST_RETRY_S = 0.1, 5.0
"""Seconds before the first repeated attempt and at most before any; each wait is twice the one
before."""

LONGEST_WAIT_S = 60.0
"""The most seconds that a node waits because a broker tells it to."""

PIECE_BYTES = 64 * 2**10

NEVER_TAKEN = (400, 403, 404, 405, 406, 411, 413, 415)
"""Statuses of questions that would not be taken the next time either."""


class Caller:
    """Asks the broker at `address` what the host's role wants to know, one question at a time.

    Args:
      host: runs the role whose questions are carried, its `inquiry`.
      socks: the SOCKS port of a tor, if the broker is reached by Tor; None: straight.
    """

    def __init__(self, host: Host, address: Address, *, socks: Socks | None = None) -> None:
        assert host.inquiry is not None
        self._host = host
        self._inquiry = host.inquiry
        self._address = address
        self._socks = socks
        self._client = make_client(address, host.limits, socks)
        self._pseudonym: bytes | None = None

    async def run(self) -> None:
        """Ask until cancelled. What goes wrong on the way is tried again, ever more slowly; that
        nobody answers for too long is noticed by the host.

        Raises:
          VerificationError: whoever answers is not the broker.
          RoundFailedError: the broker will never take this question.
        """
        try:
            await until_cancelled(self._forever())
        finally:
            await self._client.aclose()

    async def _forever(self) -> None:
        retry_s = FIRST_RETRY_S
        while True:
            question = self._inquiry.question
            if question is None:
                self._inquiry.changed.clear()
                await self._inquiry.changed.wait()
                continue
            try:
                wait_s = await self._ask(question)
            except (BadAnswerError, httpx.TransportError) as error:
                check_proof(error, self._address)
                wait_s = retry_s
            if wait_s is None:
                retry_s = FIRST_RETRY_S
            else:
                await asyncio.sleep(max(wait_s, retry_s))
                retry_s = min(2 * retry_s, LAST_RETRY_S)

    async def _ask(self, question: bytes) -> float | None:
        """Send the question once, and hand the answer to the host.

        Returns:
          None: answered, or held back and to be asked again at once. Seconds: not now.

        Raises:
          BadAnswerError: the answer is none. RoundFailedError: as `run`.
        """
        host, inquiry = self._host, self._inquiry
        message = host.codec.decode(question, sender=host.node.id)
        assert isinstance(message, Question), "an inquiry is a question"
        if message.pseudonym is not None:
            await self._be(message.pseudonym)
        request = self._client.build_request(
            "POST",
            path_of(message),
            content=_pieces(question, inquiry.heard),
            headers={
                "content-type": MSGPACK,
                "accept": MSGPACK,
                "content-length": str(len(question)),
                **_shorter_hold(host.limits),
            },
        )
        answer = await self._client.send(request, stream=True)
        try:
            inquiry.heard()
            body = await read_answer(answer, host.codec.max_bytes, inquiry.heard)
        finally:
            await answer.aclose()
        if inquiry.question is not question:
            # The role has asked something else meanwhile.
            return None
        status = answer.status_code
        if status in TYPED and answer.headers.get("content-type") == MSGPACK:
            await self._answered(question, body)
            return None
        if status == HELD:
            return None if _wait_s(answer) == 0 else _wait_s(answer)
        if status == AnswerStatus.OVER and host.finished:
            # It was only to say that the model has arrived.
            inquiry.answered(question)
            return None
        if status in NEVER_TAKEN or status == AnswerStatus.OVER:
            raise RoundFailedError(
                f"the broker does not take a {type(message).__name__}: {reason_in(answer, body)}",
                hint="see that the broker's address, and the charter, are the right ones; a broker "
                "that was started with another folder knows nothing of its model",
            )
        return _wait_s(answer)

    async def _be(self, pseudonym: bytes) -> None:
        """Take another connection, and another circuit of Tor, if the pseudonym is a new one: the
        broker shall not see two of them over one."""
        if self._pseudonym not in (None, pseudonym):
            await self._client.aclose()
            self._client = make_client(self._address, self._host.limits, self._socks)
        self._pseudonym = pseudonym

    async def _answered(self, question: bytes, body: bytes) -> None:
        try:
            self._host.answered(body)
        except PeerError as error:
            await self._host.blame(error)
            raise BadAnswerError(error.message) from None
        self._inquiry.answered(question)


async def _pieces(question: bytes, sent: Callable[[], None]) -> AsyncIterator[bytes]:
    """The question in pieces; `sent` is called whenever the broker has taken another one.

    That shows that it is there; by Tor a large question takes long.
    """
    data = memoryview(question)
    for place in range(0, len(data), PIECE_BYTES):
        yield bytes(data[place : place + PIECE_BYTES])
        sent()


def _shorter_hold(limits: Limits) -> dict[str, str]:
    """The header by which a broker is asked to answer before it is taken for gone, if it would not:
    that of RFC 7240, section 4.3. Nobody else sends it, so that few can be told apart by it."""
    if limits.hold_s >= limits.longest_hold_s:
        return {}
    return {PREFER: f"wait={limits.hold_s:g}"}


def _wait_s(answer: httpx.Response) -> float:
    """The seconds that `Retry-After` asks for, at most `LONGEST_WAIT_S`; 0 if it says no number."""
    text = answer.headers.get("retry-after", "")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return 0.0
    return min(float(text), LONGEST_WAIT_S)
