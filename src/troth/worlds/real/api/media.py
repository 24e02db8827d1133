"""The media types of HTTP requests: of the question in it, and of the answer that it asks for."""

from __future__ import annotations

from starlette.requests import Request

from troth.worlds.real.api.forms import JSON, MEDIA_TYPES, MSGPACK
from troth.worlds.real.link import Refusal

ANYTHING = ("*/*", "application/*")


def sent(request: Request) -> str:
    """The media type of the question, as `Content-Type` says.

    Raises:
      Refusal: it is neither of `MEDIA_TYPES` (status 415).
    """
    form, _, _ = request.headers.get("content-type", "").partition(";")
    form = form.strip().lower()
    if form not in MEDIA_TYPES:
        raise Refusal(415, f"a question is {MSGPACK} or {JSON}", close=True)
    return form


def accepted(request: Request, *, otherwise: str) -> str:
    """The media type that the answer shall have: the first of `MEDIA_TYPES` that `Accept` names.

    Args:
      otherwise: the media type where `Accept` leaves it open.

    Raises:
      Refusal: it names neither of `MEDIA_TYPES` (status 406).
    """
    ranges = request.headers.get("accept", "*/*")
    for item in ranges.split(","):
        form, _, parameters = item.strip().lower().partition(";")
        form = form.strip()
        if parameters.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            continue
        if form in ANYTHING:
            return otherwise
        if form in MEDIA_TYPES:
            return form
    raise Refusal(406, f"an answer is {MSGPACK} or {JSON}", close=True)
