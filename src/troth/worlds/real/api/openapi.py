"""The OpenAPI document: made from the messages, so that it says what the server does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np

from troth.protocols.tormentor.messages import (
    Admission,
    Curate,
    Curated,
    Delivered,
    Delivery,
    Fetch,
    Finished,
    GradientUpdate,
    Join,
    Joined,
    Leave,
    Left,
    Next,
    Progress,
    Question,
    Refused,
    Solve,
    Status,
)
from troth.wire import Message
from troth.worlds.real.api import paths, statuses
from troth.worlds.real.api.forms import JSON, MSGPACK, with_names

ANSWERS_TO: dict[type[Question], tuple[type[Message], ...]] = {
    Curate: (Curated,),
    Join: (Admission,),
    Solve: (Joined,),
    GradientUpdate: (Next,),
    Leave: (Left,),
    Status: (Progress,),
    Fetch: (Delivered,),
    Delivery: (Progress,),
}
"""What a question is answered with when all is well."""

VERSION = "1"
"""Of the API, as in its paths."""

DESCRIPTION = """\
Trains one model and is then gone. Whoever asks needs no name; the broker proves to hold the Ed25519
key that stands in its address, `https://KEY@HOST:PORT/MODEL_ID`, and no certificate authority has
to be trusted.

Every question may be asked again: it gets the same verdict, and nothing is done twice. A question
whose answer has to wait for others is held for a while, and then answered with 202: ask it again.

Bodies are MessagePack or JSON. MessagePack is Troth's wire form: a version byte, then an array of
the message's name and its fields in order, arrays of numbers as extension values. In JSON a message
is an object with its fields, bytes are base64, an array is base64 of little-endian float32, and an
integer has no decimal point.
`Content-Type` says which form the question has, `Accept` which the answer shall have.
"""

OWN_STATUSES = {
    400: "Malformed.",
    404: "No such model here.",
    406: "No such form of an answer.",
    408: "The question came too slowly.",
    411: "The question does not say its length.",
    413: "The question is too large.",
    415: "No such form of a question.",
    429: "Too many questions; `Retry-After` says when to ask again.",
    503: "No room; `Retry-After` says when to ask again.",
}
"""Statuses that come with an `error`."""

_B64 = "[A-Za-z0-9+/]"

RETRY_STATUSES = (202, 429, 503)


class Error(msgspec.Struct):
    """Why the server, not the broker's role, did not take a question."""

    error: str


class Held(msgspec.Struct):
    """The question is held back: ask it again."""

    held: str


@cache
def openapi_json() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(openapi())


