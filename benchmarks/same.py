"""Whether the working tree's runs are those of another commit, bit by bit: `make same BASE=COMMIT`.

    .venv/bin/python benchmarks/same.py COMMIT

Two sides are compared: the commit BASE, checked out below `build/same/`, and the working tree with
its uncommitted changes. Each side runs its own scenarios with its own `src`, as somebody at a
shell would:

- every file `examples/*/*.toml` that has a table `[parties]`; the others are charters and settings
  that no simulation takes,
- the first variant of every experiment `experiments/*/*.toml` that names a scenario,

for at most three rounds. What is compared is read from each run's folder: the trace digest in
`summary.json`, every tensor of every `*.safetensors`, and id, height and head of every
`chain.sqlite`. Nothing is imported from the package, so that both sides may move what they like
as long as they keep the command line and these files.

- A scenario that one side alone has is listed, and is no difference.
- A run that both sides refuse for want of published data is left out, and counts as nothing.
- Where computing takes measured time, no trace repeats: such a run gets `cost.kind = "zero"`.
- A run that fails is a difference, even where it fails on both sides: nothing was compared.

Both sides run under this environment's Python. Where `[project] dependencies` differ, that is said;
and if what is installed here does not satisfy BASE's, BASE gets an environment of its own.

BASE's results are kept in `build/same/COMMIT/results.json`, and are used again for as long as
VERSION, the versions of Python and of the dependencies, and TROTH_DATA are the same. Run folders
are kept beside it, in `runs/`, to look into where something differs.

Exit status: 0 all equal, 1 something differs, 2 wrong usage, or nothing could be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
VERSION = 1
"""Raise it when what is run or compared changes: results of other versions are not used again."""

NEEDS_DATA = "needs TROTH_DATA"

# Editable installs lead to the working tree: the code that runs is checked before it runs.
COMMAND = """
import sys
from pathlib import Path
from {module} import {function}
at = Path(sys.modules["{module}"].__file__).resolve()
assert at.is_relative_to(Path({src!r})), f"{{at}} is not below {src}"
sys.exit({function}())
"""


class UsageError(Exception):
    """The command is wrong, or nothing can be compared."""


@dataclass(frozen=True)
class Scenario:
    """One run that a side can do.

    Attributes:
      name: the same on both sides: `examples/digits/robust`, or the experiment's
        file and variant, `experiments/biscotti/stake/epsilon-2`.
      file: what `troth simulate` takes.
      set: the changes made by `--set`, in order.
    """

    name: str
    file: Path
    set: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What a run left behind.

    Attributes:
      trace: its trace digest.
      models: a digest of type, shape and bytes of each tensor, by `FILE:TENSOR`.
      chains: `id`, `height` and `hash` of the head, by file.
      seconds: how long the process took.
      problem: why there is nothing to compare: `NEEDS_DATA`, or how the run failed.
    """

    trace: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    problem: str | None = None


@dataclass(frozen=True)
class Verdict:
    """How a run compares: `equal`, `differs`, `left out`, or `only in ...` one side."""

    result: str
    what: str = ""


def scenarios(checkout: Path) -> list[Scenario]:
    """What this side can run, examples first, each group in order of its files."""
    found = []
    for file in sorted(checkout.glob("examples/*/*.toml")):
        if "parties" in _toml(file):
            name = file.relative_to(checkout).with_suffix("").as_posix()
            found.append(Scenario(name, file, _short(file, ())))
    for file in sorted(checkout.glob("experiments/*/*.toml")):
        experiment = _toml(file)
        if "scenario" in experiment:
            first = experiment["variants"][0]
            folder = file.relative_to(checkout).with_suffix("")
            scenario = (file.parent / experiment["scenario"]).resolve()
            name = f"{folder.as_posix()}/{first['name']}"
            found.append(Scenario(name, scenario, _short(scenario, first.get("set", ()))))
    return found


def _short(file: Path, changes: Sequence[str]) -> tuple[str, ...]:
    """The changes, and those that make a run short and its trace repeatable. The last one holds."""
    scenario = _toml(file)
    if "charter" in scenario:
        scenario = _toml(file.parent / scenario["charter"]) | scenario
    rounds, cost = scenario.get("training", {}).get("rounds", ROUNDS), str(scenario.get("cost"))
    for change in changes:
        key, _, value = change.partition("=")
        if key.strip() == "training.rounds":
            rounds = int(value)
        elif key.strip() in ("cost", "cost.kind"):
            cost = value
    zero = ('cost={ kind = "zero" }',) if "measured" in cost else ()
    return (*changes, f"training.rounds={min(ROUNDS, rounds)}", *zero)


def run(scenario: Scenario, checkout: Path, python: Path, into: Path) -> Result:
    """Simulates it by the checkout's own command line, keeps the run in the folder `into`."""
    changes = [word for change in scenario.set for word in ("--set", change)]
    start = time.perf_counter()
    done = _troth(
        checkout, python, "simulate", str(scenario.file), *changes, "--quiet", "--into", str(into)
    )
    seconds = round(time.perf_counter() - start, 1)
    if done.returncode != 0:
        return Result(seconds=seconds, problem=_problem(done))
    try:
        return replace(_read(into, checkout, python), seconds=seconds)
    except (OSError, KeyError, ValueError) as error:
        return Result(seconds=seconds, problem=f"left no run that can be read: {error!r}")


