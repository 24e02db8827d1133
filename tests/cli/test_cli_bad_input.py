"""Bad input ends in one clear error, the right exit code, and nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from command_lines import Outcome, Troth, write_scenario

import troth as api
from troth.data import sources
from troth.errors import CharterError, ExitCode
from troth.report.read import read_summary

USAGE, CHARTER = ExitCode.USAGE, ExitCode.CHARTER
UNREACHABLE, VERIFICATION = ExitCode.UNREACHABLE, ExitCode.VERIFICATION_FAILED


@dataclass(frozen=True)
class Case:
    """A mistake: what it is, what is typed, and what troth makes of it.

    `make` prepares the folder and gives the command line; `says` must stand in the error.
    """

    name: str
    make: Callable[[Path], list[object]]
    code: int
    says: str


def scenario(extra: str = "", **keys: str) -> Callable[[Path], list[object]]:
    return lambda folder: ["simulate", write_scenario(folder, extra, **keys).name]


def setting(change: str) -> Callable[[Path], list[object]]:
    return lambda folder: ["simulate", write_scenario(folder).name, "--set", change]


def typed(*arguments: object) -> Callable[[Path], list[object]]:
    return lambda _: list(arguments)


def own_csv(content: str | bytes, **keys: str) -> Callable[[Path], list[object]]:
    def make(folder: Path) -> list[object]:
        data = content.encode() if isinstance(content, str) else content
        (folder / "own.csv").write_bytes(data)
        columns = '{ name = "a", minimum = 0.0, maximum = 1.0 }'
        schema = f'{{ columns = [{columns}], target = "y", classes = 2 }}'
        table = f'{{ source = "files", train = "own.csv", schema = {schema} }}'
        return ["simulate", write_scenario(folder, **{"data": table, "count": "2"} | keys).name]

    return make


def own_module(code: str, **keys: str) -> Callable[[Path], list[object]]:
    def make(folder: Path) -> list[object]:
        (folder / "own_task.py").write_text(code)
        return ["simulate", write_scenario(folder, **keys).name]

    return make


def finished_run(folder: Path) -> list[object]:
    summary = {
        "status": "finished", "name": "small", "protocol": "federated", "seed": 1,
        "troth_version": "0", "charter_digest": "", "schema_version": 1,
    }  # fmt: skip
    (folder / "done").mkdir()
    (folder / "done" / "scenario.toml").write_text("")
    (folder / "done" / "summary.json").write_text(json.dumps(summary))
    return ["simulate", "--resume", "done"]


def damaged_set(folder: Path) -> list[object]:
    """The folder that TROTH_DATA names is `data`, by the fixture below."""
    file = folder / "data" / "credit_default" / "default_of_credit_card_clients.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(b"ID,LIMIT_BAL\n1,20000\n"))
    return ["data", "check", "credit"]


def truncated_set(folder: Path) -> list[object]:
    damaged_set(folder)
    file = folder / "data" / "credit_default" / "default_of_credit_card_clients.csv.gz"
    file.write_bytes(file.read_bytes()[:-6])
    return ["simulate", write_scenario(folder, data='"credit"', model='"logistic"').name]


GOOD_ROWS = "a,y\n" + "0.5,1\n0.25,0\n" * 20

MODEL_THAT_RAISES = """
import torch

class Network(torch.nn.Linear):
    def __init__(self, features, outputs):
        super().__init__(features[0], outputs)

def load():
    raise ValueError("no such table")
