"""The digest is what parties sign: the same for the same meaning, another for another."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.charter.charter import Charter
from troth.charter.digest import canonical_json, charter_digest
from troth.charter.loading import load_charter
from troth.charter.shorthand import spell_out

PLAIN = {
    "name": "golden",
    "task": {"kind": "classification", "data": "digits", "model": "softmax"},
    "training": {"rounds": 5, "learning_rate": 0.1},
    "protocol": "federated",
}

CANONICAL = (
    '{"admission":{"allow":[],"minimum_examples":1,"policy":"open"},"name":"golden",'
    '"privacy":{"mechanism":"none"},'
    '"protocol":{"aggregation":{"rule":"mean","weighted":true},"at_least":null,"deadline_s":null,'
    '"name":"federated","participation":1,"server_learning_rate":1},'
    '"task":{"data":{"name":"digits","rows":null,"source":"named","test_rows":null},'
    '"kind":"classification","loss":null,"model":{"l2":0,"name":"softmax"}},'
    '"training":{"batch_size":32,"decay":0,"learning_rate":0.1,"local_epochs":null,'
    '"local_steps":null,"momentum":0,"rounds":5,"update":"delta"},"version":1}'
)
"""Written out by hand: whoever reimplements the digest must arrive at these bytes."""

GOLDEN = "sha256:5582be018a91b4d227034c1568176655cf2d0aaf5e7bca8ad4816880ed7ce714"
"""`sha256sum` of `CANONICAL`."""


def charter(document: dict[str, object]) -> Charter:
    return msgspec.convert(spell_out(document), Charter)


def test_golden_vector() -> None:
    assert canonical_json(charter(PLAIN)).decode() == CANONICAL
    assert charter_digest(charter(PLAIN)) == GOLDEN


def test_defaults_short_forms_and_spelling_of_numbers_make_no_difference() -> None:
    spelt = json.loads(CANONICAL, parse_int=float)
    document = {
        "version": 1,
        **{key: value for key, value in spelt.items() if key != "version"},
    }
    document["training"] |= {"rounds": 5, "batch_size": 32}
    document["admission"] |= {"minimum_examples": 1}
    assert charter_digest(charter(document)) == GOLDEN


@given(st.permutations(list(PLAIN)), st.permutations(["rounds", "learning_rate"]))
def test_order_of_keys_makes_no_difference(tables: list[str], keys: list[str]) -> None:
    document = {name: PLAIN[name] for name in tables}
    training = PLAIN["training"]
    assert isinstance(training, dict)
    document["training"] = {name: training[name] for name in keys}
    assert charter_digest(charter(document)) == GOLDEN


def test_comments_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "charter.toml"
    path.write_text(
        '# Signed.\nprotocol = "federated" # yes\nname = "golden"\n'
        "[training]\nlearning_rate = 1e-1\nrounds = 0x5\n"
        '[task]\nmodel = { name = "softmax", l2 = 0 }\ndata = "digits"\nkind = "classification"\n'
    )
    assert charter_digest(load_charter(path)) == GOLDEN


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), "silver"),
        (("task", "model"), "logistic"),
        (("task", "data"), "iris"),
        (("training", "rounds"), 6),
        (("training", "learning_rate"), 0.1000000001),
        (("training", "momentum"), 1e-9),
        (("protocol",), {"name": "federated", "aggregation": "median"}),
        (("privacy",), {"mechanism": "none"}),
        (("admission",), {"minimum_examples": 2}),
    ],
)
def test_every_table_is_covered(place: tuple[str, ...], value: object) -> None:
    document = json.loads(json.dumps(PLAIN))
    node = document
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    # `none` is the only mechanism there is: saying so changes nothing.
    assert (charter_digest(charter(document)) == GOLDEN) == (place == ("privacy",))


def test_paths_of_data_are_covered() -> None:
    document = json.loads(json.dumps(PLAIN))
    digests = set()
    for train in ("a.csv", "./a.csv"):
        document["task"]["data"] = {"source": "files", "schema": {"classes": 2}, "train": train}
        digests.add(charter_digest(charter(document)))
    assert len(digests) == 2


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0, exclude_min=True))
def test_numbers_survive_the_canonical_form(rate: float) -> None:
    document = json.loads(json.dumps(PLAIN))
    document["training"]["learning_rate"] = rate
    written = json.loads(canonical_json(charter(document)))["training"]["learning_rate"]
    assert written == rate
    assert isinstance(written, int) == (rate.is_integer() and rate < 2**53)
