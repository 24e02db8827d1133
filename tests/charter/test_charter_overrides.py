"""`--set key=value`: what changes, what stays, and what is refused."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence

import pytest

from troth.charter.loading import LoadedScenario
from troth.charter.overrides import parse_override
from troth.errors import CharterError
from troth.learning.spec import MLP
from troth.protocols.federated.parameters import Federated
from troth.robustness.spec import Krum, Median

Load = Callable[..., LoadedScenario]

ATTACKS = """
[[attacks]]  # the first
kind = "label_flip"
fraction = 0.1

[[attacks]]
kind = "sign_flip"
fraction = 0.2  # a fifth
"""


def test_one_line_changes_and_every_other_stays(load: Load, base: str) -> None:
    loaded = load(base, "training.rounds=9")
    assert loaded.text == base.replace("rounds = 5  # few", "rounds = 9  # few")
    assert loaded.scenario.charter.training.rounds == 9


def test_later_override_wins(load: Load, base: str) -> None:
    assert load(base, "seed=1", "seed=2").scenario.seed == 2


def test_key_in_an_array_of_tables(load: Load, base: str) -> None:
    loaded = load(base + ATTACKS, "attacks[1].fraction=0.3")
    assert [attack.fraction for attack in loaded.scenario.attacks] == [0.1, 0.3]
    assert loaded.text == (base + ATTACKS).replace("0.2  # a fifth", "0.3  # a fifth")


def test_array_of_tables_can_be_emptied(load: Load, base: str) -> None:
    loaded = load(base + ATTACKS, "attacks=[]")
    assert loaded.scenario.attacks == []
    assert loaded.scenario.parties.count == 10


def test_missing_table_is_made(load: Load, base: str) -> None:
    assert load(base, "evaluation.every=3").scenario.evaluation.every == 3


def test_top_level_key_stays_above_the_tables(load: Load, base: str) -> None:
    loaded = load(base.replace("seed = 7\n", ""), "seed=5")
    assert loaded.scenario.seed == 5
    assert loaded.text.index("seed = 5") < loaded.text.index("[task]")


def test_table_is_replaced_by_its_short_form(load: Load, base: str) -> None:
    loaded = load(base, "protocol=standalone")
    assert loaded.scenario == load(base.replace("federated", "standalone")).scenario
    assert "[protocol]" not in loaded.text


def test_short_form_is_spelt_out_when_a_key_below_it_is_set(load: Load, base: str) -> None:
    loaded = load(base, "protocol.aggregation=krum", "protocol.aggregation.byzantine=2")
    assert loaded.scenario.charter.protocol == Federated(aggregation=Krum(byzantine=2))


@pytest.mark.parametrize("written", ["median", '"median"', "'median'", " median "])
def test_quotes_may_be_left_out(load: Load, base: str, written: str) -> None:
    protocol = load(base, f"protocol.aggregation={written}").scenario.charter.protocol
    assert protocol == Federated(aggregation=Median())


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a=1", ("a",), 1),
        ("a.b-c.d_e=1.5", ("a", "b-c", "d_e"), 1.5),
        ("a[0][12].b=true", ("a", 0, 12, "b"), True),
        ('a."b.c"=x', ("a", "b.c"), "x"),
        ("a = [1, 2]", ("a",), [1, 2]),
        ("a={x = 1}", ("a",), {"x": 1}),
        ("a=task:load", ("a",), "task:load"),
        ("a=data/train.csv", ("a",), "data/train.csv"),
        ('a="b=c"', ("a",), "b=c"),
        ("a=1x", ("a",), "1x"),
    ],
)
def test_reading(text: str, key: tuple[str | int, ...], value: object) -> None:
    override = parse_override(text)
    assert override.key == key
    assert override.value == value
    assert isinstance(override.value, type(value))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("training.rounds", "has no ="),
        ("=5", "is not a key"),
        ("training..rounds=5", "is not a key"),
        ("attacks[x].fraction=5", "is not a key"),
        ("training.rounds.=5", "is not a key"),
        ("seed=", "is not a value"),
        ("name=two words", "is not a value"),
        ("seed=[1", "is not a value"),
        ("seed=5\nname='x'", "is not a value"),
        ("charter=other.toml", "cannot name another charter file"),
        ("training.rounds.x=1", "names a key of training.rounds, which is a whole number"),
        ("training[0]=1", "names an entry of training, which is a table"),
        ("attacks[2].fraction=1", "names entry 2 of attacks, which has 2"),
        ("attacks.fraction=1", "names a key of attacks, which is an array"),
        ("attacks[0]={kind='alie', fraction=0.1}", "replaces a whole table of an array"),
        ("training.rounds=0", "is below 1"),
        ("training.round=3", "is not a known key"),
        ("protocol.aggregation=mediam", "is not known"),
        ("training.rounds='x'", "is a string, not a whole number"),
        ("seed=2026-01-01", "is a date or time, not a whole number"),
    ],
)
def test_error_says_which_override(load: Load, base: str, text: str, says: str) -> None:
    with pytest.raises(CharterError) as caught:
        load(base + ATTACKS, "training.momentum=0.5", text)
    assert says in caught.value.problem
    assert f"--set {text}" in str(caught.value)
    assert caught.value.hint


def test_error_elsewhere_does_not_blame_an_override(load: Load, base: str) -> None:
    with pytest.raises(CharterError) as caught:
        load(base.replace("count = 10", "count = 0"), "training.rounds=3")
    assert caught.value.key == "parties.count"
    assert "--set" not in str(caught.value)


def test_model_can_be_replaced_by_a_table(load: Load, base: str) -> None:
    loaded = load(base, 'task.model={name="mlp", hidden=[8]}', "task.model.hidden[0]=16")
    assert loaded.scenario.charter.task.model == MLP(hidden=[16])


CHANGES = ("training.rounds=9", "protocol.aggregation=krum", "protocol.aggregation.byzantine=2")


@pytest.mark.parametrize(("changes", "texts"), [((), 1), (CHANGES[:1], 2), (CHANGES, 2)])
def test_a_text_is_parsed_once_however_many_overrides_change_it(
    load: Load, base: str, monkeypatch: pytest.MonkeyPatch, changes: Sequence[str], texts: int
) -> None:
    parsed: list[str] = []
    loads = tomllib.loads

    def counting(text: str) -> dict[str, object]:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counting)
    loaded = load(base, *changes)
    # The file, and what the overrides have made of it.
    assert len(parsed) == texts
    assert (parsed[0], parsed[-1]) == (base, loaded.text)


def test_the_override_that_is_not_finite_is_named(load: Load, base: str) -> None:
    with pytest.raises(CharterError) as caught:
        load(base, "training.rounds=9", "parties.count=nan", "seed=5")
    assert "with --set parties.count=nan: parties.count = NaN is not a finite" in str(caught.value)
    assert caught.value.hint == "give a whole number at least 1 and at most 100000"


def test_of_two_wrong_overrides_the_one_that_cannot_be_set_is_named(load: Load, base: str) -> None:
    with pytest.raises(CharterError) as caught:
        load(base, "training.rounds=9", "parties.count=nan", "training.rounds.x=1")
    assert "--set training.rounds.x=1" in str(caught.value)
