"""`troth.simulate`: a scenario in, a result out; and the folder a run leaves, if it is to leave
one."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec

from troth.charter.arguments import overrides_of, path_of, shown
from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario, load_scenario, load_text
from troth.charter.scenario import Scenario
from troth.charter.writing import scenario_text
from troth.data.root import data_root
from troth.errors import RoundFailedError, UsageError, VerificationError, charter_errors_in
from troth.ids import Bytes, NodeId, SimulatedSeconds
from troth.learning.device import repeatable
from troth.learning.requests import Evaluate, EvaluateParties
from troth.protocols.lookup import protocol_of
from troth.records import Metrics, RoundRecord, Status, Summary
from troth.report.atomic import locked
from troth.report.folder import PARAMS, SNAPSHOT, RunFolder, digest_of_rounds
from troth.report.privacy import simulated_privacy_record
from troth.report.progress import Display, QuietProgress, live_progress
from troth.report.read import SCENARIO
from troth.runs.collecting import collecting_rarely
from troth.runs.life import Life, Models, write_outcome
from troth.runs.nothing import check_trained
from troth.runs.origin import Origin, origin_of
from troth.runs.recorder import Recorder
from troth.runs.summary import (
    mean_metrics,
    party_record,
    peak_rss_bytes,
    summary_of,
    traffic_of,
    with_rounds,
)
from troth.wire import Float32s
from troth.worlds.simulated import snapshot
from troth.worlds.simulated.runtime import Runtime
from troth.worlds.simulated.stage import Stage, make_world, prepare
from troth.worlds.simulated.world import SimulatedWorld
from troth.worlds.states import decode_state

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SNAPSHOT_EVERY_S = 10.0
"""Measured seconds between two snapshots of a run that leaves a folder."""


@dataclass(frozen=True)
class Result:
    """What came of a run.

    `parameters` is the final model, shape (D,); None where every party ends
    with its own, in `models`.
    """

    summary: Summary
    rounds: list[RoundRecord]
    scenario_text: str
    parameters: Float32s | None
    models: dict[NodeId, Float32s] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def final(self) -> Metrics | None:
        """The final model on the test set; where each party has its own, the mean over all."""
        return self.summary.final

    @property
    def final_models(self) -> Models:
        """As a folder keeps them: the model under the name `params`, or each party's."""
        return self.models if self.parameters is None else {PARAMS: self.parameters}

    def to_json(self) -> str:
        """Summary and rounds as one JSON object."""
        return msgspec.json.encode({"summary": self.summary, "rounds": self.rounds}).decode()

    def plot(self, metric: str = "error") -> Figure:
        """`metric` ("error", "loss", "attack_rate", "bytes_sent") against the round."""
        from troth.report.plots import plot
        from troth.report.read import Run

        if not isinstance(metric, str):
            raise UsageError(
                f"metric = {shown(metric)} is not a text", hint='give "error" or "loss", say'
            )
        path = self.folder or Path(self.summary.name)
        return plot(
            Run(
                path=path,
                scenario_text=self.scenario_text,
                summary=self.summary,
                rounds=tuple(self.rounds),
            ),
            metric,
        )

    def save(self, folder: Path | str) -> Path:
        """Write the run's folder, report included; where it is (a taken name gets a number)."""
        from troth.report.page import write_report

        run = RunFolder.create(path_of(folder, "folder"), self.scenario_text, self.summary)
        for record in self.rounds:
            run.append_round(record)
        write_outcome(run, self.summary, self.final_models)
        write_report([run.path])
        return run.path


def simulate(
    scenario: Path | str | Scenario | LoadedScenario,
    *,
    into: Path | str | None = None,
    progress: Display | bool = True,
    **overrides: Any,
) -> Result:
    """Run a scenario in a simulated world.

    Args:
      scenario: a TOML file, or a scenario already loaded or built in Python.
      into: folder for the run; it can then be resumed if it is killed. A taken name gets a number.
      progress: True shows one line per round on standard error, False nothing.
      overrides: keys of the scenario with `__` for a dot: `training__rounds=5`.

    Raises:
      LocalError: the scenario is wrong (`CharterError`, `DataError`), or the run failed
        (`RoundFailedError`), which it has also if no update was ever accepted.

    Example:
      >>> import troth
      >>> result = troth.simulate("scenario.toml", training__rounds=5)  # doctest: +SKIP
      >>> result.final.error  # doctest: +SKIP
      0.0812
    """
    loaded = _load(scenario, overrides_of(overrides))
    folder = None if into is None else path_of(into, "into")
    return _Run(loaded, _display(progress), folder).start()


