"""From a file to a scenario: short forms, inlining, and the text that goes into a run folder."""

from __future__ import annotations

import copy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from troth.charter.digest import charter_digest
from troth.charter.explain import explain, not_finite
from troth.charter.file import ScenarioFile
from troth.charter.keys import Key, dotted, parse_key
from troth.charter.loading import LoadedScenario, load_charter, load_scenario, scenario_of
from troth.charter.own_privacy import read_own_privacy
from troth.charter.shorthand import SHORT_FORMS, short_form, spell_out
from troth.charter.world import ConstantLatency, ZeroCost
from troth.data.spec import CallableData, CallablePartition, Equal, NamedData
from troth.engines.spec import EngineSpec
from troth.errors import CharterError
from troth.learning.spec import Module, Softmax
from troth.privacy.spec import NoPrivacy
from troth.protocols.federated.parameters import Federated
from troth.robustness.spec import CallableRule, MultiKrum

Load = Callable[..., LoadedScenario]

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_text_without_overrides_is_the_file(load: Load, base: str) -> None:
    loaded = load(base)
    assert loaded.text == base
    assert loaded.base == loaded.path.parent
    assert loaded.scenario.parties.count == 10
    assert loaded.scenario.seed == 7
    assert loaded.scenario.charter.training.rounds == 5
    assert loaded.scenario.partition == Equal()


def test_byte_order_mark_is_dropped(load: Load, base: str) -> None:
    assert load("\ufeff" + base).text == base


def test_whole_number_stands_for_a_float(load: Load, base: str) -> None:
    rate = load(base.replace("0.1", "1")).scenario.charter.training.learning_rate
    assert rate == 1.0
    assert isinstance(rate, float)


def test_short_forms(load: Load, base: str) -> None:
    head = 'partition = "equal"\ncost = "zero"\nengine = "inline"\n'
    more = "[network]\nlatency = 1\nlatency_of = { party-3 = 0.5 }\n"
    text = head + base.replace('"federated"', '"federated"\naggregation = "multi_krum"') + more
    scenario = load(text).scenario
    assert scenario.charter.task.data == NamedData(name="digits")
    assert scenario.charter.task.model == Softmax()
    assert scenario.charter.protocol == Federated(aggregation=MultiKrum())
    assert scenario.partition == Equal()
    assert scenario.cost == ZeroCost()
    assert scenario.engine == EngineSpec(name="inline")
    assert scenario.network.latency == ConstantLatency(seconds=1.0)
    assert scenario.network.latency_of == {"party-3": ConstantLatency(seconds=0.5)}


def test_protocol_by_its_name_alone(load: Load, base: str) -> None:
    text = 'protocol = "federated"\n' + base.replace('[protocol]\nname = "federated"\n', "")
    assert load(text).scenario == load(base).scenario


def test_name_with_a_colon_is_a_callable(load: Load, base: str) -> None:
    text = 'partition = "task:deal"\n' + base.replace('"digits"', '"task:load"').replace(
        '"softmax"', '"task:Net"'
    ).replace('"federated"', '"federated"\naggregation = "rules:mine"')
    scenario = load(text).scenario
    assert scenario.charter.task.data == CallableData(callable="task:load")
    assert scenario.charter.task.model == Module(callable="task:Net")
    assert scenario.partition == CallablePartition(callable="task:deal")
    assert isinstance(scenario.charter.protocol, Federated)
    assert scenario.charter.protocol.aggregation == CallableRule(callable="rules:mine")


def test_every_short_form_has_a_working_example() -> None:
    for place, form in SHORT_FORMS.items():
        (value,) = tomllib.loads(form.example).values()
        key = tuple(place.replace("*", "party-1").split("."))
        found = short_form(key)
        assert found is form
        assert isinstance(form.expand(value), dict)


def test_spelling_out_leaves_the_document_alone(base: str) -> None:
    document = tomllib.loads(base)
    before = copy.deepcopy(document)
    spelt = spell_out(document)
    assert document == before
    assert spelt != before
    assert spell_out(spelt) == spelt


CHARTER = """\
# What we agree on.
version = 1
name = "small"  # of all
training = { rounds = 5, learning_rate = 0.1 }

# The task.
[task]
kind = "classification"
data = "digits"
model = "softmax"

[protocol]
name = "federated"
"""

WORLD = """\
# The world.
seed = 7 # lucky
charter = "charter.toml" # beside

# Who.
[parties]
count = 10

[[attacks]]
# Some lie.
kind = "label_flip"
fraction = 0.3
"""


