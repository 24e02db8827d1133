"""`troth check` finds what `troth simulate` would be refused for, with the same error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_lines import Troth, write_scenario
from test_cli_bad_input import (
    CASES,
    CHARTER,
    Case,
    _small_world,  # noqa: F401 - a fixture of these cases
    assert_one_error,
    own_module,
    scenario,
)

from troth.errors import ExitCode

MODULE = """\
import torch

class Network(torch.nn.Linear):
    def __init__(self, features, outputs):
        super().__init__(features[0] * features[1] * features[2], outputs)

    def forward(self, x):
        return spoil(super().forward(x.flatten(1)), len(x))

def spoil(scores, rows):
"""
"""A module that does what is added only when it is trained: probes have few rows."""


def trained(body: str, **keys: str) -> Callable[[Path], list[object]]:
    return own_module(f"{MODULE}    {body}\n", model='"own_task:Network"', **keys)


def attack(text: str, **keys: str) -> Callable[[Path], list[object]]:
    return scenario(f"[[attacks]]\n{text}\n", **keys)


def rows(
    data: bytes, *, train: str = '"rows.csv"', test: str = "test_fraction = 0.5"
) -> Callable[[Path], list[object]]:
    """A scenario with rows of its own."""
    schema = (
        '{ target = "sick", classes = ["no", "yes"], '
        'columns = [{ name = "age", minimum = 0, maximum = 120 }] }'
    )
    files = f'{{ source = "files", train = [{train}], {test}, schema = {schema} }}'

    def make(folder: Path) -> list[object]:
        (folder / "rows.csv").write_bytes(data)
        return scenario("", data=files, model='"logistic"')(folder)

    return make


EARLY = [
    Case(
        "a file with a terminal's commands in it",
        rows(b"a\x1b[31mge,sick\x00\n1,no\n2,yes\n"),
        CHARTER,
        "rows.csv: has no column 'age'",
    ),
    Case(
        "a file that is named twice",
        rows(b"age,sick\n1,no\n2,yes\n", train='"rows.csv", "./rows.csv"'),
        CHARTER,
        'task.data.train = "./rows.csv" is named before',
    ),
    Case(
        "a file to train and to test on",
        rows(b"age,sick\n1,no\n2,yes\n", test='test = "rows.csv"'),
        CHARTER,
        'task.data.test = "rows.csv" is named before',
    ),
    Case(
        "more rows than there are",
        scenario(data='{ source = "named", name = "digits", rows = 100000 }'),
        CHARTER,
        "task.data.rows",
    ),
    Case(
        "an attacker that is left without a row",
        attack(
            'kind = "label_flip"\nparties = ["party-0"]\nsource = 9\ntarget = 2\n'
            "flipped_only = true",
            partition='{ kind = "by_class", classes = 2 }',
        ),
        CHARTER,
        "party-0",
    ),
    Case(
        "nobody is admitted",
        scenario("[admission]\nminimum_examples = 1000\n"),
        CHARTER,
        "admission",
    ),
    Case(
        "a round that waits for more than there are",
        scenario(
            "[admission]\npolicy = 'allow_list'\nallow = ['party-0', 'party-1']\n",
            protocol='{ name = "federated", at_least = 5, deadline_s = 1.0 }',
        ),
        CHARTER,
        "protocol.at_least",
    ),
    Case(
        "a model that raises in training",
        trained("return scores if rows < 16 else scores[:, missing]"),
        CHARTER,
        "own_task.py, line 11: spoil raised NameError",
    ),
    Case(
        "a model that gives something else in training",
        trained("return scores if rows < 16 else (scores, rows)"),
        CHARTER,
        "to tuple, not to (",
    ),
    Case(
        "a model that gives a score too many in training",
        trained("return scores if rows < 16 else torch.cat([scores, scores[:, :1]], 1)"),
        CHARTER,
        ", 11), not to (",
    ),
    Case(
        "a model that leaves in training",
        trained("return scores if rows < 16 else exit()"),
        CHARTER,
        "own_task.py, line 11",
    ),
    Case(
        "a model that raises no Exception in training",
        trained("if rows >= 16: raise BaseException('odd')\n    return scores"),
        CHARTER,
        "own_task.py, line 11: spoil raised BaseException: odd",
    ),
    Case(
        "a partition that raises",
        own_module(
            "def share(train, parties, generator):\n    return [][parties]\n",
            partition='"own_task:share"',
        ),
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "data that raise",
        own_module("def load():\n    raise ValueError('no such table')\n", data='"own_task:load"'),
        CHARTER,
        "raised ValueError: no such table, in ",
    ),
    Case(
        "a module that cannot be imported",
        own_module("import math\nx = math.sqrt(-1)\n", model='"own_task:Network"'),
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "a module that is not Python",
        own_module("x = 1\ndef Network(:\n", model='"own_task:Network"'),
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "a model that cannot be built",
        own_module("def Network(features, outputs):\n    return {}['layers']\n",
                   model='"own_task:Network"'),
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "a rule of one's own that raises",
        own_module(
            "def rule(updates_PD, weights_P, byzantine, generator):\n"
            "    return updates_PD[len(updates_PD)]\n",
            protocol='{ name = "federated", aggregation = "own_task:rule" }',
        ),
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "a rule of one's own that returns something else",
        own_module(
            "def rule(updates_PD, weights_P, byzantine, generator):\n"
            "    return updates_PD[0]\n",
            protocol='{ name = "federated", aggregation = "own_task:rule" }',
        ),
        CHARTER,
        "returned a ndarray",
    ),
    Case(
        "an attack of one's own that raises",
        lambda folder: [
            *own_module("def attack(update_D, peers_PD, context, generator):\n    return 1 / 0\n")(
                folder
            )[:1],
            *attack('kind = "callable"\nfraction = 0.3\ncallable = "own_task:attack"')(folder)[1:],
        ],
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "a verifier of one's own that raises",
        own_module(
            "def verify(params_D, update_D, error):\n    return error(params_D) / 0\n",
            protocol='{ name = "tormentor", difficulty = 1, '
            'verifiers = [{ kind = "callable", callable = "own_task:verify" }] }',
        ),
        CHARTER,
        "own_task.py, line 2",
    ),
    Case(
        "an update that is not finite",
        trained("return scores if rows < 16 else scores * float('inf')"),
        ExitCode.ROUND_FAILED,
        "training diverged: the update of party-0 in round 1 is not finite",
    ),
]  # fmt: skip

ONE_WORKER = ("--set", 'engine.name="processes"', "--set", "engine.workers=1")

NO_SCENARIO = {"set that is not here", "damaged data set"}
"""Cases of `troth data`, which takes none."""

REFUSED = [
    case
    for case in CASES
    if case.code in (ExitCode.CHARTER, ExitCode.VERIFICATION_FAILED)
    and case.name not in NO_SCENARIO
]


@pytest.mark.usefixtures("_small_world")
@pytest.mark.parametrize("case", [*REFUSED, *EARLY], ids=lambda case: case.name.replace(" ", "-"))
def test_check_ends_with_the_error_of_the_simulation(
    case: Case, folder: Path, troth: Troth
) -> None:
    verb, *arguments = case.make(folder)
    assert verb == "simulate"
    simulated = troth("simulate", *arguments, "--quiet", "--into", folder / "run")
    assert simulated.code == case.code, simulated.err
    checked = troth("check", *arguments)
    assert_one_error(checked, case.code, case.says)
    assert checked.err == simulated.err


def test_data_that_are_not_here_are_said_not_to_be_checked(
    folder: Path, troth: Troth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TROTH_DATA", raising=False)
    checked = troth("check", write_scenario(folder, data='"credit"', model='"logistic"'))
    assert checked.code == 0, checked.err
    (said,) = [line for line in checked.out.splitlines() if "is not on this machine" in line]
    assert "credit" in said


IN_WORKERS = {
    "raises": ("return scores if rows < 16 else scores[:, missing]", "raised NameError"),
    "leaves": ("return scores if rows < 16 else exit()", "raised SystemExit"),
    "raises no Exception": (
        "if rows >= 16: raise BaseException('odd')\n    return scores",
        "spoil raised BaseException: odd",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", IN_WORKERS)
def test_an_error_in_a_worker_names_the_line_as_well(case: str, folder: Path, troth: Troth) -> None:
    body, said = IN_WORKERS[case]
    simulated = troth(*trained(body)(folder), *ONE_WORKER, "--quiet")
    assert simulated.code == CHARTER
    assert said in simulated.err
    assert "own_task.py, line 11" in simulated.err
    assert simulated.err.count("error: ") == 1
    assert "Traceback" not in simulated.err


OF_A_WORKER = """\
from multiprocessing import parent_process
from torch import nn

def make(features, outputs):
    names = ["first", "second"] if parent_process() is None else {worker}
    layers = {{name: nn.Linear(64, outputs) for name in names}}
    return Sum(layers)

class Sum(nn.ModuleDict):
    def forward(self, x):
        x = x.flatten(1)
        return self["first"](x) + 2 * self["second"](x)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ('["second", "first"]', "another module in a worker process"),
        ("names", "raised UnboundLocalError"),
    ],
)
def test_a_worker_does_not_compute_with_another_module(
    worker: str, said: str, folder: Path, troth: Troth
) -> None:
    make = own_module(OF_A_WORKER.format(worker=worker), model='"own_task:make"')
    simulated = troth(*make(folder), *ONE_WORKER, "--quiet")
    assert simulated.code == CHARTER, simulated.err
    assert said in simulated.err
    assert "Traceback" not in simulated.err
