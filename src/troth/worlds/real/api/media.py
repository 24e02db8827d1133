"""Which form a question has, and which its answer shall have."""

from __future__ import annotations

from starlette.requests import Request

from troth.worlds.real.api.forms import JSON, MEDIA_TYPES, MSGPACK
from troth.worlds.real.link import Refusal

ANYTHING = ("*/*", "application/*")


def sent(request: Request) -> str:
    """The form of the question.

    Raises:
      Refusal: it is neither of the two.
    """
    form, _, _ = request.headers.get("content-type", "").partition(";")
    form = form.strip().lower()
    if form not in MEDIA_TYPES:
        raise Refusal(415, f"a question is {MSGPACK} or {JSON}", close=True)
    return form


def accepted(request: Request, *, otherwise: str) -> str:
    """The form that the answer shall have: the first that `Accept` names of those there are.

    Args:
      otherwise: the form where `Accept` leaves it open.

    Raises:
      Refusal: it is none that there is.
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
