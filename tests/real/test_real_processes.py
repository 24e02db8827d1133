"""Nodes as processes of their own, by the command line: launched, killed, started again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from node_processes import Node, ended, model

import troth
from troth.crypto.identity import Identity
from troth.ids import NodeId
from troth.report.read import load_run
from troth.worlds.real.peers import peers_text

ROUNDS = 8
NAMES = ("server", "party-0", "party-1", "party-2", "party-3")


def make_identities(folder: Path) -> None:
    public = {}
    for name in NAMES:
        identity = Identity.create()
        identity.save(folder / f"{name}.pem")
        public[NodeId(name)] = identity.public
    (folder / "peers.toml").write_text(peers_text(public))


@pytest.mark.slow
def test_processes_that_are_killed_come_to_the_model_of_the_simulation(
    small_file: Path, tmp_path: Path
) -> None:
    make_identities(tmp_path)
    nodes = {"server": Node(small_file, tmp_path, "server", "--listen", "127.0.0.1:0")}
    with ended(nodes):
        url = str(nodes["server"].event("listening"))
        for name in NAMES[1:]:
            nodes[name] = Node(small_file, tmp_path, name, "--connect", url)
        nodes["server"].event("round")
        nodes["party-1"].kill()
        nodes["party-1"] = Node(small_file, tmp_path, "party-1", "--connect", url)
        nodes["server"].event("round")
        nodes["server"].kill()
        where = url.removeprefix("https://")
        nodes["server"] = Node(small_file, tmp_path, "server", "--listen", where)
        for node in nodes.values():
            node.end()
    simulated = troth.simulate(small_file, progress=False)
    for name in NAMES:
        np.testing.assert_allclose(model(tmp_path / name), simulated.parameters, atol=1e-6, rtol=0)
    run = load_run(tmp_path / "server")
    assert run.summary.status == "finished"
    assert not [note for note in run.summary.notes if "did not fetch" in note]
    assert [record.round for record in run.rounds] == list(range(1, ROUNDS + 1))
    for record in run.rounds:
        # Whose update was applied, and that none was twice.
        assert record.accepted == list(NAMES[1:])
        assert record.rejected == []
    assert [party.accepted for party in run.summary.parties] == [ROUNDS] * 4
    assert load_run(tmp_path / "party-1").summary.parties[0].examples == 60


LAUNCH = """
import asyncio, os, sys
pids = []
start = asyncio.create_subprocess_exec
async def noted(*command, **options):
    process = await start(*command, **options)
    print(process.pid, flush=True)
    return process
asyncio.create_subprocess_exec = noted
from troth.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_launch_that_is_stopped_leaves_no_node_behind(
    small_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "launched"
    command = [sys.executable, "-c", LAUNCH, "launch", str(small_file), "--into", str(folder)]
    launch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out: IO[str] | None = launch.stdout
        assert out is not None
        watched = [os.pidfd_open(int(out.readline())) for _ in range(2)]
        os.kill(launch.pid, number)
        _, errors = launch.communicate(timeout=30)
        for node in watched:
            # Readable once the process has ended, and no earlier.
            assert wait_for_end(node)
            os.close(node)
    finally:
        launch.kill()
        launch.communicate()
    if number is signal.SIGINT:
        assert launch.returncode == 130, errors
        assert "Traceback" not in errors
        assert load_run(folder).summary.status == "interrupted"


def wait_for_end(pidfd: int) -> bool:
    readable, _, _ = select.select([pidfd], [], [], 30.0)
    return bool(readable)
