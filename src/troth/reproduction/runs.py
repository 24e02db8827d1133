"""Every variant as an ordinary run folder; those that are there already are not run again."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

from troth.charter.loading import LoadedScenario
from troth.learning.parallel import use_cores
from troth.report.page import write_report
from troth.report.progress import Progress, QuietProgress
from troth.report.read import SUMMARY, load_run
from troth.simulation import simulate


def finished_run(into: Path, name: str, text: str) -> Path | None:
    """The newest finished run of exactly this scenario by this version of troth, below `into`."""
    numbered = re.compile(rf"{re.escape(name)}(-\d+)?")
    found = [
        folder
        for folder in (into.iterdir() if into.is_dir() else ())
        if numbered.fullmatch(folder.name) and (folder / SUMMARY).is_file()
    ]
    for folder in sorted(found, key=lambda path: -(path / SUMMARY).stat().st_mtime_ns):
        run = load_run(folder)
        ours = run.summary.troth_version == version("troth")
        if run.summary.status == "finished" and ours and run.scenario_text == text:
            return folder
    return None


def run_variants(
    scenarios: Mapping[str, LoadedScenario],
    into: Path,
    *,
    jobs: int,
    progress: Progress,
) -> dict[str, Path]:
    """Run every scenario, by name, and give the folder of each run.

    Args:
      jobs: processes that run scenarios side by side. A run is one thread for the most part, so as
        many as there are cores pay. Each then shows only that it is over.
      progress: shows the rounds where `jobs` is 1, and otherwise what has finished.

    Raises:
      LocalError: a run failed; those that have finished are kept.
    """
    if jobs == 1 or len(scenarios) <= 1:
        return {name: _run(scenarios[name], into / name, progress) for name in scenarios}
    folders: dict[str, Path] = {}
    # Started fresh: a fork of a process with OpenMP threads may hang.
    with ProcessPoolExecutor(
        min(jobs, len(scenarios)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=use_cores,
        initargs=(1,),
    ) as pool:
        running = {
            pool.submit(_run, scenario, into / name, QuietProgress()): name
            for name, scenario in scenarios.items()
        }
        try:
            for done in as_completed(running):
                name = running[done]
                folders[name] = done.result()
                progress.message(f"{name}: finished, {len(folders)} of {len(scenarios)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return folders


def _run(loaded: LoadedScenario, folder: Path, progress: Progress) -> Path:
    result = simulate(loaded, into=folder, progress=progress)
    assert result.folder is not None
    write_report([result.folder])
    return result.folder
