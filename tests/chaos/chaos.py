"""Runs of real nodes in which things go wrong, and what has to hold all the same: `make chaos`.

A seed says what goes wrong (`schedule`): nodes are killed, stopped, frozen and started twice, and
files of their folders damaged or lost. Whatever it is,

- every process ends, with exit code 0 and the right model, or with a documented exit code and a
  sentence on standard error;
- while some still run, no more than the time to give up passes, and `MORE_S`, in which none of them
  says anything or ends; a broker that nobody comes to any more says what it waits for;
- where nothing was damaged and whoever was away was soon back, all end with exit code 0.

The right model is that of the simulation where there is a coordinator. In a mesh it is the same
model for all.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "simulation"))

from conformance import Case
from conformance_cases import CASES, FOREIGN
from deployments import DEPLOYMENTS, Deployment
from forked import NodeProcess
from schedule import Fault, Schedule, draw

import troth
from troth.charter.loading import load_scenario
from troth.cli.failure import INTERRUPTED
from troth.errors import ExitCode, LocalError
from troth.ids import NodeId, party_id
from troth.report.folder import RunFolder
from troth.report.read import load_run
from troth.worlds.real.limits import Limits

ROUNDS = 6

PHASE_S = 1.5
"""How long a round waits at least, in protocols that do not wait for everybody."""
PHASES = 10
"""No round waits so often."""

SLACK_S = 30.0
"""For what a busy machine takes."""
MORE_S = max(Limits().linger_s, PHASES * PHASE_S) + SLACK_S
"""For so long, beyond the time to give up, nobody may say anything. A node that has done its part
stays for others to fetch it; a round that misses somebody waits for each of its phases."""

WAITS = 4
"""How often somebody has to say that all wait, with nothing else said between, before the run is
stopped."""

DOCUMENTED = {int(code) for code in ExitCode} - {int(ExitCode.OK)}

CHAOTIC = {name: case for name, case in CASES.items() if case.record.real_nodes}
"""The cases of all protocols that have real nodes."""

LAST = 6
"""How many lines of each node's standard error a failure shows."""


class Broken(AssertionError):
    """A promise was broken."""


