"""What the tests of the command line share."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Troth = Callable[..., "Outcome"]
"""`troth("check", file)` carries out one command line in the working folder."""


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


def write_scenario(folder: Path, extra: str = "", **keys: str) -> Path:
    """Six parties on some of the digits; `keys` replace what stands after a key's `=`."""
    values = {
        "name": '"small"',
        "seed": "1",
        "partition": '"equal"',
        "kind": '"classification"',
        "data": '{ source = "named", name = "digits", rows = 240, test_rows = 100 }',
        "model": '"softmax"',
        "rounds": "3",
        "learning_rate": "0.5",
        "protocol": '"federated"',
        "count": "6",
    } | keys
    path = folder / "small.toml"
    path.write_text(
        """
name = {name}
seed = {seed}
partition = {partition}
protocol = {protocol}

[task]
kind = {kind}
data = {data}
model = {model}

[training]
rounds = {rounds}
learning_rate = {learning_rate}

[parties]
count = {count}

""".format(**values)
        + extra
    )
    return path


STOPPING = """
import os, signal, sys
runs = os.path.join(os.getcwd(), "runs")
stop_at, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
if number != signal.SIGKILL:
    # Whoever runs the tests under nohup, or in the background of a shell, has signals ignored here.
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
count = 0
at_report = 0

def watch(event, arguments):
    global count, at_report
    if event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.truncate"):
        return
    if not isinstance(arguments[0], (str, os.PathLike)):
        return
    if os.path.abspath(arguments[0]).startswith(runs):
        count += 1
        if "report.html" in str(arguments[0]) and not at_report:
            at_report = count
        if count == stop_at:
            os.kill(os.getpid(), number)

import troth.simulation
from troth.cli import main
troth.simulation.SNAPSHOT_EVERY_S = float(sys.argv.pop(1))
sys.addaudithook(watch)
try:
    main()
finally:
    print("the report is operation", at_report, file=sys.stderr)
"""


def stopped_process(
    folder: Path, stop_at: int, number: signal.Signals, *arguments: object, every_s: float = 0.0
) -> subprocess.CompletedProcess[str]:
    """A real `troth` process in `folder` that takes a snapshot at every chance (or every so many
    seconds), and gets signal `number` right before its `stop_at`-th operation on a file
    below runs/."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            STOPPING,
            str(stop_at),
            str(number.value),
            str(every_s),
            *map(str, arguments),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