def test_charter_of_its_own_is_inlined(tmp_path: Path, base: str) -> None:
    (tmp_path / "charter.toml").write_text(CHARTER)
    (tmp_path / "scenario.toml").write_text(WORLD)
    loaded = load_scenario(tmp_path / "scenario.toml")
    (tmp_path / "base.toml").write_text(base)
    assert loaded.scenario.charter == load_scenario(tmp_path / "base.toml").scenario.charter
    assert loaded.scenario.charter == load_charter(tmp_path / "charter.toml")
    assert len(loaded.scenario.attacks) == 1
    said = tomllib.loads(loaded.text)
    assert said.pop("charter", None) is None
    assert said == {
        **tomllib.loads(CHARTER),
        **{key: value for key, value in tomllib.loads(WORLD).items() if key != "charter"},
    }
    for comment in ("# What we agree on.", "# of all", "# The world.", "# lucky", "# Some lie."):
        assert comment in loaded.text
    # Comments stay above the table that they are about.
    assert "# The task.\n[task]" in loaded.text
    assert "# Who.\n[parties]" in loaded.text


def test_charter_is_looked_up_beside_the_base(tmp_path: Path) -> None:
    (tmp_path / "charter.toml").write_text(CHARTER)
    copy_of = tmp_path / "runs" / "scenario.toml"
    copy_of.parent.mkdir()
    copy_of.write_text(WORLD)
    assert load_scenario(copy_of, base=tmp_path).base == tmp_path
    with pytest.raises(CharterError, match="cannot be read"):
        load_scenario(copy_of)


def test_inlining_is_not_fooled_by_brackets_that_begin_a_line(tmp_path: Path) -> None:
    world = WORLD.replace(
        "# lucky",
        """
network.partitions = [{ from_s = 0, until_s = 1, groups = [
["party-0", "party-1"],
# no table
["party-2"],
] }]
""",
    )
    charter = CHARTER.replace("[protocol]", "[protocol]\ndeadline_s = 1")
    (tmp_path / "charter.toml").write_text(charter)
    (tmp_path / "scenario.toml").write_text(world)
    loaded = load_scenario(tmp_path / "scenario.toml")
    assert loaded.scenario.network.partitions[0].groups == [["party-0", "party-1"], ["party-2"]]
    assert loaded.text.index("no table") < loaded.text.index("[task]")


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("*/*.toml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_examples_are_valid(path: Path) -> None:
    if path.name == "charter.toml":
        assert charter_digest(load_charter(path)).startswith("sha256:")
    elif path.name == "privacy.toml":
        assert not isinstance(read_own_privacy(path), NoPrivacy)
    else:
        loaded = load_scenario(path)
        assert loaded.scenario.charter.name


def test_poisoned_examples_differ_in_the_rule_only() -> None:
    for honest, robust in (
        ("digits/scenario.toml", "digits/robust.toml"),
        ("mnist/poisoned_mean.toml", "mnist/poisoned_multi_krum.toml"),
    ):
        mean, krum = (
            msgspec.to_builtins(load_scenario(EXAMPLES / name).scenario)
            for name in (honest, robust)
        )
        assert mean["charter"].pop("name") != krum["charter"].pop("name")
        assert mean["charter"]["protocol"].pop("aggregation")["rule"] == "mean"
        assert krum["charter"]["protocol"].pop("aggregation")["rule"] == "multi_krum"
        assert mean == krum


FULL_TEXT = """
name = "full"
version = 1
seed = 3
partition = { kind = "dirichlet", alpha = 0.5, minimum = 2 }
cost = { kind = "fixed", seconds = { local_update = 1.0 } }
engine = "inline"
task = { kind = "classification", data = "digits", model = { name = "mlp", hidden = [8, 4] } }
training = { rounds = 5, learning_rate = 0.1, batch_size = "all", local_steps = 2, momentum = 0.5 }
parties = { count = 10 }
faults = { crashes = [{ node = "party-3", at_s = 1.0 }] }
churn = { absences = [{ party = "party-2", from_s = 1.0, until_s = 2.0 }] }
evaluation = { every = 2 }
attacks = [
  { kind = "label_flip", fraction = 0.1, source = 1, target = 7 },
  { kind = "alie", parties = ["party-5"] },
]

[protocol]
name = "federated"
aggregation = { rule = "krum", byzantine = 1 }
deadline_s = 9.0
at_least = 7

[network]
latency = 0.1
latency_of = { party-1 = { kind = "normal", mean_s = 1.0, std_s = 0.1 } }
loss = 0.1

[admission]
policy = "allow_list"
allow = [
  "party-0", "party-1", "party-2", "party-3", "party-4", "party-5", "party-6", "party-7",
]
"""
"""Valid, and with something in every table."""

FULL = tomllib.loads(FULL_TEXT)


def _places(value: object, key: Key = ()) -> Iterator[Key]:
    if key:
        yield key
    entries: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    for name, inner in entries:
        yield from _places(inner, (*key, name))


PLACES = list(_places(FULL))

VALUES = st.one_of(
    st.booleans(),
    st.integers(-3, 12),
    st.just(2**70),
    st.floats(),
    st.sampled_from(["all", "mean", "party-1", "task:f", "", "é"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-1, 3), max_size=3),
    st.dictionaries(st.sampled_from(["kind", "name", "rule", "x"]), st.just("mean"), max_size=2),
)


def test_the_full_document_is_valid() -> None:
    assert scenario_of(copy.deepcopy(FULL)).charter.name == "full"


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES | st.none()), min_size=1, max_size=2))
def test_any_change_gives_a_scenario_or_one_located_error(
    changes: list[tuple[Key, object]],
) -> None:
    """Nothing but a `CharterError`, and never msgspec's own words."""
    document = copy.deepcopy(FULL)
    for key, value in changes:
        node: object = document
        for part in key[:-1]:
            if isinstance(node, dict):
                node = node.get(part)
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                node = node[part]
            else:
                node = None
        if isinstance(node, dict):
            if value is None:
                node.pop(key[-1], None)
            else:
                node[key[-1]] = value
        elif isinstance(node, list) and isinstance(key[-1], int) and key[-1] < len(node):
            node[key[-1]] = [] if value is None else value
    before = copy.deepcopy(document)
    error: CharterError | None = None
    try:
        scenario_of(document)
    except CharterError as caught:
        error = caught
    assert str(document) == str(before)
    if error is not None:
        assert error.key
        assert parse_key(error.key)
        assert "is refused" not in error.problem