@dataclass
class Run:
    """One run and what goes wrong in it."""

    deployment: Deployment
    schedule: Schedule
    path: tuple[str, ...] = ()
    nodes: dict[NodeId, NodeProcess] = field(default_factory=dict)
    """The last start of each node."""
    story: list[str] = field(default_factory=list)
    """What was done and seen, in order."""

    def __post_init__(self) -> None:
        self._began_s = self._heard_s = time.monotonic()
        self._living: list[NodeProcess] = []
        self._then: dict[NodeProcess, Callable[[], None]] = {}
        """What is done when a process has ended that was told to end."""
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._faults = list(self.schedule.faults)
        self._round = 0
        self._started: list[NodeProcess] = []
        self._waiting = 0

    @property
    def lasted_s(self) -> float:
        """From its beginning to what was heard last."""
        return self._heard_s - self._began_s

    # ---------------------------------------------------------------- the run

    def play(self) -> dict[NodeId, int]:
        """Run all nodes to their ends; their exit codes.

        Raises:
          Broken: one ended as it may not, or nobody said anything for too long.
        """
        try:
            for name in self.deployment.names:
                while not self.deployment.ready(name):
                    self._step()
                self._start(name)
            while self._living or self._due:
                self._break_what_is_due()
                self._step()
                self._stop_who_waits()
            return {name: self._code(process) for name, process in self.nodes.items()}
        finally:
            for process in self._started:
                process.end()

    def _stop_who_waits(self) -> None:
        """Stop a run in which somebody has said often enough that all wait for one who does not
        come, as whoever runs it would."""
        if self._waiting < WAITS or self._due:
            return
        self._waiting = 0
        for process in self._living:
            if process not in self._then:
                self._then[process] = lambda: None
                process.signal(signal.SIGTERM)

    def _step(self) -> None:
        """Wait for the next thing to be heard or to be done."""
        if not self._living and not self._due:
            raise Broken("all nodes that were started have ended before the others could be")
        now_s = time.monotonic()
        silent_s = now_s - self._heard_s
        bound_s = self.schedule.give_up_s + MORE_S
        if silent_s > bound_s:
            raise Broken(
                f"nobody has said anything for {silent_s:.0f} s, and these still run: "
                + ", ".join(process.name for process in self._living)
            )
        ends_s = min([self._heard_s + bound_s + 0.1, *(when for when, _ in self._due)])
        pipes = {process.pipe: process for process in self._living}
        for pipe in wait([*pipes], max(0.0, ends_s - now_s)):
            self._hear(pipes[pipe])
        for due in [due for due in self._due if due[0] <= time.monotonic()]:
            self._due.remove(due)
            due[1]()
            self._heard_s = time.monotonic()

    def _hear(self, process: NodeProcess) -> None:
        self._heard_s = time.monotonic()
        events = process.read()
        for event in events:
            self.deployment.said(process.name, event)
            if "round" in event:
                self._round = max(self._round, event["round"]["round"])
            self._tell(f"{process.name} says {_shown(event)}")
            waits = event.get("message", "").startswith("nothing new")
            self._waiting = self._waiting + 1 if waits else 0
        if process.code is None:
            return
        self._living.remove(process)
        self._waiting = 0
        self._tell(f"{process.name} ends with {process.code}")
        then = self._then.pop(process, None)
        self._tell(f"    {said_at_end(process.code, process.said(), told=then is not None)}")
        if then is not None:
            then()

    def _tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self._began_s:7.2f} s  {what}")

    def _start(self, name: NodeId, *, label: str = "", into: str | None = None) -> None:
        words = self.deployment.words(name, self.deployment.folder / (into or name))
        log = self.deployment.folder / f"{name}{label}.log"
        process = NodeProcess(f"{name}{label}", words, log, self.path)
        self._started.append(process)
        self._living.append(process)
        if not label:
            self.nodes[name] = process
        self._heard_s = time.monotonic()
        self._tell(f"{process.name} is started")

    # ---------------------------------------------------------------- faults

    def _break_what_is_due(self) -> None:
        while self._faults and self._faults[0].after <= self._round:
            fault = self._faults.pop(0)
            process = self.nodes[NodeId(fault.node)]
            if process not in self._living or process in self._then or process.frozen:
                self._tell(f"{fault.kind} {fault.node}: it is not there")
                continue
            self._tell(f"{fault.kind} {fault.node}")
            self._break(fault, process)

    def _break(self, fault: Fault, process: NodeProcess) -> None:
        name = NodeId(fault.node)
        if fault.kind == "double":
            self._start(name, label=" again")
        elif fault.kind == "twin":
            self._start(name, label=" elsewhere", into=f"{name}.twin")
        elif fault.kind == "freeze":
            process.frozen = True
            process.signal(signal.SIGSTOP)

            def thaw() -> None:
                process.frozen = False
                process.signal(signal.SIGCONT)
                self._tell(f"{name} goes on")

            self._later(fault, thaw)
        else:

            def away() -> None:
                self._damage(fault, self.deployment.folder / name)
                self._later(fault, lambda: self._start(name))

            self._then[process] = away
            process.signal(signal.SIGTERM if fault.kind == "terminate" else signal.SIGKILL)

    def _later(self, fault: Fault, do: Callable[[], None]) -> None:
        self._due.append((time.monotonic() + fault.pause_s, do))

    def _damage(self, fault: Fault, folder: Path) -> None:
        if fault.kind in ("kill", "terminate"):
            return
        if fault.kind == "lose":
            shutil.rmtree(folder, ignore_errors=True)
            return
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        if not files:
            self._tell("there is no file yet")
            return
        file = files[int(fault.which * len(files))]
        data = bytearray(file.read_bytes())
        place = int(fault.where * len(data))
        if fault.kind == "delete":
            file.unlink()
        elif fault.kind == "truncate":
            file.write_bytes(data[:place])
        elif data:
            data[place] ^= 1 << int(fault.where * 8 * len(data)) % 8
            file.write_bytes(data)
        self._tell(f"{file.relative_to(folder)}, byte {place} of {len(data)}")

    @staticmethod
    def _code(process: NodeProcess) -> int:
        assert process.code is not None
        return process.code

    def told(self) -> str:
        """All there is to say where something was broken."""
        lines = ["what goes wrong:", *(f"  {fault}" for fault in self.schedule.faults)]
        lines += ["what happened:", *(f"  {line}" for line in self.story)]
        for log in sorted(self.deployment.folder.glob("*.log")):
            last = log.read_text(errors="replace").splitlines()[-LAST:]
            lines += [f"{log.stem} said:", *(f"  {line[:300]}" for line in last)]
        return "\n".join(lines)


def _shown(event: dict[str, Any]) -> str:
    (kind,) = event
    return {"round": lambda what: f"round {what['round']}", "summary": lambda _: "its summary"}.get(
        kind, lambda what: f"{kind}: {what}"
    )(event[kind])


# ---------------------------------------------------------------- what has to hold


def said_at_end(code: int, said: str, *, told: bool) -> str:
    """The sentence with which a process has ended; none is needed of one that has done its part.

    Args:
      said: what stands on its standard error.
      told: it was killed or told to stop.

    Raises:
      Broken: its exit code is not documented, or it does not say why it ends.
    """
    if code == ExitCode.OK or (told and code == -signal.SIGKILL):
        return "as it should"
    if code not in DOCUMENTED and not (told and code == INTERRUPTED):
        raise Broken(f"a node ends with {code}, which is not documented")
    errors = [line for line in said.splitlines() if line.startswith('{"error"')]
    if len(errors) != 1 or not json.loads(errors[0])["error"] or "Traceback" in said:
        raise Broken(f"a node ends with {code} and does not say why")
    return str(json.loads(errors[0])["error"])


