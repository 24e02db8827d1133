"""The two forms of a message in a body: MessagePack, as all of Troth sends it, and JSON.

The MessagePack form is the wire codec's own bytes. The JSON form is for people and their tools: an
object with the message's fields by name, and its name as `type`. Bytes are base64 in it, arrays
base64 of little-endian float32. What comes as JSON is turned into the wire form and decoded from
that, so whatever is bounded or refused there is bounded and refused here.
"""

from __future__ import annotations

import base64
import types
from functools import cache, partial, reduce
from operator import or_
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
import numpy as np

from troth.errors import LocalError, PeerError
from troth.ids import NodeId
from troth.wire import MAX_ELEMENTS, Codec, Float32s, Message, shown

MSGPACK = "application/msgpack"
JSON = "application/json"
MEDIA_TYPES = (MSGPACK, JSON)

TYPE_FIELD = "type"
"""The field of the JSON form that holds the message's name. It may be left out where the path says
which message it is."""

STRANGER = NodeId("a stranger")
"""Whom a `PeerError` names for a malformed question, as nobody knows who has sent it."""

M = TypeVar("M", bound=Message)


def decode(kind: type[M], body: bytearray, media_type: str, codec: Codec) -> M:
    """Decode the message of class `kind` in a body.

    Its arrays are views of `body`, which nobody may write to any more.

    Raises:
      PeerError: the body is malformed, or another message; the culprit is `STRANGER`.
    """
    data = memoryview(_from_json(kind, body, codec) if media_type == JSON else body)
    message = codec.decode(data.toreadonly(), sender=STRANGER)
    if not isinstance(message, kind):
        raise PeerError(
            f"sent {type(message).__name__} instead of {kind.__name__}", culprits=(STRANGER,)
        )
    return message


def encode(message: Message, media_type: str, codec: Codec) -> bytearray:
    """Encode `message` as a body of this media type.

    Raises:
      LocalError: it is no message of the codec's protocol, or larger than its bound.
    """
    if media_type == MSGPACK:
        return codec.encode_buffer(message)
    named = msgspec.convert(
        message, with_names(type(message)), from_attributes=True, dec_hook=_same_array
    )
    body = bytearray()
    _JSON_ENCODER.encode_into(named, body)
    return body


def _from_json(kind: type[Message], body: bytearray, codec: Codec) -> bytearray:
    # Each value but the first follows one of these; inside base64 there are none.
    values = body.count(b",") + body.count(b"[") + body.count(b"{") + body.count(b":")
    try:
        if values > MAX_ELEMENTS:
            raise ValueError(f"more than {MAX_ELEMENTS} values")
        named = msgspec.json.decode(body, type=with_names(kind), dec_hook=_array_from_base64)
        message = msgspec.convert(named, kind, from_attributes=True, dec_hook=_same_array)
        # What the wire form cannot say, an integer of a hundred digits for one, ends here.
        return codec.encode_buffer(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PeerError(f"sent a malformed message: {shown(error)}", culprits=(STRANGER,)) from None
    except LocalError as error:
        raise PeerError(f"sent a message that {shown(error)}", culprits=(STRANGER,)) from None


@cache
def with_names(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The class whose JSON form is an object with the fields of `kind` by name.

    On the wire, `kind` is an array.
    """
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        hint = _with_names(field.type)
        if field.required:
            fields.append((field.name, hint))
        elif isinstance(field.default, np.ndarray):
            # A schema cannot name it as a default.
            nothing = msgspec.field(default_factory=partial(_same_array, None, field.default))
            fields.append((field.name, hint, nothing))
        else:
            fields.append((field.name, hint, field.default))
    is_message = issubclass(kind, Message)
    return msgspec.defstruct(
        kind.__name__,
        fields,
        namespace={"__doc__": kind.__doc__},
        frozen=True,
        forbid_unknown_fields=True,
        tag=kind.__name__ if is_message else None,
        tag_field=TYPE_FIELD if is_message else None,
    )


def _with_names(hint: Any) -> Any:
    arguments = get_args(hint)
    if get_origin(hint) is Annotated:
        return Annotated[(_with_names(arguments[0]), *arguments[1:])]
    if get_origin(hint) in (Union, types.UnionType):
        return reduce(or_, (_with_names(argument) for argument in arguments))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return with_names(hint)
    return hint


def _same_array(_: Any, value: object) -> object:
    # Between the two structs nothing else is left to a hook.
    return value


def _array_from_base64(_: Any, value: object) -> Float32s:
    if not isinstance(value, str):
        raise ValueError("expected base64 of little-endian float32")
    data = base64.b64decode(value, validate=True)
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are not a whole number of float32 values")
    return np.frombuffer(data, "<f4")


def _as_bytes(value: object) -> object:
    assert isinstance(value, np.ndarray), "every other field is of a type that JSON knows"
    return np.ascontiguousarray(value, "<f4").tobytes()


_JSON_ENCODER = msgspec.json.Encoder(enc_hook=_as_bytes)
