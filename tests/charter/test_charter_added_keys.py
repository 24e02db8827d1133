"""A key that is added to the charter with a default is left out of its canonical form while it has
that default, so that what charters say, and their digests, stay as they were.

`first_keys.json` has the keys that each table had when this rule came, and `first_digests.json`
the digests of all charters of `examples/` and of each variant of `experiments/` of that time.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from charter_tables import charter_tables

from troth.charter.charter import Charter
from troth.charter.digest import canonical_json, charter_digest
from troth.charter.loading import charter_of, load_charter, load_scenario
from troth.charter.shorthand import spell_out
from troth.specification import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIRST_KEYS: dict[str, list[str]] = json.loads((HERE / "first_keys.json").read_text())
FIRST_DIGESTS: dict[str, str] = json.loads((HERE / "first_digests.json").read_text())


# ------------------------------------------------------------------ the rule


def problem(table: type[Any], first: list[str]) -> str | None:
    """What is wrong with the keys that a table did not have at first."""
    keys = {key.encode_name: key for key in msgspec.structs.fields(table)}
    new = keys.keys() - set(first)
    if table.added != new:
        return f"its new keys are {sorted(new)}, and its `added` says {sorted(table.added)}"
    for name in new:
        if keys[name].required:
            return f"{name} has no default"
    gone = set(first) - keys.keys()
    return f"it has lost {sorted(gone)}" if gone else None


@pytest.mark.parametrize("place", FIRST_KEYS)
def test_new_keys_are_added_ones(place: str) -> None:
    """A table that was not there at first has whatever keys it likes."""
    assert problem(charter_tables()[place], FIRST_KEYS[place]) is None


class Plain(Table, frozen=True, kw_only=True):
    old: int = 1
    new: int = 2


class Added(Plain, frozen=True, kw_only=True):
    added: ClassVar[frozenset[str]] = frozenset({"new"})


class Required(Table, frozen=True, kw_only=True):
    old: int = 1
    new: int

    added: ClassVar[frozenset[str]] = frozenset({"new"})


def test_each_breach_of_the_rule_is_noticed() -> None:
    assert problem(Added, ["old"]) is None
    assert problem(Plain, ["new", "old"]) is None
    assert "`added` says []" in str(problem(Plain, ["old"]))
    assert "`added` says ['new']" in str(problem(Added, ["new", "old"]))
    assert "no default" in str(problem(Required, ["old"]))
    assert "lost ['other']" in str(problem(Added, ["old", "other"]))


# ------------------------------------------------------------------ the canonical form


class Grown(Table, frozen=True, kw_only=True, tag="grown", tag_field="name"):
    """A protocol whose table, and tables inside it, have new keys."""

    one: Added = Added()
    many: list[Added] = msgspec.field(default_factory=list)
    named: dict[str, Added] = msgspec.field(default_factory=dict)
    late: list[int] = msgspec.field(default_factory=list)
    maybe: Plain | None = None

    added: ClassVar[frozenset[str]] = frozenset({"late", "maybe"})


def canonical_protocol(protocol: Grown) -> dict[str, Any]:
    document = {
        "name": "golden",
        "task": {"kind": "classification", "data": "digits", "model": "softmax"},
        "training": {"rounds": 5, "learning_rate": 0.1},
        "protocol": "federated",
    }
    charter = msgspec.convert(spell_out(document), Charter)
    said = json.loads(canonical_json(msgspec.structs.replace(charter, protocol=protocol)))
    found: dict[str, Any] = said["protocol"]
    return found


OLD = {"old": 1}


@pytest.mark.parametrize(
    ("protocol", "canonical"),
    [
        (Grown(), {"one": OLD, "many": [], "named": {}}),
        (Grown(one=Added(new=3)), {"one": {"old": 1, "new": 3}, "many": [], "named": {}}),
        (
            Grown(many=[Added(), Added(new=3)], named={"a": Added(), "b": Added(new=4)}),
            {
                "one": OLD,
                "many": [OLD, {"old": 1, "new": 3}],
                "named": {"a": OLD, "b": {"old": 1, "new": 4}},
            },
        ),
        (Grown(late=[1]), {"one": OLD, "many": [], "named": {}, "late": [1]}),
        # A table that stands in a new key has all its keys: it was not there before.
        (
            Grown(maybe=Plain()),
            {"one": OLD, "many": [], "named": {}, "maybe": {"old": 1, "new": 2}},
        ),
    ],
)
def test_added_keys_are_left_out_while_they_have_their_defaults(
    protocol: Grown, canonical: dict[str, Any]
) -> None:
    said = canonical_protocol(protocol)
    assert said == canonical | {"name": "grown"}
    assert msgspec.convert(said, Grown) == protocol


# ------------------------------------------------------------------ charters of the past


def charter_named(name: str) -> Charter:
    """The charter of a file, or of a variant of an experiment: `FILE: VARIANT`."""
    path, _, variant = name.partition(": ")
    file = ROOT / path
    document = tomllib.loads(file.read_text())
    if variant:
        (changes,) = [
            each.get("set", ()) for each in document["variants"] if each["name"] == variant
        ]
        loaded = load_scenario(file.parent / document["scenario"], overrides=changes)
        return loaded.scenario.charter
    if "parties" in document:
        return load_scenario(file).scenario.charter
    return load_charter(file)


def test_no_digest_has_moved() -> None:
    moved = []
    for name, digest in FIRST_DIGESTS.items():
        charter = charter_named(name)
        if charter_digest(charter) != digest:
            moved.append(name)
        assert charter_of(canonical_json(charter)) == charter, name
    assert len(FIRST_DIGESTS) > 100
    assert not moved
