"""The JSON Schema takes what the loader takes, and refuses what single keys may not hold."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest

from troth.charter.charter import Charter
from troth.charter.file import CHARTER_KEYS, WORLD_KEYS
from troth.charter.schema import json_schema
from troth.charter.shorthand import SHORT_FORMS, spell_out

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/*.toml"))
SCENARIOS = [path for path in EXAMPLES if path.name not in ("charter.toml", "privacy.toml")]

SMALL = {
    "name": "small",
    "task": {"kind": "classification", "data": "digits", "model": "softmax"},
    "training": {"rounds": 5, "learning_rate": 0.1},
    "protocol": "federated",
    "parties": {"count": 10},
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_there_are_examples() -> None:
    assert len(SCENARIOS) >= 6


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_examples_follow_the_schema(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    document = tomllib.loads(path.read_text())
    validator.validate(document)
    # Spelt out it still does, and so it does with every default filled in.
    validator.validate(spell_out(document))
    if "charter" not in document:
        parts = {key: value for key, value in spell_out(document).items() if key in CHARTER_KEYS}
        filled = _without_none(msgspec.to_builtins(msgspec.convert(parts, Charter)))
        validator.validate({**document, **filled})


def _without_none(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return {key: _kept(inner) for key, inner in value.items() if inner is not None}


def _kept(value: object) -> object:
    if isinstance(value, list):
        return [_kept(item) for item in value]
    return _without_none(value) if isinstance(value, dict) else value


def test_every_short_form_is_in_the_schema(validator: jsonschema.Draft202012Validator) -> None:
    for place, form in SHORT_FORMS.items():
        document = copy.deepcopy(SMALL)
        if place == "protocol.puzzle":
            document["protocol"] = "tormentor"
        if place == "privacy.mask":
            document["protocol"] = "biscotti"
        node: dict[str, object] = document
        *tables, key = place.replace("*", "party-1").split(".")
        for name in tables:
            if isinstance(node.get(name), str):
                node[name] = {"name": node[name]}
            inner = node.setdefault(name, {})
            assert isinstance(inner, dict)
            node = inner
        (node[key],) = tomllib.loads(form.example).values()
        validator.validate(document)
        if form.callable_form is not None:
            node[key] = "task:mine"
            validator.validate(document)
        node[key] = [1]
        assert not validator.is_valid(document), place


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"rounds": 0, "learning_rate": 0.1}},
        {"training": {"rounds": "ten", "learning_rate": 0.1}},
        {"training": {"rounds": 5}},
        {"training": {"rounds": 5, "learning_rate": 0.1, "momentun": 0.5}},
        {"protocol": "gossip"},
        {"protocol": {"name": "standalone", "deadline_s": 1}},
        {"partition": "dirichlet"},
        {"name": "Small"},
        {"seeds": 3},
        {"charter": "charter.toml"},
        {"parties": None},
        {"attacks": [{"kind": "label_flip", "fraction": 2}]},
    ],
)
def test_bad_documents_are_refused(
    change: dict[str, object], validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(SMALL)
    assert not validator.is_valid({**SMALL, **change})


def test_charter_of_its_own_stands_for_the_charter_keys(
    validator: jsonschema.Draft202012Validator,
) -> None:
    validator.validate({"charter": "charter.toml", "parties": {"count": 3}})
    assert not validator.is_valid({"parties": {"count": 3}})
    assert not validator.is_valid({"charter": "charter.toml"})


def test_descriptions_come_from_docstrings() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == {*CHARTER_KEYS, *WORLD_KEYS, "charter"}
    assert schema["properties"]["seed"]["description"].startswith("Everything random")
    federated = schema["$defs"]["Federated"]
    assert federated["description"].startswith("FedSGD / FedAvg")
    assert federated["properties"]["deadline_s"]["description"].startswith("How long a round waits")
    # An inherited key keeps its text.
    assert (
        "Share of all parties"
        in schema["$defs"]["LabelFlip"]["properties"]["fraction"]["description"]
    )


def test_nothing_is_null() -> None:
    """TOML has no null, so a schema that offers it misleads an editor."""
    assert b"null" not in msgspec.json.encode(json_schema()).replace(b"null_", b"")
