"""`troth.simulate` and `Result`, as a notebook uses them."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

import troth
from troth.charter.loading import load_scenario
from troth.charter.writing import scenario_text
from troth.errors import CharterError, RoundFailedError, UsageError
from troth.report.read import load_run


def test_a_result_holds_model_rounds_and_summary(scenario_file):
    result = troth.simulate(scenario_file(), progress=False)
    assert result.parameters.shape == (650,)
    assert result.parameters.dtype == np.float32
    assert [record.round for record in result.rounds] == [1, 2, 3, 4]
    assert result.final == result.rounds[-1].metrics
    assert result.summary.status == "finished"
    assert result.summary.bytes_sent == sum(p.bytes for p in result.summary.traffic.values())
    for name, total in result.summary.traffic.items():
        of_parties = sum(p.sent[name].bytes for p in result.summary.parties if name in p.sent)
        assert of_parties == (total.bytes if name == "Update" else 0)
    assert result.folder is None
    assert all(party.own.examples == party.examples == 40 for party in result.summary.parties)
    document = json.loads(result.to_json())
    assert document["summary"]["final"]["error"] == result.final.error
    assert len(document["rounds"]) == 4


@pytest.mark.parametrize(
    ("overrides", "read"),
    [
        ({"training__rounds": 2}, lambda s: s.charter.training.rounds == 2),
        ({"seed": 9}, lambda s: s.seed == 9),
        (
            {"protocol__aggregation": {"rule": "trimmed_mean", "byzantine": 2}},
            lambda s: s.charter.protocol.aggregation.byzantine == 2,
        ),
        ({"task__model": "softmax"}, lambda s: s.charter.task.model.l2 == 0),
        ({"task__model__l2": 0.1}, lambda s: s.charter.task.model.l2 == 0.1),
        (
            {
                "attacks": [
                    {"kind": "sign_flip", "fraction": 0.2},
                    {"kind": "scaled", "fraction": 0.2},
                ]
            },
            lambda scenario: [attack.fraction for attack in scenario.attacks] == [0.2, 0.2],
        ),
    ],
)
def test_overrides_reach_the_scenario(scenario_file, tmp_path, overrides, read):
    result = troth.simulate(scenario_file(rounds=2), progress=False, **overrides)
    copy = tmp_path / "copy.toml"
    copy.write_text(result.scenario_text)
    assert read(load_scenario(copy).scenario)


def test_a_wrong_override_is_one_clear_error(scenario_file):
    with pytest.raises(CharterError, match=r"training\.rounds = 0"):
        troth.simulate(scenario_file(), progress=False, training__rounds=0)
    with pytest.raises(CharterError, match="round"):
        troth.simulate(scenario_file(), progress=False, training__round=3)


def test_a_scenario_built_in_python_runs_like_its_file(scenario_file):
    path = scenario_file(extra='[[attacks]]\nkind = "sign_flip"\nfraction = 0.2')
    loaded = load_scenario(path)
    from_file = troth.simulate(path, progress=False)
    for scenario in (loaded, loaded.scenario):
        again = troth.simulate(scenario, progress=False)
        assert again.summary.trace_digest == from_file.summary.trace_digest


def test_the_text_of_a_scenario_says_the_same(scenario_file, tmp_path):
    scenario = load_scenario(scenario_file('name = "dssgd"\nbound = 0.5')).scenario
    path = tmp_path / "again.toml"
    path.write_text(scenario_text(scenario))
    assert load_scenario(path).scenario == scenario


def test_a_saved_result_equals_the_folder_a_run_leaves(scenario_file, tmp_path):
    result = troth.simulate(scenario_file(), progress=False, into=tmp_path / "runs" / "one")
    assert result.folder == tmp_path / "runs" / "one"
    saved = load_run(result.save(tmp_path / "runs" / "two"))
    left = load_run(result.folder)
    assert saved.scenario_text == left.scenario_text
    assert saved.rounds == left.rounds
    assert msgspec.json.encode(saved.summary) == msgspec.json.encode(left.summary)
    assert (tmp_path / "runs/two/model.safetensors").read_bytes() == (
        tmp_path / "runs/one/model.safetensors"
    ).read_bytes()
    assert (tmp_path / "runs/two/report.html").exists()
    assert result.save(tmp_path / "runs" / "two").name == "two-2"


def test_standalone_keeps_every_partys_model(scenario_file, tmp_path):
    result = troth.simulate(
        scenario_file('name = "standalone"'), progress=False, into=tmp_path / "alone"
    )
    assert result.parameters is None
    assert sorted(result.models) == [f"party-{i}" for i in range(6)]
    errors = [party.test.error for party in result.summary.parties]
    assert result.final.error == pytest.approx(np.mean(errors))
    assert len(set(errors)) > 1


def test_a_plot_shows_the_metric(scenario_file):
    result = troth.simulate(scenario_file(), progress=False)
    (axes,) = result.plot("loss").axes
    (line,) = axes.lines
    assert line.get_ydata().tolist() == [record.metrics.loss for record in result.rounds]


def test_a_diverging_run_fails_with_a_hint_and_a_readable_folder(scenario_file, tmp_path):
    path = scenario_file(training="learning_rate = 1e38")
    with pytest.raises(RoundFailedError, match="learning_rate"):
        troth.simulate(path, progress=False, into=tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.summary.status == "failed"
    assert "learning_rate" in run.summary.problem


def test_a_finished_run_cannot_be_resumed(scenario_file, tmp_path):
    troth.simulate(scenario_file(), progress=False, into=tmp_path / "run")
    with pytest.raises(UsageError, match="nothing to resume"):
        troth.resume(tmp_path / "run", progress=False)


def test_an_error_of_the_data_names_the_scenario_file(scenario_file):
    with pytest.raises(CharterError, match=r"small\.toml: .*parties\.count"):
        troth.simulate(scenario_file(parties=400), progress=False)


def test_parties_that_are_not_admitted_take_no_part(scenario_file):
    extra = '[admission]\npolicy = "allow_list"\nallow = ["party-1", "party-4"]'
    result = troth.simulate(scenario_file(extra=extra), progress=False)
    assert [party.party for party in result.summary.parties] == ["party-1", "party-4"]
    assert any("not on the allow list: party-0, party-2" in note for note in result.summary.notes)
    small = '[admission]\nminimum_examples = 230\n[partition]\nkind = "random_sizes"'
    with pytest.raises(CharterError, match="admits none of the parties"):
        troth.simulate(scenario_file(extra=small), progress=False)


@pytest.mark.parametrize(
    ("training", "model"),
    [
        ("learning_rate = 0.1", '{ name = "mlp", hidden = [16] }'),
        ("learning_rate = 0.1", '{ name = "mlp", hidden = [16, 8], activation = "tanh" }'),
    ],
)
def test_other_models_learn(scenario_file, training, model):
    path = scenario_file(training=training, rounds=15)
    result = troth.simulate(path, progress=False, task__model=_table(model))
    assert result.rounds[-1].metrics.loss < result.rounds[0].metrics.loss


def _table(text):
    import tomllib

    return tomllib.loads(f"x = {text}")["x"]


def test_regression_reports_the_mean_relative_error(tmp_path):
    path = tmp_path / "regression.toml"
    path.write_text(
        """
