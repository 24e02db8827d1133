"""Worker processes end with the process that leads them, however that ends."""

from __future__ import annotations

import subprocess
import sys

LEADER = """
import os, signal
from dataclasses import dataclass
from functools import partial
from typing import ClassVar
from troth.compute import Compute
from troth.engines.processes import ProcessesEngine

@dataclass(frozen=True)
class Signals(Compute[object, bool]):
    label: ClassVar[str] = "signals"

    def run(self, bench):
        return signal.getsignal(signal.SIGINT) == signal.SIG_IGN

if __name__ == "__main__":
    engine = ProcessesEngine(partial(dict), workers=2)
    print(engine.run([Signals(), Signals()]), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_ignore_ctrl_c_and_do_not_outlive_a_killed_leader(tmp_path):
    script = tmp_path / "leader.py"
    script.write_text(LEADER)
    # The workers hold the pipes too, so reading them ends only when the last worker has ended.
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9
    assert done.stdout.strip() == "[True, True]"