"""

CASES = [
    # What is typed.
    Case("no verb of that name", typed("simulat"), USAGE, "'simulat'"),
    Case("no such option", typed("simulate", "--rounds", "5"), USAGE, "--rounds"),
    Case("no file given", typed("simulate"), USAGE, "nothing to simulate"),
    Case("file and resume", typed("simulate", "a.toml", "--resume", "b"), USAGE, "takes no FILE"),
    Case("set and resume", typed("simulate", "--resume", "b", "--set", "seed=1"), USAGE, "--set"),
    Case("into and resume", typed("simulate", "--resume", "b", "--into", "c"), USAGE, "--into"),
    Case("format of none", typed("simulate", "a.toml", "--format", "xml"), USAGE, "'xml'"),
    Case("missing file", typed("simulate", "absent.toml"), USAGE, "absent.toml"),
    Case("a folder for a file", typed("check", "."), USAGE, "."),
    Case("no run to resume", typed("simulate", "--resume", "absent"), USAGE, "does not exist"),
    Case("resume of a finished run", finished_run, USAGE, "status is finished"),
    Case("report on nothing", typed("report", "absent"), USAGE, "absent does not exist"),
    Case("report on no run", typed("report", "."), USAGE, "not the folder of a run"),
    Case("unknown data set", typed("data", "check", "minst"), USAGE, "'minst'"),
    Case("fetch of an unknown set", typed("data", "fetch", "minst"), USAGE, "'minst'"),
    Case("set that is not here", typed("data", "check", "mnist"), CHARTER, "mnist"),
    Case("damaged data set", damaged_set, VERIFICATION, "SHA-256"),
    Case("truncated data set", truncated_set, VERIFICATION, "cut short"),
    Case("name that is none", typed("new", "./!!!"), USAGE, '"!!!"'),
    # Overrides.
    Case("set without a value", setting("training.rounds"), CHARTER, "has no ="),
    Case("set of an unknown key", setting("training.round=5"), CHARTER, "training.round"),
    Case("set of a wrong type", setting("training.rounds=many"), CHARTER, "training.rounds"),
    Case("set out of bounds", setting("training.rounds=0"), CHARTER, "training.rounds = 0"),
    Case("set that is not TOML", setting("seed=[1,"), CHARTER, "--set seed=[1,"),
    # Scenarios.
    Case("not TOML", scenario(rounds="= 5"), CHARTER, "is not TOML"),
    Case("wrong type", scenario(rounds='"five"'), CHARTER, "training.rounds"),
    Case("unknown key", scenario("colour = 1"), CHARTER, "parties.colour"),
    Case("unknown table", scenario("[weather]\nrain = true"), CHARTER, "weather"),
    Case("infinite rate", scenario(learning_rate="inf"), CHARTER, "training.learning_rate"),
    Case("unknown protocol", scenario(protocol='"fedrated"'), CHARTER, "fedrated"),
    Case("unknown data set in a file", scenario(data='"digit"'), CHARTER, "digit"),
    Case("no party", scenario(count="0"), CHARTER, "parties.count = 0"),
    Case("party without data", scenario(count="500"), CHARTER, "500"),
    Case(
        "more attackers than parties",
        scenario('[[attacks]]\nkind = "sign_flip"\nparties = ["party-0", "party-6"]'),
        CHARTER,
        "party-6",
    ),
    Case(
        "shares of attackers above one",
        scenario(
            '[[attacks]]\nkind = "sign_flip"\nfraction = 0.7\n'
            '[[attacks]]\nkind = "label_flip"\nfraction = 0.7'
        ),
        CHARTER,
        "attacks",
    ),
    Case(
        "attack on a class that is none",
        scenario('[[attacks]]\nkind = "label_flip"\nfraction = 0.3\nsource = 1\ntarget = 10'),
        CHARTER,
        "10",
    ),
    Case("regression of classes", scenario(kind='"regression"'), CHARTER, "task.kind"),
    Case(
        "more byzantine parties than krum can bear",
        scenario(
            protocol='{ name = "federated", aggregation = { rule = "krum", byzantine = 3 } }'
        ),
        CHARTER,
        "byzantine",
    ),
    # Files and callables of one's own.
    Case("no such data file", scenario(data='{ source = "files", train = "no.csv", '
         'schema = { columns = [{ name = "a", minimum = 0, maximum = 1 }], classes = 2 } }'),
         CHARTER, "no.csv"),
    Case("label out of range", own_csv(GOOD_ROWS + "0.5,2\n"), CHARTER, "own.csv"),
    Case("NaN", own_csv(GOOD_ROWS + "nan,1\n"), CHARTER, "own.csv"),
    Case("text for a number", own_csv(GOOD_ROWS + "high,1\n"), CHARTER, "own.csv"),
    Case("number out of range", own_csv(GOOD_ROWS + "1.5,1\n"), CHARTER, "own.csv"),
    Case("truncated row", own_csv(GOOD_ROWS + "0.5"), CHARTER, "own.csv"),
    Case("column that is missing", own_csv("b,y\n0.5,1\n"), CHARTER, "own.csv"),
    Case("empty file", own_csv(""), CHARTER, "own.csv"),
    Case("not text", own_csv(b"a,y\n\xff\xfe\x00\n"), CHARTER, "own.csv"),
    Case("oversized file", own_csv(GOOD_ROWS * 2000), CHARTER, "MAX_FILE_BYTES"),
    Case("model that is not there", scenario(model='"own_task:Network"'), CHARTER, "own_task"),
    Case("module that cannot be imported", own_module("1 / 0", model='"own_task:Network"'),
         CHARTER, "ZeroDivisionError"),
    Case("model without that name", own_module("x = 1", model='"own_task:Network"'),
         CHARTER, "own_task"),
    Case("model that is none", own_module("def Network(features, outputs): return 1",
         model='"own_task:Network"'), CHARTER, "own_task:Network"),
    Case("data that raises", own_module(MODEL_THAT_RAISES, data='"own_task:load"'),
         CHARTER, "no such table"),
]  # fmt: skip

if not torch.cuda.is_available():
    CASES.append(Case("cuda without CUDA", setting("engine.device=cuda"), CHARTER, "engine.device"))


@pytest.fixture
def _small_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files above 64 kB count as oversized, and data sets are looked for beside the scenario."""
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 2**16)
    monkeypatch.setenv("TROTH_DATA", str(folder / "data"))


