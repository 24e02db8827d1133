"""The wire format, pinned byte by byte: good and bad messages written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from wire_messages import CODEC, SENDER, Everything, Part, Ping, Update, same

from troth.errors import PeerError
from troth.wire import Message

VECTORS = json.loads((Path(__file__).parent / "vectors" / "wire.json").read_text("utf-8"))
CLASSES: dict[str, type[Message]] = {cls.__name__: cls for cls in (Ping, Update, Everything)}


def value(written: Any) -> object:
    """A field as the vectors write it; their `notation` says how."""
    if isinstance(written, list):
        return [value(item) for item in written]
    if isinstance(written, dict) and set(written) == {"dtype", "hex"}:
        little = np.dtype(written["dtype"]).newbyteorder("<")
        return np.frombuffer(bytes.fromhex(written["hex"]), dtype=little)
    if isinstance(written, dict) and set(written) == {"hex"}:
        return bytes.fromhex(written["hex"])
    if isinstance(written, dict) and set(written) == set(Part.__struct_fields__):
        return Part(written["name"], cast("Any", value(written["values"])))
    return written


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_good(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    fields = {name: value(written) for name, written in vector["fields"].items()}
    expected = CLASSES[vector["tag"]](**fields)
    assert set(fields) == set(expected.__struct_fields__), "a vector gives every field"
    assert same(CODEC.decode(data, sender=SENDER), expected)
    assert (CODEC.encode(expected) == data) == vector["canonical"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_bad(vector: dict[str, Any]) -> None:
    with pytest.raises(PeerError) as caught:
        CODEC.decode(bytes.fromhex(vector["hex"]), sender=SENDER)
    # Versions of msgspec write "utf-8" and "UTF-8".
    assert vector["error"].lower() in str(caught.value).lower()
    assert caught.value.culprits == (SENDER,)
    assert vector["reason"]


def test_every_class_has_good_vectors() -> None:
    assert {vector["tag"] for vector in VECTORS["good"]} == set(CLASSES)