name = "diabetes"
[task]
kind = "regression"
data = "diabetes"
model = "linear"
[training]
rounds = 30
learning_rate = 0.3
[protocol]
name = "federated"
[parties]
count = 5
"""
    )
    result = troth.simulate(path, progress=False)
    assert result.summary.task == "regression"
    assert result.rounds[-1].metrics.error < result.rounds[0].metrics.error


def test_numbers_of_numpy_and_paths_are_taken_as_they_are_meant(scenario_file, tmp_path):
    path = scenario_file()
    plain = troth.simulate(path, progress=False, training__rounds=2, training__learning_rate=0.25)
    given = troth.simulate(
        str(path),
        progress=False,
        into=str(tmp_path / "run"),
        training__rounds=np.int64(2),
        training__learning_rate=np.float32(0.25),
        protocol={"name": "federated", "aggregation": {"rule": "mean"}},
        attacks=[],
    )
    np.testing.assert_array_equal(given.parameters, plain.parameters)
    attacked = troth.simulate(
        path,
        progress=False,
        training__rounds=1,
        attacks=[{"kind": "sign_flip", "parties": np.array(["party-0"])}],
    )
    assert attacked.summary.parties[0].attacker == "sign_flip"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"task__model": np.ndarray}, "task.model is ndarray itself"),
        ({"training__rounds": None}, "training.rounds is of type NoneType"),
        ({"training__rounds": object()}, "training.rounds is of type object"),
        ({"protocol": {1: 2}}, "protocol is of type int"),
        ({"training__rounds": {"a": {2, 3}}}, "training.rounds is of type set"),
        ({"__".join(["a"] * 5000): 1}, "has more than 32 parts"),
    ],
)
def test_what_no_scenario_can_hold_is_named_by_its_key(scenario_file, keys, said):
    with pytest.raises(CharterError, match=said) as caught:
        troth.simulate(scenario_file(), progress=False, **keys)
    assert caught.value.hint
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("wrong", [None, 3, "a\0b"])
def test_a_path_that_is_none_is_named_by_its_argument(scenario_file, wrong):
    with pytest.raises(UsageError, match=r"^scenario = .* is not a path"):
        troth.simulate(wrong, progress=False)
    with pytest.raises(UsageError, match=r"^folder = .* is not a path"):
        troth.resume(wrong, progress=False)
    if wrong is not None:
        with pytest.raises(UsageError, match=r"^into = .* is not a path"):
            troth.simulate(scenario_file(), into=wrong, progress=False)
    with pytest.raises(UsageError, match="progress = 'yes' is neither"):
        troth.simulate(scenario_file(), progress="yes")
