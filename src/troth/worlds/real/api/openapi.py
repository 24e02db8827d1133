"""The OpenAPI document of a face: made from its messages, so that it says what the server does."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
import numpy as np

from troth.roles.messages import AnswerStatus, Question
from troth.wire import Message
from troth.worlds.real.api import paths, statuses
from troth.worlds.real.api.face import Face
from troth.worlds.real.api.forms import JSON, MSGPACK, with_names

VERSION = "1"
"""The version of the API, as in its paths."""

DESCRIPTION = """\
{purpose} Whoever asks needs no name; the broker proves to hold the Ed25519
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
"""What the statuses mean that the server itself answers with, with an `Error` as body."""

_B64 = "[A-Za-z0-9+/]"

RETRY_STATUSES = (202, 429, 503)

_ANSWERED = "The answer."


class Error(msgspec.Struct):
    """Why the server, not the broker's role, did not take a question."""

    error: str


class HeldBack(msgspec.Struct):
    """The question is held back: ask it again."""

    held: str


@cache
def openapi_json(face: Face) -> bytes:
    """The document as it is served, in JSON."""
    return msgspec.json.encode(openapi(face))


@cache
def openapi(face: Face) -> dict[str, Any]:
    """The document, as https://spec.openapis.org/oas/v3.1.1 has it."""
    kinds = dict.fromkeys(
        kind for question in face.questions for kind in (question, *question.answered_by.values())
    )
    _, components = msgspec.json.schema_components(
        [*(with_names(kind) for kind in kinds), Error, HeldBack],
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
        "info": {
            "title": face.title,
            "version": VERSION,
            "description": DESCRIPTION.replace("{purpose}", face.purpose),
        },
        "servers": [{"url": "/"}],
        "paths": {
            **{
                f"{paths.MODEL}/{action}": {
                    "parameters": [{"$ref": "#/components/parameters/model_id"}],
                    "post": _asked(face, kind),
                }
                for action, kind in face.actions.items()
            },
            paths.MODEL: _status(face),
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


def _asked(face: Face, kind: type[Question]) -> dict[str, Any]:
    """The operation that asks a question of this class."""
    (summary, *_) = (kind.__doc__ or "").splitlines()
    responses = {
        str(status): {"description": _phrase(face, status), "content": _typed(answer)}
        for status, answer in kind.answered_by.items()
    }
    responses[str(AnswerStatus.OVER)] = _over(face, kind)
    responses[str(statuses.HELD)] = _held()
    responses |= _errors(OWN_STATUSES)
    return {
        "operationId": paths.action(kind),
        "summary": summary,
        "description": kind.__doc__ or "",
        "requestBody": {"required": True, "content": _typed(kind)},
        "responses": dict(sorted(responses.items())),
    }


def _status(face: Face) -> dict[str, Any]:
    """The operation that asks how far the training is, without a body."""
    answered = _typed(face.status.answered_by[AnswerStatus.ANSWERED])
    item = _fetched("status", "How far the training is.", answered, (404, 406, 429, 503))
    responses = item["get"]["responses"]
    responses |= {"202": _held(), "410": _over(face, face.status)}
    item["get"]["responses"] = dict(sorted(responses.items()))
    return item


def _fetched(
    name: str, summary: str, content: dict[str, Any], own: tuple[int, ...] = (404, 429)
) -> dict[str, Any]:
    """An operation that has something of a model; `own` are the statuses of the server itself."""
    responses = {"200": {"description": _ANSWERED, "content": content}} | _errors(own)
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
    responses = {"200": {"description": "OK.", "content": content}} | _errors((429,))
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


def _typed(kind: type[Message]) -> dict[str, Any]:
    return {
        JSON: {"schema": _ref(kind.__name__)},
        MSGPACK: {
            "schema": {
                "description": f"`{kind.__name__}` in the wire's form.",
                "contentMediaType": MSGPACK,
            }
        },
    }


def _over(face: Face, kind: type[Question]) -> dict[str, Any]:
    """That the training is over, as the protocol says it; once its role has ended, the server."""
    finished = kind.answered_by.get(AnswerStatus.OVER)
    if finished is None:
        return _own(AnswerStatus.OVER, _phrase(face, AnswerStatus.OVER), "Error")
    content = _typed(finished)
    content[JSON] = {"schema": {"anyOf": [_ref(finished.__name__), _ref("Error")]}}
    return {"description": _phrase(face, AnswerStatus.OVER), "content": content}


def _errors(own: Iterable[int]) -> dict[str, Any]:
    """The answers with statuses of the server itself."""
    return {str(status): _own(status, OWN_STATUSES[status], "Error") for status in own}


def _held() -> dict[str, Any]:
    return _own(statuses.HELD, "Held back while others catch up: ask again.", "HeldBack")


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


def _phrase(face: Face, status: AnswerStatus) -> str:
    return {
        AnswerStatus.ANSWERED: _ANSWERED,
        AnswerStatus.FOR_GOOD: "Refused for good: asking again does not help.",
        AnswerStatus.REJECTED: face.rejected,
        AnswerStatus.OVER: "The training is over.",
        AnswerStatus.UNPROCESSABLE: "Refused.",
    }[status]


def _base64_pattern(schema: dict[str, Any]) -> str:
    """A regular expression for texts that are base64 of bytes whose length the schema allows."""
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
