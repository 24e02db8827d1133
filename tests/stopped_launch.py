"""A launch that gets a signal while its nodes train."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STOPPED = """
import os, signal, sys
number, folder = int(sys.argv.pop(1)), sys.argv.pop(1)
if number != signal.SIGKILL:
    # Whoever runs the tests under nohup, or in the background of a shell, has signals ignored here.
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
count = 0

def watch(event, arguments):
    global count
    if event == "open" and str(arguments[0]) == os.path.join(folder, "rounds.jsonl"):
        if "a" in str(arguments[1]):
            count += 1
            if count == 2:
                os.kill(os.getpid(), number)

from troth.cli import main
sys.addaudithook(watch)
main()
"""
"""The command line, which gets a signal when it is about to record the second round."""


def stopped_launch(
    file: Path, folder: Path, number: signal.Signals, *, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`troth launch` of a scenario into `folder`, which gets the signal when it is about to record
    the second round. What its nodes have done by then is up to them."""
    command = [sys.executable, "-c", STOPPED, str(number.value), str(folder), "launch", str(file)]
    return subprocess.run(
        [*command, "--into", str(folder)], env=env, capture_output=True, text=True, check=False
    )