@given(st.sampled_from(PLACES), VALUES)
def test_explanation_agrees_with_msgspec(key: Key, value: object) -> None:
    """What msgspec converts has no explanation; what it refuses has one."""
    document = spell_out(copy.deepcopy(FULL))
    node: object = document
    for part in key[:-1]:
        node = node[part]  # type: ignore[index]  # the key leads through tables and arrays
        if not isinstance(node, dict | list):
            return
    node[key[-1]] = value  # type: ignore[index]  # the same
    explained = not_finite(document, ScenarioFile) or explain(document, ScenarioFile)
    if not_finite(document, ScenarioFile) is None:
        try:
            msgspec.convert(document, ScenarioFile)
        except msgspec.ValidationError:
            assert explained is not None
        else:
            assert explained is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("texts")


@given(
    st.lists(
        st.sampled_from(
            [
                "training.rounds=9",
                "training.momentum=0.9",
                "protocol.aggregation=median",
                "protocol.aggregation.byzantine=2",
                "attacks[0].fraction=0.2",
                "attacks[1]={kind='sign_flip', fraction=0.1}",
                "partition=equal",
                "partition={kind='by_class'}",
                "network.latency.seconds=0.5",
                "network.latency_of.party-2=0.1",
                "seed=11",
                "engine.name=batched",
                "task.data.rows=500",
                "task.model.hidden[0]=32",
                "churn={}",
            ]
        ),
        max_size=5,
        unique=True,
    ),
    st.booleans(),
)
def test_loading_the_text_again_gives_the_same_scenario(
    folder: Path, overrides: list[str], headers: bool
) -> None:
    if headers:
        # In this layout an entry of [[attacks]] cannot be replaced whole.
        overrides = [change for change in overrides if not change.startswith("attacks[1]=")]
    path = folder / "scenario.toml"
    path.write_text(tomlkit.dumps(FULL) if headers else FULL_TEXT, encoding="utf-8")
    loaded = load_scenario(path, overrides=overrides)
    path.write_text(loaded.text, encoding="utf-8")
    again = load_scenario(path)
    assert again.scenario == loaded.scenario
    assert again.text == loaded.text
    assert charter_digest(again.scenario.charter) == charter_digest(loaded.scenario.charter)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=5)


@given(st.lists(NAMES | st.integers(0, 99), max_size=4), NAMES)
def test_keys_are_read_as_they_are_written(rest: list[str | int], first: str) -> None:
    key = (first, *rest)
    assert parse_key(dotted(key)) == key


def test_loading_needs_no_numerical_code_to_start() -> None:
    """`troth --help` reads these modules, and must not wait for PyTorch."""
    heavy = ("torch", "polars", "sklearn", "matplotlib", "scipy", "pandas")
    code = (
        "import sys, troth.charter.loading, troth.charter.dry_run, troth.charter.scaffold; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
