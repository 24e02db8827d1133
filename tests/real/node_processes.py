"""`troth node` in processes, which can be listened to and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from troth.report.folder import RunFolder


class Node:
    """`troth node` in a process."""

    def __init__(self, scenario: Path, folder: Path, name: str, *where: str) -> None:
        arguments = ["node", "--scenario", scenario, "--as", name, "--format", "json", *where]
        arguments += ["--identity", folder / f"{name}.pem", "--peers", folder / "peers.toml"]
        arguments += ["--into", folder / name]
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from troth.cli import main; main()", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def event(self, kind: str) -> object:
        """The next event of a kind; the process has to live to tell it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if kind in event:
                return event[kind]
        raise AssertionError(self.process.communicate()[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL

    def end(self, timeout_s: float = 480) -> None:
        """It has done its part, after at most so long: a busy machine may take minutes."""
        _, errors = self.process.communicate(timeout=timeout_s)
        assert self.process.returncode == 0, errors


@contextmanager
def ended(nodes: dict[str, Node]) -> Iterator[None]:
    try:
        yield
    finally:
        for node in nodes.values():
            node.process.kill()
            node.process.communicate()


def model(folder: Path) -> np.ndarray:
    return RunFolder(folder).read_model()[0]["params"]