@pytest.mark.usefixtures("_small_world")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_mistake_gives_one_clear_error(case: Case, folder: Path, troth: Troth) -> None:
    arguments = case.make(folder)
    before = sorted(folder.rglob("*"))
    outcome = troth(*arguments)
    assert_one_error(outcome, case.code, case.says)
    after = [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before


def assert_one_error(outcome: Outcome, code: int, says: str) -> None:
    lines = outcome.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    assert says in errors[0]
    assert "Traceback" not in outcome.err
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert all(line.startswith(("error: ", "hint: ")) for line in lines), outcome.err
    assert all(line.isprintable() for line in lines)
    assert errors[0][len("error: ")] != " "
    assert not errors[0].endswith(".")


def test_there_are_many_cases_of_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40


def test_an_error_is_json_where_json_is_asked_for(troth: Troth, folder: Path) -> None:
    file = write_scenario(folder, rounds="0")
    outcome = troth("simulate", file.name, "--format", "json")
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    error = json.loads(line)
    assert error["exit_code"] == outcome.code == CHARTER
    assert "training.rounds = 0" in error["error"]
    assert error.keys() == {"error", "hint", "exit_code"}


def test_a_model_of_ones_own_that_fails_is_named(troth: Troth, folder: Path) -> None:
    """It fails in the first round only, so there is a run; but no traceback."""
    (folder / "own_model.py").write_text(
        "import torch\n"
        "class Network(torch.nn.Linear):\n"
        "    def __init__(self, features, outputs):\n"
        "        super().__init__(features[0], outputs)\n"
        "    def forward(self, x):\n"
        "        raise KeyError('lost')\n"
    )
    file = write_scenario(folder, model='"own_model:Network"')
    outcome = troth("simulate", file.name, "--quiet")
    assert outcome.code == CHARTER
    assert "KeyError" in outcome.err
    assert "own_model" in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.count("error: ") == 1


def test_names_that_no_system_takes_are_the_users_error(troth: Troth, scenario: Path) -> None:
    for arguments in (["check", "a" * 300], ["simulate", scenario, "--into", "a" * 300]):
        outcome = troth(*arguments)
        assert outcome.code == USAGE
        assert "file name too long" in outcome.err
        assert outcome.err.count("error: ") == 1


def test_a_folder_need_not_be_named_in_utf_8(troth: Troth, folder: Path) -> None:
    here = folder / os.fsdecode(b"klinik-\xe9")
    here.mkdir()
    scenario = write_scenario(here)
    outcome = troth("simulate", scenario, "--quiet", "--into", folder / "run")
    assert outcome.code == 0, outcome.err
    assert read_summary(folder / "run").status == "finished"


@pytest.mark.parametrize("where", ["file", "--set"])
def test_keys_of_thousands_of_parts_are_refused(troth: Troth, scenario: Path, where: str) -> None:
    key = "a." * 20_000 + "b"
    if where == "file":
        scenario.write_text(scenario.read_text() + f"\n[{key}]\nc = 1\n")
    outcome = troth("check", scenario, *([] if where == "file" else ["--set", f"{key}=1"]))
    assert outcome.code == CHARTER
    assert outcome.err.count("error: ") == 1
    assert len(outcome.err) < 1000


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "full"])
def test_losing_standard_error_does_not_end_a_training(
    folder: Path, scenario: Path, closed: bool
) -> None:
    command = [sys.executable, "-c", "from troth.cli import main; main()"]
    command += ["simulate", str(scenario), "--into", "run"]
    lost = "2>&-" if closed else "2>/dev/full"
    done = subprocess.run(["sh", "-c", f'exec "$@" {lost}', "sh", *command], cwd=folder)
    assert done.returncode == 0
    assert read_summary(folder / "run").status == "finished"


