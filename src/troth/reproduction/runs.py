"""Every variant as a folder, an ordinary run's or a computation's; those that are there already are
not carried out again."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.errors import RoundFailedError
from troth.learning.parallel import use_cores
from troth.report.page import write_report
from troth.report.progress import Display, QuietProgress
from troth.report.read import SUMMARY, Run, load_run
from troth.report.text import duration
from troth.reproduction.computing import VARIANT, Computation, carry_out, load_computed
from troth.simulation import simulate

Work = LoadedScenario | Computation


def finished(into: Path, name: str, work: Work) -> Path | None:
    """The newest run of exactly this scenario that came to its end, or outcome of exactly this
    computation, by this version of troth, below `into`."""
    if isinstance(work, Computation):
        for folder in _newest(into, name, VARIANT):
            if load_computed(folder).call == work.call:
                return folder
        return None
    for folder in _newest(into, name, SUMMARY):
        run = load_run(folder)
        ours = run.summary.troth_version == version("troth")
        if _at_its_end(run) and ours and run.scenario_text == work.text:
            return folder
    return None


def _at_its_end(run: Run) -> bool:
    """Whether the run has all its rounds. One that failed because nothing was accepted in any of
    them has, too: an attack or a defence may do that, and its records say so."""
    if run.summary.status == "failed" and run.rounds:
        nothing = not any(record.accepted for record in run.rounds)
        return nothing and len(run.rounds) == run.summary.rounds_planned
    return run.summary.status == "finished"


def _newest(into: Path, name: str, file: str) -> Iterator[Path]:
    """Folders of this variant that hold `file`, the newest first."""
    numbered = re.compile(rf"{re.escape(name)}(-\d+)?")
    found = [
        folder
        for folder in (into.iterdir() if into.is_dir() else ())
        if numbered.fullmatch(folder.name) and (folder / file).is_file()
    ]
    yield from sorted(found, key=lambda path: -(path / file).stat().st_mtime_ns)


def run_variants(
    work: Mapping[str, Work],
    into: Path,
    *,
    jobs: int,
    progress: Display,
) -> dict[str, Path]:
    """Carry out all work, by name, and give the folder of each.

    Args:
      jobs: processes that work side by side. A run is one thread for the most part, so as many as
        there are cores pay. Each then shows only that it is over.
      progress: shows the rounds where `jobs` is 1, and otherwise what has finished.

    Raises:
      LocalError: a run or a computation failed; those that have finished are kept.
    """
    if jobs == 1 or len(work) <= 1:
        return {name: _run(each, into / name, progress) for name, each in work.items()}
    folders: dict[str, Path] = {}
    # Started fresh: a fork of a process with OpenMP threads may hang.
    with ProcessPoolExecutor(
        min(jobs, len(work)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=use_cores,
        initargs=(1,),
    ) as pool:
        running = {
            pool.submit(_run, each, into / name, QuietProgress()): name
            for name, each in work.items()
        }
        try:
            for done in as_completed(running):
                name = running[done]
                folders[name] = done.result()
                progress.message(f"{name}: finished, {len(folders)} of {len(work)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return folders


def _run(work: Work, folder: Path, progress: Display) -> Path:
    if isinstance(work, Computation):
        kept = carry_out(work, folder)
        progress.message(f"{work.call.variant}: {duration(load_computed(kept).measured_s)}")
        return kept
    try:
        result = simulate(work, into=folder, progress=progress)
    except RoundFailedError:
        failed = finished(folder.parent, folder.name, work)
        if failed is None:
            raise
        progress.message(f"{folder.name}: nothing was accepted in any round")
        write_report([failed])
        return failed
    assert result.folder is not None
    write_report([result.folder])
    return result.folder
