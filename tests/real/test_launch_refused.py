"""A launch that is not gone on with is left as it is."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import troth
from stopped_launch import stopped_launch
from troth.cli import run
from troth.cli.failure import failure_of
from troth.report.atomic import locked
from troth.report.read import load_run

SCENARIO = """
name = "rows"
seed = 1

[task]
kind = "classification"
data = { source = "files", train = ["rows.csv"], test_fraction = 0.2, schema = SCHEMA }
model = "own_model:Network"

[training]
rounds = 6
learning_rate = 0.1

[protocol]
name = "federated"

[parties]
count = 2
"""
SCHEMA = (
    '{ target = "sick", classes = ["no", "yes"], '
    'columns = [{ name = "age", minimum = 0, maximum = 120 }] }'
)
MODEL = """
import torch

class Network(torch.nn.Linear):
    def __init__(self, features, outputs):
        super().__init__(features[0], outputs)
"""

Refused = Callable[..., None]


def wait_for_nodes(folder: Path) -> None:
    """Until the nodes of a launch that was killed have noticed it, and hold their folders no
    more."""
    places = list((folder / "nodes").glob("*/.lock"))
    assert len(places) == 3
    for place in places:
        with place.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Checks that the launch in a folder is refused, and the folder left as it is."""

    def check(folder: Path, code: int, said: str) -> None:
        before = content(folder)
        assert run(["launch", "--resume", str(folder)]) == code
        written = capsys.readouterr()
        (error,) = [line for line in written.err.splitlines() if line.startswith("error: ")]
        assert said in error
        assert "Traceback" not in written.err
        assert content(folder) == before

    return check