def test_a_terminal_that_goes_away_does_not_end_a_training(folder: Path) -> None:
    """Every write to it fails from then on, also those of the bar that is drawn meanwhile."""
    file = write_scenario(folder, rounds="1500")
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", "from troth.cli import main; main()"]
    training = subprocess.Popen(
        [*command, "simulate", str(file), "--into", "run"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=dict(os.environ) | {"TERM": "xterm"},
        start_new_session=True,
    )
    try:
        os.close(theirs)
        drawn = b""
        while b"round" not in drawn:
            drawn += os.read(ours, 4096)
    finally:
        os.close(ours)
    out, _ = training.communicate()
    assert training.returncode == 0
    assert b"finished" in out
    assert b"\x1b[?25l" in drawn  # the bar has hidden the cursor
    assert read_summary(folder / "run").status == "finished"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("key", "takes"),
    [
        ("training.learning_rate", "give a number above 0"),
        ("training.rounds", "give a whole number at least 1"),
        ("seed", "give a whole number at least 0"),
        ("protocol.deadline_s", "give a number above 0"),
    ],
)
def test_a_number_that_is_not_finite_is_named_with_what_is_allowed(
    troth: Troth, folder: Path, key: str, takes: str, value: str
) -> None:
    file = write_scenario(folder)
    name = key.rpartition(".")[2]
    assert_not_finite(troth("check", file, "--set", f"{key}={value}"), key, takes)
    spelt = file.read_text().replace('protocol = "federated"', "")
    spelt = spelt + '[protocol]\nname = "federated"\n'
    if name in ("rounds", "learning_rate", "seed"):
        spelt = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", spelt)
    else:
        spelt += f"{name} = {value}\n"
    file.write_text(spelt)
    assert_not_finite(troth("check", file), key, takes)
    with pytest.raises(CharterError) as refused:
        api.simulate(write_scenario(folder), **{key.replace(".", "__"): float(value)})
    assert refused.value.key == key
    assert "is not a finite number" in str(refused.value)
    assert takes in str(refused.value.hint)


def assert_not_finite(outcome: Outcome, key: str, takes: str) -> None:
    assert_one_error(outcome, CHARTER, f"{key} = ")
    assert "is not a finite number" in outcome.err
    assert takes in outcome.err