def resume(folder: Path | str, *, progress: Display | bool = True) -> Result:
    """Go on with a run that was killed or interrupted, to the same final model.

    Raises:
      UsageError: there is no run in `folder`, or it has finished.
      VerificationError: its snapshot does not belong to its scenario.
    """
    path = path_of(folder, "folder")
    _unfinished(path)  # Nothing is written into the folder of a run that cannot be gone on with.
    with locked(path):
        # Another process may have finished the run before this one got the lock.
        run = _unfinished(path)
        saved = _saved_in(run)
        saved.origin.check_scenario(run.scenario_text(), path)
        loaded = load_scenario(run.path / SCENARIO, base=Path(os.fsdecode(saved.base)))
        return _Run(loaded, _display(progress), run.path).resume(run, saved)


def _unfinished(folder: Path) -> RunFolder:
    run = RunFolder.open(folder)
    if run.summary().world == "real":
        raise UsageError(
            f"{folder}: is the folder of a real run",
            hint=f"go on with a launch by: troth launch --resume {shlex.quote(str(folder))}",
        )
    status = run.summary().status
    if status == "finished" or not (folder / SNAPSHOT).exists():
        raise UsageError(
            f"{folder}: there is nothing to resume, its status is {status}",
            hint="run its scenario.toml again with: troth simulate",
        )
    return run


def _saved_in(run: RunFolder) -> _Saved:
    data = run.read_snapshot()
    try:
        return msgspec.msgpack.decode(data, type=_Saved)
    except msgspec.MsgspecError as error:
        raise VerificationError(f"{run.path}: the snapshot cannot be read: {error}") from None


class _Saved(msgspec.Struct):
    """What `snapshot.bin` holds: where the scenario came from, and the world if it had begun."""

    base: bytes
    """The folder that the scenario's files are looked up in, as the system encodes names: they
    need not be UTF-8."""
    origin: Origin
    world: bytes | None
    rounds: str
    """SHA-256 of the records of the rounds up to there."""


def _display(progress: Display | bool) -> Display:
    if isinstance(progress, bool):
        return live_progress() if progress else QuietProgress()
    if not hasattr(progress, "start"):
        raise UsageError(
            f"progress = {shown(progress)} is neither True, False nor a display",
            hint="True shows one line per round, False nothing",
        )
    return progress


def _load(scenario: Path | str | Scenario | LoadedScenario, overrides: list[str]) -> LoadedScenario:
    if isinstance(scenario, LoadedScenario) and not overrides:
        return scenario
    if isinstance(scenario, LoadedScenario):
        raise UsageError(
            "overrides do not go with a scenario that is loaded already",
            hint="give them to troth.charter.load_scenario",
        )
    if isinstance(scenario, Scenario):
        text = scenario_text(scenario)
        return load_text(text, path=Path("(scenario)"), base=Path.cwd(), overrides=overrides)
    return load_scenario(path_of(scenario, "scenario"), overrides=overrides)


