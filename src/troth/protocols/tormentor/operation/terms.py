"""The charter as strangers pass it on: one text, which is worth as much as its digest.

Who knows a model's id can take the charter from anybody: it is the right one if it has that digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import msgspec
from msgspec.structs import replace

from troth.charter.charter import Charter
from troth.charter.digest import canonical_json
from troth.charter.loading import charter_of
from troth.charter.scenario import Parties, Scenario
from troth.charter.writing import toml_text
from troth.data.spec import CallableData
from troth.errors import CharterError, VerificationError
from troth.protocols.tormentor.parameters import Tormentor
from troth.roles.messages import MAX_CHARTER_BYTES

CALLABLE = "callable"
"""The key by which tables of a charter name code."""


def charter_text(charter: Charter) -> bytes:
    """The charter as it is sent, canonical JSON; the model id is its SHA-256 digest."""
    return canonical_json(charter)


def read_charter(text: bytes, model_id: str) -> Charter:
    """The charter in a text from somebody else, if it is the one that `model_id` names.

    Raises:
      VerificationError: it is another one.
      CharterError: it is none, or none for a broker.
    """
    if len(text) > MAX_CHARTER_BYTES or f"sha256:{sha256(text).hexdigest()}" != model_id:
        raise VerificationError(
            "the charter is not the one that the model id names",
            hint="compare the model id with what the curator gave you",
        )
    charter = charter_of(text)
    check_brokered(charter)
    return charter


def check_brokered(charter: Charter) -> None:
    """Check that strangers can train by this charter.

    Raises:
      CharterError: its protocol is another one, `min_providers` is missing, or its data are made by
        code.
    """
    protocol = charter.protocol
    if not isinstance(protocol, Tormentor):
        raise CharterError(
            "is for parties that know each other",
            key="protocol.name",
            value=str(protocol.__struct_config__.tag),
            hint='strangers train with name = "tormentor"',
        )
    if protocol.min_providers is None:
        raise CharterError(
            "is missing, and a broker for strangers cannot know it otherwise",
            key="protocol.min_providers",
            hint="say how many providers have to join before training starts: min_providers = 8",
        )
    if isinstance(charter.task.data, CallableData):
        raise CharterError(
            "is made by code, which strangers do not have",
            key="task.data",
            hint="describe the rows by a schema: see docs/your-own.md",
        )


def check_code(charter: Charter, *, trusted: bool) -> None:
    """Check that the charter names no code, unless whoever runs it trusts the code that it names.

    Raises:
      CharterError: it names code, and `trusted` is False.
    """
    if trusted:
        return
    for reference in _references(msgspec.to_builtins(charter)):
        raise CharterError(
            "names code, and nobody's code is run without being asked for",
            key=CALLABLE,
            value=reference,
            hint="read that module; if you trust it, give its folder with --code",
        )


def _references(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                if name == CALLABLE and isinstance(inner, str):
                    yield inner
                else:
                    yield from _references(inner)
        case list():
            for inner in value:
                yield from _references(inner)


def of_scenario(scenario: Scenario) -> Charter:
    """A scenario's charter for strangers: without `min_providers` it takes the scenario's number of
    parties."""
    charter = scenario.charter
    if isinstance(charter.protocol, Tormentor) and charter.protocol.min_providers is None:
        protocol = replace(charter.protocol, min_providers=scenario.parties.count)
        charter = replace(charter, protocol=protocol)
    return charter


def as_scenario(charter: Charter, seed: int) -> Scenario:
    """The scenario of one node that knows of no other: the charter, and nothing of a world."""
    assert isinstance(charter.protocol, Tormentor)
    assert charter.protocol.min_providers is not None
    return Scenario(
        charter=charter, parties=Parties(count=charter.protocol.min_providers), seed=seed
    )


def scenario_text(scenario: Scenario) -> str:
    """The scenario of one node as TOML, for the folder of its run."""
    charter = msgspec.to_builtins(scenario.charter)
    return toml_text(
        charter | {"seed": scenario.seed, "parties": {"count": scenario.parties.count}}
    )
