"""Answers to a node's own requests, taken in up to a bound."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx


class BadAnswerError(Exception):
    """The other side does not answer as it should."""


def is_unproven(error: BaseException) -> bool:
    """Whether a connection failed because the other side could not prove who it is."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return isinstance(cause, ssl.SSLCertVerificationError)


async def read_answer(
    answer: httpx.Response, most_bytes: int, progress: Callable[[], None] = lambda: None
) -> bytes:
    """An answer's body.

    Args:
      progress: called whenever some of it has come.

    Raises:
      BadAnswerError: it is larger than `most_bytes`.
    """
    chunks = []
    size = 0
    # Raw: nothing is unpacked, so nothing can be larger than it came.
    async for chunk in answer.aiter_raw():
        size += len(chunk)
        if size > most_bytes:
            raise BadAnswerError(f"sent more than {most_bytes} bytes")
        chunks.append(chunk)
        progress()
    return b"".join(chunks)
