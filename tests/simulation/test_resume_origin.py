"""A run goes on in one process at a time, and with what it began with."""

from __future__ import annotations

from pathlib import Path

import pytest

import troth
from troth import simulation
from troth.errors import UsageError, VerificationError
from troth.report.atomic import locked
from troth.report.read import ROUNDS

FILES = """
name = "own"
seed = 1
partition = "equal"

[task]
kind = "classification"
model = "logistic"

[task.data]
source = "files"
train = ["rows.csv"]
test_fraction = 0.2

[task.data.schema]
target = "sick"
classes = ["no", "yes"]
columns = [{ name = "age", minimum = 0, maximum = 120 }]

[training]
rounds = 6
learning_rate = 0.5

[protocol]
name = "federated"

[parties]
count = 2
"""


class _Stopped(BaseException):
    """Ends a run as a kill does."""


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed after its third round."""
    rows = "\n".join(f"{20 + i},{'yes' if i % 2 else 'no'}" for i in range(60))
    (tmp_path / "rows.csv").write_text(f"age,sick\n{rows}\n")
    (tmp_path / "own.toml").write_text(FILES)
    monkeypatch.setattr(simulation, "SNAPSHOT_EVERY_S", 0.0)
    append = simulation.RunFolder.append_round

    def until_third(self, record) -> None:
        append(self, record)
        if record.round == 3:
            raise _Stopped

    with monkeypatch.context() as patched:
        patched.setattr(simulation.RunFolder, "append_round", until_third)
        with pytest.raises(_Stopped):
            troth.simulate(tmp_path / "own.toml", into=tmp_path / "run", progress=False)
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_has_one_process(stopped: Path) -> None:
    before = contents(stopped)
    with locked(stopped), pytest.raises(UsageError, match="another process") as refused:
        troth.simulation.resume(stopped, progress=False)
    assert str(stopped) in refused.value.message
    assert contents(stopped) == before | {".lock": b""}
    assert troth.simulation.resume(stopped, progress=False).summary.status == "finished"


@pytest.mark.parametrize("file", ["rows.csv", "run/scenario.toml", f"run/{ROUNDS}"])
def test_a_run_whose_origin_has_changed_is_refused(stopped: Path, file: str) -> None:
    path = stopped.parent / file
    text = path.read_text()
    changed = {
        "rows.csv": text.replace("\n25,", "\n99,"),
        "run/scenario.toml": text + "# other\n",
        f"run/{ROUNDS}": text.replace('"round":1,', '"round":1,"extra":0,').replace(
            '"bytes_sent":', '"bytes_sent":1', 1
        ),
    }[file]
    assert changed != text
    path.write_text(changed)
    before = contents(stopped)
    with pytest.raises(VerificationError) as refused:
        troth.simulation.resume(stopped, progress=False)
    assert refused.value.hint is not None
    after = contents(stopped)
    assert after[ROUNDS] == before[ROUNDS]
    path.write_text(text)
    assert troth.simulation.resume(stopped, progress=False).summary.status == "finished"


def test_code_that_has_changed_is_named(tmp_path: Path) -> None:
    from troth.runs.origin import Origin

    began = Origin("s", "d", {"rule": "1", "task": "2"})
    Origin("s", "d", {"rule": "1", "more": "3"}).check(began, tmp_path)
    with pytest.raises(VerificationError, match=r"since the run began: data, task\.py"):
        Origin("s", "e", {"task": "3"}).check(began, tmp_path)