@cache
def openapi() -> dict[str, Any]:
    """The document. https://spec.openapis.org/oas/v3.1.1"""
    kinds = dict.fromkeys(
        kind
        for question, answers in ANSWERS_TO.items()
        for kind in (question, *answers, Refused, Finished)
    )
    _, components = msgspec.json.schema_components(
        [*(with_names(kind) for kind in kinds), Error, Held],
        schema_hook=_array_schema,
        ref_template="#/components/schemas/{name}",
    )
    for component in components.values():
        for field in component["properties"].values():
            if "default" in field:
                # An empty tuple is no array of JSON.
                field["default"] = msgspec.json.decode(msgspec.json.encode(field["default"]))
            for choice in field.get("anyOf", [field]):
                if choice.get("contentEncoding") == "base64":
                    choice.setdefault("pattern", _base64_pattern(choice))
        # The path says which message it is.
        component["required"] = [name for name in component.get("required", []) if name != "type"]
    return {
        "openapi": "3.1.1",
        "info": {"title": "Troth broker", "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": {
            **{
                f"{paths.MODEL}/{action}": {
                    "parameters": [{"$ref": "#/components/parameters/model_id"}],
                    "post": _asked(kind, ANSWERS_TO[kind]),
                }
                for action, kind in paths.ACTIONS.items()
            },
            paths.MODEL: _fetched("status", "How far the training is.", _typed(Progress)),
            paths.CHARTER: _fetched(
                "charter",
                "The charter, as canonical JSON: its SHA-256 is the model's id.",
                {JSON: {"schema": {"type": "object"}}},
            ),
            paths.OPENAPI: _document("openapi", "This document.", JSON),
            paths.PAGE: _document("page", "This document, to read.", "text/html"),
        },
        "components": {
            "schemas": components,
            "parameters": {
                "model_id": {
                    "name": "model_id",
                    "in": "path",
                    "required": True,
                    "description": "Digest of the charter.",
                    "schema": {"type": "string", "pattern": paths.MODEL_ID_PATTERN},
                }
            },
        },
    }


def _asked(kind: type[Question], answers: Sequence[type[Message]]) -> dict[str, Any]:
    """One question."""
    (summary, *_) = (kind.__doc__ or "").splitlines()
    typed: dict[int, tuple[type[Message], ...]] = {
        statuses.ANSWERED: (*answers,),
        statuses.FOR_GOOD: (Refused,),
        statuses.UNPROCESSABLE: (Refused,),
    }
    if kind is GradientUpdate:
        typed[statuses.REJECTED] = (Refused,)
    responses = {
        str(status): {"description": _phrase(status), "content": _typed(*kinds)}
        for status, kinds in typed.items()
    }
    responses[str(statuses.OVER)] = _over()
    responses[str(statuses.HELD)] = _own(statuses.HELD, _phrase(statuses.HELD), "Held")
    for status, description in OWN_STATUSES.items():
        responses[str(status)] = _own(status, description, "Error")
    return {
        "operationId": paths.action(kind),
        "summary": summary,
        "description": kind.__doc__ or "",
        "requestBody": {"required": True, "content": _typed(kind)},
        "responses": dict(sorted(responses.items())),
    }


def _fetched(name: str, summary: str, content: dict[str, Any]) -> dict[str, Any]:
    """What can be had of a model without asking in a body."""
    responses = {"200": {"description": _phrase(200), "content": content}}
    own = [404, 429]
    if name == "status":
        own += [406, 503]
        responses["202"] = _own(202, _phrase(202), "Held")
        responses["410"] = _over()
    for status in own:
        responses[str(status)] = _own(status, OWN_STATUSES[status], "Error")
    return {
        "parameters": [{"$ref": "#/components/parameters/model_id"}],
        "get": {
            "operationId": f"get_{name}",
            "summary": summary,
            "responses": dict(sorted(responses.items())),
        },
    }


def _document(name: str, summary: str, media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "object" if media_type == JSON else "string"}}}
    responses = {
        "200": {"description": "OK.", "content": content},
        "429": _own(429, OWN_STATUSES[429], "Error"),
    }
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


def _typed(*kinds: type[Message]) -> dict[str, Any]:
    return {
        JSON: {"schema": _ref(kinds[0].__name__)},
        MSGPACK: {
            "schema": {
                "description": f"`{kinds[0].__name__}` in the wire's form.",
                "contentMediaType": MSGPACK,
            }
        },
    }


def _over() -> dict[str, Any]:
    content = _typed(Finished)
    # When the role has ended, the server itself says so.
    content[JSON] = {"schema": {"anyOf": [_ref("Finished"), _ref("Error")]}}
    return {"description": _phrase(statuses.OVER), "content": content}


def _own(status: int, description: str, schema: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": description,
        "content": {JSON: {"schema": _ref(schema)}},
    }
    if status in RETRY_STATUSES:
        response["headers"] = {
            "Retry-After": {"schema": {"type": "integer", "minimum": 0}, "required": True}
        }
    return response


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _phrase(status: int) -> str:
    return {
        statuses.ANSWERED: "The answer.",
        statuses.HELD: "Held back while others catch up: ask again.",
        statuses.FOR_GOOD: "Refused for good: asking again does not help.",
        statuses.REJECTED: "Rejected; the connection goes on, with the puzzle that comes with it.",
        statuses.OVER: "The training is over.",
        statuses.UNPROCESSABLE: "Refused.",
    }[status]


def _base64_pattern(schema: dict[str, Any]) -> str:
    """That a text is base64 of something whose length the schema allows."""
    if schema.get("minLength") is None:
        return f"^({_B64}{{4}})*({_B64}{{2}}==|{_B64}{{3}}=)?$"
    # Bytes of one length: keys, digests and signatures.
    size = schema["minLength"]
    assert size == schema["maxLength"]
    padding = {32: "=", 64: "=="}[3 * size // 4 // 32 * 32]
    return f"^{_B64}{{{size - len(padding)}}}{padding}$"


def _array_schema(kind: type) -> dict[str, Any]:
    assert issubclass(kind, np.ndarray), "every other field is of a type that JSON knows"
    return {
        "type": "string",
        "contentEncoding": "base64",
        "description": "little-endian float32",
        "pattern": f"^({_B64}{{16}})*({_B64}{{6}}==|{_B64}{{11}}=)?$",
    }
