"""What can be had of a broker without taking part: its charter, and how far its training is."""

from __future__ import annotations

import asyncio
import hashlib
import time

import httpx

from troth.errors import (
    PeerError,
    RoundFailedError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from troth.ids import NodeId
from troth.roles.messages import MAX_CHARTER_BYTES, Answer, AnswerStatus
from troth.wire import Codec
from troth.worlds.real.answers import BadAnswerError, read_answer
from troth.worlds.real.api import paths
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.caller import FIRST_RETRY_S, LAST_RETRY_S
from troth.worlds.real.api.client import check_proof, make_client, reason_in
from troth.worlds.real.api.face import Face
from troth.worlds.real.api.forms import JSON, MSGPACK
from troth.worlds.real.limits import MIN_BODY_BYTES, Limits
from troth.worlds.real.tor.socks import Socks


async def fetch_charter(
    address: Address, *, socks: Socks | None = None, limits: Limits | None = None
) -> bytes:
    """The charter that `address` names by its digest, as canonical JSON.

    Raises:
      UsageError: the address names no model.
      VerificationError: whoever answers is not the broker, or sends another charter.
      UnreachableError: nobody answers.
      RoundFailedError: the broker has no such charter.
    """
    charter = await _persist(address, paths.CHARTER, JSON, MAX_CHARTER_BYTES, socks, limits)
    if f"sha256:{hashlib.sha256(charter).hexdigest()}" != address.model_id:
        raise VerificationError(
            f"the broker at {address.url} sent another charter than its address names",
            hint="do not join: it does not do what it has promised",
        )
    return charter


async def fetch_answer(
    face: Face, address: Address, *, socks: Socks | None = None, limits: Limits | None = None
) -> Answer:
    """The answer to the `status` question of the broker's face: how far its training is.

    Raises:
      UsageError: the address names no model.
      VerificationError: whoever answers is not the broker.
      UnreachableError: nobody answers.
      RoundFailedError: the broker has no such model, its training is over, or what it says is no
        answer to this question.
    """
    body = await _persist(address, paths.MODEL, MSGPACK, MIN_BODY_BYTES, socks, limits)
    try:
        answer = Codec(face.messages).decode(body, sender=NodeId("broker"))
    except PeerError as error:
        raise RoundFailedError(f"the broker {error.message}") from None
    if not isinstance(answer, face.status.answered_by[AnswerStatus.ANSWERED]):
        raise RoundFailedError(f"the broker answers {type(answer).__name__}")
    return answer


async def _persist(
    address: Address,
    path: str,
    form: str,
    most_bytes: int,
    socks: Socks | None,
    limits: Limits | None,
) -> bytes:
    """The body at `path`, asked for again and again for at most `limits.unreachable_s`."""
    limits = limits or Limits()
    ends_s, wait_s = time.monotonic() + limits.unreachable_s, FIRST_RETRY_S
    while True:
        try:
            return await _get(address, path, form, most_bytes, socks, limits)
        except UnreachableError:
            if time.monotonic() + wait_s >= ends_s:
                raise
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LAST_RETRY_S)


async def _get(
    address: Address,
    path: str,
    form: str,
    most_bytes: int,
    socks: Socks | None,
    limits: Limits,
) -> bytes:
    if address.model_id is None:
        raise UsageError(
            f"{address} names no model", hint="ask the broker's curator for the whole address"
        )
    try:
        async with (
            make_client(address, limits, socks) as client,
            client.stream(
                "GET", path.format(model_id=address.model_id), headers={"accept": form}
            ) as answer,
        ):
            body = await read_answer(answer, most_bytes)
    except httpx.TransportError as error:
        check_proof(error, address)
        raise UnreachableError(
            f"the broker at {address.url} does not answer: {type(error).__name__}",
            hint="see that it runs, and that this machine can connect to it",
        ) from None
    except BadAnswerError as error:
        raise RoundFailedError(f"the broker at {address.url} {error}") from None
    if answer.status_code in (429, 503):
        raise UnreachableError(
            f"the broker at {address.url} has no time: {reason_in(answer, body)}",
            hint="try again later",
        )
    if answer.status_code != 200:
        raise RoundFailedError(
            f"the broker at {address.url} refuses: {reason_in(answer, body)}",
            hint="see that its address is the right one",
        )
    return body