def check_models(models: Mapping[NodeId, np.ndarray], expected: np.ndarray | None) -> None:
    """All nodes that have ended well have one model, and that is the expected one.

    Raises:
      Broken: one has another.
    """
    for name, model in models.items():
        if not np.isfinite(model).all():
            raise Broken(f"{name} ended well, with a model that is not finite")
        if expected is not None and not np.allclose(model, expected, atol=1e-6, rtol=0):
            raise Broken(f"{name} ended well, with another model than the simulation")
        if not np.array_equal(model, next(iter(models.values()))):
            raise Broken(f"{name} ended well, with another model than {next(iter(models))}")


def play(name: str, seed: int, folder: Path, *, verbose: bool = False) -> str:
    """Play the run of the protocol `name` that follows from a seed; what came of it, in a line.

    Raises:
      Broken: something did not hold, with all there is to know of it.
    """
    case = CHAOTIC[name]
    scenario = _scenario(case, folder)
    count = load_scenario(scenario).scenario.parties.count
    names = (*case.record.coordinators, *(party_id(i, count) for i in range(count)))
    schedule = draw(seed, names, ROUNDS)
    kind = DEPLOYMENTS[case.record.topology]
    run = Run(kind(case.record, scenario, folder, schedule.give_up_s), schedule, (str(FOREIGN),))
    try:
        codes = run.play()
        _check_outcome(run, codes, _expected(name))
    except (AssertionError, LocalError) as error:
        raise Broken(f"{name}, seed {seed}: {error}\n{run.told()}") from error
    faults = ", ".join(fault.kind for fault in run.schedule.faults)
    if verbose:
        print(run.told())
    came = " ".join(map(str, codes.values()))
    return f"{name}, seed {seed}: {faults}: {came} after {run.lasted_s:.0f} s"


def _scenario(case: Case, folder: Path) -> Path:
    setup = case.launched
    assert setup is not None
    setup = replace(setup, rounds=ROUNDS)
    waits = case.record.waits(_parameters(case, folder), setup.parties)
    if waits is not None and waits.seconds is not None:
        text, count = re.subn(rf"{waits.key} = [0-9.]+", f"{waits.key} = {PHASE_S}", setup.protocol)
        assert count == 1
        setup = replace(setup, protocol=text)
    return setup.write(folder, case.name)


def _parameters(case: Case, folder: Path) -> Any:
    """The `[protocol]` table of the case's scenario."""
    assert case.launched is not None
    return load_scenario(case.launched.write(folder, case.name)).scenario.charter.protocol


@cache
def _expected(name: str) -> np.ndarray | None:
    """The model of a simulation; None in a mesh, where it follows from what comes in time."""
    case = CHAOTIC[name]
    if case.record.topology == "mesh":
        return None
    with tempfile.TemporaryDirectory() as folder:
        return troth.simulate(_scenario(case, Path(folder)), progress=False).parameters


def _check_outcome(run: Run, codes: dict[NodeId, int], expected: np.ndarray | None) -> None:
    failed = {name: code for name, code in codes.items() if code}
    if run.schedule.gentle and failed:
        raise Broken(f"nothing was damaged, and these have failed: {failed}")
    record = run.deployment.record
    # Strangers are counted as they come: who has lost its folder is somebody else, and the others
    # train with whoever there is.
    known = record.topology != "brokered" or run.schedule.gentle
    models = {}
    for name in codes.keys() - failed.keys():
        left = load_run(run.deployment.folder / name)
        if left.summary.status != "finished":
            raise Broken(f"{name} ended well, and its summary says {left.summary.status}")
        rounds = [each.round for each in left.rounds]
        if rounds and rounds != [*range(1, ROUNDS + 1)]:
            raise Broken(f"{name} ended well, and tells of rounds {rounds}")
        if (run.deployment.folder / name / "model.safetensors").is_file():
            models[name] = RunFolder(run.deployment.folder / name).read_model()[0]["params"]
    check_models(models, expected if known else None)


def main() -> int:
    """Play runs of all protocols with fresh seeds until the time is up, or those of one seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, help="play the runs of this seed, once")
    parser.add_argument("--protocol", choices=[*CHAOTIC], help="of this protocol only")
    parser.add_argument("--verbose", action="store_true", help="tell what happened in each run")
    given = parser.parse_args()
    names = [*CHAOTIC] if given.protocol is None else [given.protocol]
    ends_s, runs = time.monotonic() + 60 * given.minutes, 0
    while True:
        seed = secrets.randbelow(2**32) if given.seed is None else given.seed
        for name in names:
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                try:
                    print(play(name, seed, Path(folder), verbose=given.verbose), flush=True)
                except Broken as broken:
                    print(broken)
                    print(f"to play this again: make chaos SEED={seed}")
                    return 1
            runs += 1
        if given.seed is not None or time.monotonic() >= ends_s:
            print(f"{runs} runs, and every promise was kept")
            return 0


if __name__ == "__main__":
    sys.exit(main())