def _read(folder: Path, checkout: Path, python: Path) -> Result:
    """What lies in a run's folder, its chains as the checkout's own command line tells them."""
    models = {
        f"{file.relative_to(folder).as_posix()}:{name}": digest
        for file in sorted(folder.rglob("*.safetensors"))
        for name, digest in tensors(file).items()
    }
    chains = {}
    for file in sorted(folder.rglob("chain.sqlite")):
        done = _troth(checkout, python, "chain", "export", str(file))
        if done.returncode != 0:
            return Result(problem=_problem(done))
        # A line for the genesis, then one for each block. Unlike `verify`, it also takes chains of
        # simulations whose commitments are modelled.
        genesis, *blocks = (json.loads(line) for line in done.stdout.splitlines())
        head = {key: blocks[-1][key] for key in ("height", "hash")} if blocks else {"height": 0}
        chains[file.relative_to(folder).as_posix()] = {"id": genesis["id"], **head}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if summary["trace_digest"] is None:
        return Result(problem="left no trace digest")
    return Result(summary["trace_digest"], models, chains)


def tensors(file: Path) -> dict[str, str]:
    """A digest of type, shape and bytes of each tensor in a safetensors file, by name.

    The format: eight bytes with the length of a JSON header, the header, all tensors' bytes.
    """
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    digests = {}
    for name, tensor in sorted(header.items()):
        first, end = tensor["data_offsets"]
        said = f"{tensor['dtype']} {tensor['shape']} ".encode()
        digests[name] = hashlib.sha256(said + content[start + first : start + end]).hexdigest()
    return digests