class _Run:
    """One run, from its scenario to its result."""

    def __init__(self, loaded: LoadedScenario, progress: Display, into: Path | None) -> None:
        self._loaded = loaded
        self._scenario = loaded.scenario
        self._progress = progress
        self._into = into
        self._folder: RunFolder | None = None
        self._interrupted = False
        self._snapshot_due_s = time.monotonic() + SNAPSHOT_EVERY_S

    def start(self) -> Result:
        """Run from the beginning."""
        return self._go(lambda world, _: world.start())

    def resume(self, folder: RunFolder, saved: _Saved) -> Result:
        """Go on from a snapshot; from the beginning if none was taken before the end came."""
        self._folder, data = folder, saved.world

        def restore(world: SimulatedWorld, recorder: Recorder) -> None:
            self._origin.check(saved.origin, folder.path)
            if data is None:
                folder.truncate_rounds(0)
                world.start()
                return
            state = snapshot.restore(world, data, scenario_digest=self._digest())
            until = recorder.restore(state)
            rounds = [record for record in folder.rounds() if record.round <= until]
            if digest_of_rounds(rounds).hex() != saved.rounds:
                raise VerificationError(
                    f"{folder.path}: the rounds up to {until} are not those that were recorded",
                    hint="restore the whole folder from a copy, or run its scenario.toml again",
                )
            folder.truncate_rounds(until)
            recorder.rounds = rounds

        return self._go(restore)

    def _digest(self) -> str:
        return f"{charter_digest(self._scenario.charter)}/{msgspec.json.encode(self._scenario)!r}"

    def _go(self, begin: Callable[[SimulatedWorld, Recorder], None]) -> Result:
        with charter_errors_in(self._loaded.path):
            stage = prepare(self._scenario, base=self._loaded.base, root=data_root())
        scenario = self._scenario
        if self._folder is not None or self._into is not None:
            self._origin = origin_of(self._loaded.text, stage.bench, self._loaded.base)
        recorder = Recorder(
            scenario,
            stage.engine,
            traffic=lambda: (sum(world.traffic.values()), sum(world.traffic_bytes.values())),
            on_round=lambda record: life.round(record),
            target=stage.target,
            reporting=len(stage.cast.leading) if stage.cast.own_models else 1,
        )
        world = make_world(stage, recorder, checkpoint=lambda: self._checkpoint(world, recorder))
        summary = partial(_summary, stage, world, recorder)
        with ExitStack() as opened:
            opened.callback(stage.engine.close)
            begin(world, recorder)
            if self._folder is None and self._into is not None:
                self._folder = RunFolder.create(
                    self._into,
                    self._loaded.text,
                    summary("running"),
                    snapshot=self._saved(None, []),
                    base=self._loaded.base,
                )
                opened.enter_context(locked(self._folder.path))
            life = Life(summary, self._progress, self._folder)
            with life.running(), repeatable(stage.bench.device):
                with self._interrupts(world), collecting_rarely():
                    world.run()
                recorder.close()
                result = self._result(stage, world, recorder, summary("finished"))
                if self._folder is not None:
                    self._leave(self._folder.path, stage, world)
                check_trained(recorder.rounds, result.final_models.values(), stage.initial_D)
                life.finish(result.summary, result.final_models)
                return result

    def _leave(self, folder: Path, stage: Stage, world: SimulatedWorld) -> None:
        """Write what a run of this protocol leaves besides the usual files."""
        protocol = protocol_of(self._scenario.charter.protocol)
        if protocol.operation.leaves is not None:
            store = world.nodes[stage.cast.leading[0]].store
            protocol.find(protocol.operation.leaves)(folder, stage, store)

    @contextmanager
    def _interrupts(self, world: SimulatedWorld) -> Iterator[None]:
        """Within this context the first interrupt takes effect when a snapshot can be taken, which
        is soon; the second at once."""
        usual = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if self._folder is None or not main or usual is not signal.default_int_handler:
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                signal.default_int_handler(number, frame)
            self._interrupted = True
            world.checkpoint_soon()

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)
        if self._interrupted:
            # It came after the last moment for a snapshot; all that is left is to write the end.
            raise KeyboardInterrupt

    def _checkpoint(self, world: SimulatedWorld, recorder: Recorder) -> None:
        due = self._interrupted or time.monotonic() >= self._snapshot_due_s
        if self._folder is None or not due:
            return
        taken = snapshot.take(world, scenario_digest=self._digest(), observer=recorder.state())
        self._folder.write_snapshot(self._saved(taken, recorder.rounds))
        self._snapshot_due_s = time.monotonic() + SNAPSHOT_EVERY_S
        if self._interrupted:
            raise KeyboardInterrupt

    def _saved(self, world: bytes | None, rounds: Sequence[RoundRecord]) -> bytes:
        base = os.fsencode(self._loaded.base.resolve())
        return msgspec.msgpack.encode(
            _Saved(base, self._origin, world, digest_of_rounds(rounds).hex())
        )

    def _result(
        self, stage: Stage, world: SimulatedWorld, recorder: Recorder, summary: Summary
    ) -> Result:
        models: dict[NodeId, Float32s] = {}
        for id in stage.cast.leading if stage.cast.own_models else stage.cast.leading[:1]:
            result = world.nodes[id].result
            assert result is not None
            models[id] = result
        parameters = None if stage.cast.own_models else models.pop(stage.cast.leading[0])
        summary = _measure(summary, stage, parameters, models)
        if summary.final is None:
            raise RoundFailedError("no model came of this run")
        return Result(
            summary=summary,
            rounds=recorder.rounds,
            scenario_text=self._loaded.text,
            parameters=parameters,
            models=models,
            folder=None if self._folder is None else self._folder.path,
        )


