"""Models that do not fit their task, and modules that cannot be trained together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from learning_cases import make_model

from troth.errors import CharterError
from troth.learning import spec
from troth.learning.build import build_model
from troth.streams import learning


@pytest.mark.parametrize(
    ("table", "task", "outputs", "loss", "key", "message"),
    [
        (spec.Logistic(), "classification", 10, None, "task.model.name", "2 classes apart"),
        (spec.Logistic(), "regression", 1, None, "task.model.name", "for classification"),
        (spec.Softmax(), "regression", 1, None, "task.model.name", "for classification"),
        (spec.Linear(), "classification", 2, None, "task.model.name", "for regression"),
        (spec.Softmax(), "classification", 1, None, "task.kind", "at least 2 classes"),
        (spec.MLP(hidden=[3]), "regression", 4, None, "task.kind", "4 classes"),
        (spec.Linear(), "regression", 1, "cross_entropy", "task.loss", "needs classes"),
        (spec.ShokriCNN(), "classification", 10, None, "task.model.name", "needs images"),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_refused(
    table: spec.ModelSpec,
    task: spec.TaskKind,
    outputs: int,
    loss: spec.LossName | None,
    key: str,
    message: str,
) -> None:
    with pytest.raises(CharterError, match=message) as raised:
        build_model(table, features=(64,), outputs=outputs, task=task, loss=loss)
    assert raised.value.key == key
    assert raised.value.hint


def test_an_image_that_is_too_small_for_the_cnn_is_refused() -> None:
    make_model(spec.ShokriCNN(), 10, (22, 22))
    make_model(spec.ShokriCNN(), 10, (3, 16, 16))
    with pytest.raises(CharterError, match="at least 22x22, but these are 8x8"):
        make_model(spec.ShokriCNN(), 10, (8, 8))
    with pytest.raises(CharterError, match="at least 16x16, but these are 32x15"):
        make_model(spec.ShokriCNN(), 10, (3, 32, 15))


@pytest.mark.parametrize(
    ("callable_name", "arguments", "message"),
    [
        ("Dropping", {}, "draws random numbers from torch's generator"),
        ("Normalising", {}, "changes its buffer drop.running_mean"),
        ("Normalising", {"tracked": False}, "depends on the rest of its batch"),
        ("wrong_shape", {}, r"to \(3, 4\), not to \(3, 3\)"),
        ("failing_forward", {}, "raised RuntimeError on an input of shape"),
        ("failing_factory", {}, "raised RuntimeError: no network"),
        ("failing_factory", {"depth": 3}, "unexpected keyword argument 'depth'"),
        ("own_error", {}, "has no use for 3 classes"),
        ("not_a_module", {}, "returned a list"),
        ("no_parameters", {}, "without parameters"),
        ("double_precision", {}, "torch.float64"),
        ("does_not_exist", {}, "does_not_exist"),
    ],
)
def test_a_module_that_cannot_be_trained_together_is_refused(
    callable_name: str, arguments: dict[str, bool | int | float | str], message: str
) -> None:
    table = spec.Module(callable=f"learning_cases:{callable_name}", arguments=arguments)
    state = torch.random.get_rng_state()
    with pytest.raises(CharterError, match=message) as raised:
        make_model(table)
    assert raised.value.key == "task.model.callable"
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_module_is_looked_up_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "own_learning_task.py").write_text(
        "from torch import nn\n"
        "def make(features, outputs, units):\n"
        "    return nn.Sequential(nn.Linear(features[0], units), nn.Linear(units, outputs))\n"
    )
    table = spec.Module(callable="own_learning_task:make", arguments={"units": 2})
    model = build_model(table, features=(4,), outputs=3, task="classification", base=tmp_path)
    assert model.dimension == (4 * 2 + 2) + (2 * 3 + 3)


def test_frozen_parameters_are_constants_and_not_part_of_the_vector() -> None:
    model = make_model(spec.Module(callable="learning_cases:partly_frozen"))
    assert model.dimension == 4 * 3 + 3
    params_D = torch.tensor(model.init(learning(1)))
    x_BF = torch.ones(2, 6)
    before = model.predict(params_D, x_BF)
    model.init(learning(2))
    assert torch.equal(before, model.predict(params_D, x_BF))
    assert np.isfinite(before.numpy()).all()


def test_check_module_passes_a_sound_module_and_names_what_is_wrong():
    from troth.learning.conformance import check_module

    check_module(
        lambda features, outputs: torch.nn.Linear(features[0], outputs), features=(8,), outputs=3
    )
    with pytest.raises(CharterError, match="dropout"):
        check_module(
            lambda features, outputs: torch.nn.Sequential(
                torch.nn.Linear(features[0], outputs), torch.nn.Dropout()
            ),
            features=(8,),
            outputs=3,
        )