def _troth(checkout: Path, python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    src = checkout / "src"
    script = _toml(checkout / "pyproject.toml")["project"]["scripts"]["troth"]
    module, _, function = script.partition(":")
    command = COMMAND.format(module=module, function=function, src=str(src))
    settings = {"PYTHONPATH": str(src), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        # -P: the folder it is started in is not searched for modules.
        [python, "-P", "-c", command, *arguments],
        cwd=checkout,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def _problem(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines() or ["says nothing"]
    if any("TROTH_DATA" in line for line in lines):
        return NEEDS_DATA
    line = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return f"exit {done.returncode}: {line}"


def compare(base: Result | None, tree: Result | None) -> Verdict:
    """How two runs of one name compare; None stands for a run that its side does not have."""
    if base is None or tree is None:
        return Verdict("only in the working tree" if base is None else "only in BASE")
    if base.problem == tree.problem == NEEDS_DATA:
        return Verdict("left out", NEEDS_DATA)
    problems = [
        f"{side} {result.problem}"
        for side, result in (("BASE", base), ("working tree", tree))
        if result.problem is not None
    ]
    if problems:
        return Verdict("differs", "; ".join(problems))
    what = [] if base.trace == tree.trace else ["trace digest"]
    what += [f"model {name}" for name in _unlike(base.models, tree.models)]
    for file in _unlike(base.chains, tree.chains):
        keys = _unlike(base.chains.get(file, {}), tree.chains.get(file, {}))
        what.append(f"chain {file} ({', '.join(keys)})")
    return Verdict("differs", ", ".join(what)) if what else Verdict("equal")


def _unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


def same(root: Path, base: str) -> int:
    """Runs both sides, prints the table, and returns the exit status.

    Args:
      root: the working tree, which is a git checkout.
      base: any name of a commit.

    Raises:
      UsageError: there is no such commit, or no run could be compared.
    """
    start = time.perf_counter()
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
    except subprocess.CalledProcessError:
        raise UsageError(f"{base} is no commit of {root}") from None
    home = root / "build" / "same" / commit
    here = Path(sys.executable)
    with _checked_out(root, commit, home / "checkout") as checkout:
        python = _python_for(checkout, root, home)
        cache = home / "results.json"
        key = _key(checkout, python)
        base_scenarios, tree_scenarios = scenarios(checkout), scenarios(root)
        base_results = _cached(cache, key, base_scenarios)
        print(f"BASE {commit[:12]}: {len(base_results)} runs are cached", file=sys.stderr)
        tree_results: dict[str, Result] = {}
        jobs = [
            (scenario, checkout, python, "base", base_results)
            for scenario in base_scenarios
            if scenario.name not in base_results
        ]
        jobs += [(scenario, root, here, "tree", tree_results) for scenario in tree_scenarios]
        # What BASE is known to take long for begins first, so that no core waits for it at the end.
        jobs.sort(key=lambda job: -base_results.get(job[0].name, Result()).seconds)
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            running = {}
            for scenario, at, with_python, side, results in jobs:
                into = home / "runs" / side / scenario.name
                shutil.rmtree(into, ignore_errors=True)
                future = pool.submit(run, scenario, at, with_python, into)
                running[future] = (scenario, side, results)
            for number, future in enumerate(as_completed(running), 1):
                scenario, side, results = running[future]
                result = results[scenario.name] = future.result()
                took = f"{result.seconds:6.1f} s"
                print(f"{number}/{len(jobs)} {took} {side} {scenario.name}", file=sys.stderr)
                if side == "base":
                    _keep(cache, key, base_results)
        finally:
            pool.shutdown(cancel_futures=True)
    verdicts = _table(base_results, tree_results)
    counts = {result: verdicts.count(result) for result in sorted(set(verdicts))}
    print(", ".join(f"{count} {result}" for result, count in counts.items()), end="; ")
    print(f"{time.perf_counter() - start:.0f} s in all")
    if "differs" in verdicts:
        return 1
    if "equal" not in verdicts:
        raise UsageError("no run could be compared")
    return 0


def _table(base: Mapping[str, Result], tree: Mapping[str, Result]) -> list[str]:
    names = sorted({*base, *tree})
    width = max((len(name) for name in names), default=0)
    print(f"{'run':{width}} {'BASE':>8} {'here':>8}  result")
    results = []
    for name in names:
        sides = (base.get(name), tree.get(name))
        took = ["-" if side is None else f"{side.seconds:.1f} s" for side in sides]
        verdict = compare(*sides)
        said = f"{verdict.result}: {verdict.what}" if verdict.what else verdict.result
        print(f"{name:{width}} {took[0]:>8} {took[1]:>8}  {said}")
        results.append(verdict.result)
    return results


@contextmanager
def _checked_out(root: Path, commit: str, at: Path) -> Iterator[Path]:
    """A worktree of the commit, for as long as it is needed."""
    _remove_worktree(root, at)
    _git(root, "worktree", "add", "--force", "--quiet", "--detach", str(at), commit)
    try:
        yield at
    finally:
        _remove_worktree(root, at)


def _remove_worktree(root: Path, at: Path) -> None:
    """Also what is left of one by a run that was killed: git may know it, or the disk, or both."""
    with suppress(subprocess.CalledProcessError):
        _git(root, "worktree", "remove", "--force", str(at))
    shutil.rmtree(at, ignore_errors=True)


def _python_for(checkout: Path, root: Path, home: Path) -> Path:
    """The Python that BASE runs under: this one, unless its dependencies are not satisfied here."""
    here = Path(sys.executable)
    wanted, ours = _dependencies(checkout), _dependencies(root)
    if wanted == ours:
        return here
    differing = ", ".join(sorted({*wanted} ^ {*ours}))
    print(f"dependencies of BASE and of the working tree differ: {differing}", file=sys.stderr)
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # Without an index pip finds nothing to install, so this succeeds only if all is there.
    check: list[str | Path] = [here, *pip, "--dry-run", "--no-index", *wanted]
    if subprocess.run(check, capture_output=True, check=False).returncode == 0:
        print("what is installed here satisfies both, and runs both", file=sys.stderr)
        return here
    own = home / "venv"
    print(f"BASE gets an environment of its own: {os.path.relpath(own)}", file=sys.stderr)
    subprocess.run([here, "-m", "venv", own], check=True)
    constraints = checkout / "constraints.txt"
    pinned = ("-c", constraints) if constraints.exists() else ()
    subprocess.run([own / "bin/python", *pip, *pinned, *wanted], check=True)
    return own / "bin/python"


def _dependencies(checkout: Path) -> list[str]:
    dependencies: list[str] = _toml(checkout / "pyproject.toml")["project"]["dependencies"]
    return dependencies


def _key(checkout: Path, python: Path) -> dict[str, Any]:
    """What a cached result depends on beside the commit."""
    versions = {}
    if python == Path(sys.executable):
        for requirement in _dependencies(checkout):
            name = re.split(r"[^\w.-]", requirement)[0]
            try:
                versions[name] = version(name)
            except PackageNotFoundError:
                versions[name] = "missing"
    return {
        "tool": VERSION,
        "python": sys.version,
        "versions": versions,
        "data": os.environ.get("TROTH_DATA") or None,
    }


def _cached(cache: Path, key: Mapping[str, Any], known: Sequence[Scenario]) -> dict[str, Result]:
    if not cache.exists():
        return {}
    kept = json.loads(cache.read_text(encoding="utf-8"))
    if kept["key"] != key:
        return {}
    names = {scenario.name for scenario in known}
    return {name: Result(**one) for name, one in kept["results"].items() if name in names}


def _keep(cache: Path, key: Mapping[str, Any], results: Mapping[str, Result]) -> None:
    """Keeps what has run through; what failed, or lacked data, is tried again next time."""
    done = {name: asdict(one) for name, one in results.items() if one.problem is None}
    cache.write_text(json.dumps({"key": key, "results": done}, indent=1) + "\n", encoding="utf-8")


def _toml(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", root, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="same.py", description="Compare the working tree's runs with those of a commit."
    )
    parser.add_argument("base", metavar="COMMIT", help="what to compare with")
    base = parser.parse_args(arguments).base
    if data := os.environ.get("TROTH_DATA"):
        os.environ["TROTH_DATA"] = str(Path(data).resolve())
    try:
        return same(root, base)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