def _summary(stage: Stage, world: SimulatedWorld, recorder: Recorder, status: Status) -> Summary:
    scenario, parties, privacies = stage.scenario, [], []
    for party in stage.parties:
        # A party without a role of its own has no node.
        node = world.nodes.get(party)
        account = protocol_of(scenario.charter.protocol).account_of(
            scenario.charter.charter_tables,
            party,
            stage.privacy.get(party),
            partial(_saved_state, node),
            stage.bench.model.dimension,
        )
        privacies.append(account.privacy)
        attack = stage.attackers.get(party)
        parties.append(
            party_record(
                party,
                len(stage.bench.rows_of[party]),
                sent=node.sent if node else {},
                bytes_received=node.bytes_received if node else 0,
                account=account,
                attacker=None if attack is None else str(attack.__struct_config__.tag),
                work=dict(sorted((node.work if node else {}).items())),
                work_s=dict(sorted((node.work_s if node else {}).items())),
            )
        )
    sent = {name: (n, world.traffic_bytes[name]) for name, n in world.traffic.items()}
    summary = summary_of(
        scenario,
        status,
        "simulated",
        dimension=stage.bench.model.dimension,
        engine=stage.engine.name,
        device=stage.device,
        notes=list(stage.notes),
        peak_rss_bytes=peak_rss_bytes(),
        trace_digest=world.trace_digest(),
        parties=parties,
        traffic=traffic_of(sent),
        bytes_sent=Bytes(sum(world.traffic_bytes.values())),
        simulated_s=SimulatedSeconds(max(world.nodes[id].clock_s for id in stage.cast.leading)),
        measured_s=recorder.measured_s,
        cost_model=str(scenario.cost.__struct_config__.tag),
        privacy=simulated_privacy_record(privacies),
    )
    return with_rounds(summary, recorder.rounds)


def _saved_state(node: Runtime | None, type_: type[Any]) -> Any:
    return None if node is None or node.durable is None else decode_state(type_, node.durable)


def _measure(
    summary: Summary,
    stage: Stage,
    parameters: Float32s | None,
    models: dict[NodeId, Float32s],
) -> Summary:
    """The summary with the final models' metrics, on the test set and on every party's own rows."""
    source, target = stage.target or (None, None)
    if parameters is not None:
        tests: list[Metrics] = stage.engine.run([Evaluate(parameters, None, source, target)])
        (owns,) = stage.engine.run([EvaluateParties(parameters, stage.parties, source, target)])
        parties = [
            msgspec.structs.replace(party, own=own)
            for party, own in zip(summary.parties, owns.metrics, strict=True)
        ]
    else:
        nodes = [party.party for party in summary.parties]
        tests = stage.engine.run([Evaluate(models[id], None, source, target) for id in nodes])
        own = stage.engine.run([Evaluate(models[id], id, source, target) for id in nodes])
        parties = [
            msgspec.structs.replace(party, own=own[i], test=tests[i])
            for i, party in enumerate(summary.parties)
        ]
    return msgspec.structs.replace(summary, final=mean_metrics(tests), parties=parties)