@pytest.mark.slow
def test_a_launch_is_refused_that_is_not_what_it_was(
    tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("age,sick\n" + "".join(f"{20 + i},{('no', 'yes')[i % 2]}\n" for i in range(60)))
    code = tmp_path / "own_model.py"
    code.write_text(MODEL)
    file, folder = tmp_path / "rows.toml", tmp_path / "launched"
    file.write_text(SCENARIO.replace("SCHEMA", SCHEMA))
    stopped = stopped_launch(file, folder, signal.SIGKILL)
    assert stopped.returncode == -signal.SIGKILL, stopped.stderr
    assert load_run(folder).summary.status == "running"
    wait_for_nodes(folder)
    with locked(folder):
        refused(folder, 2, "another process runs in this folder")
    for changed, other, name in (
        (rows, rows.read_text().replace("21,yes", "21,no"), "data"),
        (code, code.read_text() + "# another line\n", "own_model.py"),
        (folder / "scenario.toml", (folder / "scenario.toml").read_text() + "\n", "scenario"),
    ):
        kept = changed.read_text()
        changed.write_text(other)
        refused(folder, 7, f"changed since the run began: {name}")
        changed.write_text(kept)
    scenario = folder / "scenario.toml"
    whole = scenario.read_bytes()
    for rest in (b"", whole[: len(whole) // 2], whole.replace(b"rounds", b"round")):
        scenario.write_bytes(rest)
        refused(folder, 7, "changed since the run began: scenario")
    scenario.write_bytes(whole)
    identity = folder / "nodes" / "party-0.pem"
    whole = identity.read_bytes()
    for rest in (b"", whole[: len(whole) // 2]):
        identity.write_bytes(rest)
        refused(folder, 7, "nodes/party-0.pem: is damaged")
    identity.write_bytes(whole)
    snapshot = folder / "snapshot.bin"
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(folder, 7, "is damaged")
    snapshot.write_bytes(whole)
    lost = tmp_path / "lost"
    for part, said in (
        ("nodes/party-0.pem", "was lost, and others know party-0 by it"),
        ("nodes/server", "was lost: "),
        ("nodes", "was lost: "),
    ):
        (folder / part).rename(lost)
        refused(folder, 7, said)
        lost.rename(folder / part)
    # The launch's record is held against the first node's, and made from it at the end.
    records = folder / "nodes" / "server" / "rounds.jsonl"
    whole = records.read_bytes()
    records.write_bytes(b"")
    refused(folder, 7, "lacks round 1")
    records.write_bytes(whole)
    heard = (folder / "rounds.jsonl").read_bytes()
    altered = heard.replace(b'"bytes_sent":', b'"bytes_sent":1', 1)
    assert altered != heard
    (folder / "rounds.jsonl").write_bytes(altered)
    assert run(["launch", "--resume", str(folder)]) == 0, capsys.readouterr().err
    assert load_run(folder).rounds == load_run(folder / "nodes" / "server").rounds
    assert load_run(folder).summary.status == "finished"
    capsys.readouterr()
    refused(folder, 2, "its status is finished")


LEDGER = """
name = "ledger"
seed = 3

[task]
kind = "classification"
data = "breast_cancer"
model = "logistic"

[training]
rounds = 2
learning_rate = 0.1

[protocol]
name = "biscotti"
verifiers = 1
faults = "crash"
quorum = 2
aggregation = {{ rule = "trimmed_mean", byzantine = 0 }}
sampled = 0.34
{privacy}

[parties]
count = 6
"""
PLAIN = '[privacy]\nmask = "none"\n'
MASKED = "[privacy]\nnoisers = 1\nslots = 3\nmask = { kind = 'gaussian', sigma = 0.01 }\n"

KILLED = """
import os, signal, sys
place = sys.argv.pop(1)

def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith(place):
        os.kill(os.getpid(), signal.SIGKILL)

from troth.cli import main
sys.addaudithook(watch)
main()
"""
"""The command line, which is killed when it is about to write a file of this name."""


def killed_before_nodes_start(file: Path, folder: Path) -> None:
    """A launch that has made all that its nodes need, and started none of them."""
    place = folder / "nodes" / ".peers.toml"
    command = [sys.executable, "-c", KILLED, str(place), "launch", str(file), "--into", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("privacy", [PLAIN, MASKED], ids=["plain", "masked"])
def test_a_launch_of_peers_is_refused_whose_secrets_are_not_what_they_were(
    privacy: str, tmp_path: Path, refused: Refused
) -> None:
    file, folder = tmp_path / "ledger.toml", tmp_path / "launched"
    file.write_text(LEDGER.format(privacy=privacy))
    killed_before_nodes_start(file, folder)
    secret = folder / "nodes" / "party-2.secret"
    whole = secret.read_bytes()
    for other in (b"", whole[:16], whole + b"\n", bytes([whole[0] ^ 1]) + whole[1:]):
        secret.write_bytes(other)
        refused(folder, 7, "nodes/party-2.secret: is damaged")
    secret.unlink()
    refused(folder, 7, "nodes/party-2.secret: was lost, and the genesis names party-2 by it")
    noise = secret.with_name("party-2.secret.noise")
    assert noise.exists() == (privacy == MASKED)
    if privacy == PLAIN:
        return
    made = noise.read_bytes()
    noise.unlink()
    refused(folder, 7, "nodes/party-2.secret: was lost, and the genesis names party-2 by it")
    secret.touch(mode=0o600)
    secret.write_bytes(whole)
    noise.write_bytes(made[:-1] + bytes([made[-1] ^ 1]))
    refused(folder, 7, "nodes/party-2.secret.noise: is damaged")


def test_a_simulated_run_is_no_launch(small_file: Path, tmp_path: Path, refused: Refused) -> None:
    folder = troth.simulate(small_file, into=tmp_path / "run", progress=False).folder
    assert folder is not None
    refused(folder, 2, "is the folder of a simulated run")


@pytest.mark.parametrize("number", [errno.EISDIR, errno.EPERM, errno.EIO])
def test_what_the_system_refuses_in_a_folder_is_no_bug(number: int) -> None:
    failure = failure_of(OSError(number, os.strerror(number), "nodes/server.log"))
    assert failure.exit_code == 2
    assert failure.message.startswith("nodes/server.log: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is nothing to launch"),
        (["a.toml", "--resume", "b"], "takes no FILE"),
        (["--resume", "b", "--set", "seed=1"], "--set does not go with --resume"),
        (["--resume", "b", "--into", "c"], "--into does not go with --resume"),
        (["--resume", "b", "--tor"], "--tor does not go with --resume"),
        (["--resume", "absent"], "absent does not exist"),
    ],
)
def test_command_lines_of_no_launch(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["launch", *arguments]) == 2
    assert said in capsys.readouterr().err
