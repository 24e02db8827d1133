"""The digest of a run of a thousand parties does not depend on the number of cores or threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_info  # type: ignore[import-untyped]  # no types

from troth.learning.device import repeatable
from troth.robustness.combination import combine

DIGITS = Path(__file__).parents[2] / "examples/digits/scenario.toml"

RUNS = """
import hashlib, sys, troth
if __name__ == "__main__":
    for engine in ({"name": "inline"}, {"name": "batched"}, {"name": "processes", "workers": 2}):
        run = troth.simulate(sys.argv[1], progress=False, parties__count=1000, training__rounds=1,
            attacks=[], engine=engine)
        print(engine["name"], run.summary.trace_digest, hashlib.sha256(run.parameters).hexdigest())
"""


def digests(folder: Path, threads: int | None, *, one_core: bool = False) -> str:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if threads is not None:
        environment |= dict.fromkeys(names, str(threads))
    script = folder / "runs.py"
    script.write_text(RUNS)
    allowed = sorted(os.sched_getaffinity(0))[:1]
    return subprocess.run(
        [sys.executable, str(script), str(DIGITS)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, allowed)) if one_core else None,
    ).stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux only")
def test_a_thousand_parties_have_one_digest_on_any_number_of_cores(tmp_path: Path) -> None:
    free = digests(tmp_path, None)
    assert len(free.splitlines()) == 3
    assert digests(tmp_path, 1) == free
    assert digests(tmp_path, None, one_core=True) == free


def test_sums_of_a_thousand_updates_do_not_depend_on_threads() -> None:
    generator = np.random.Generator(np.random.Philox(1))
    updates_PD = generator.standard_normal((1000, 2000), dtype=np.float32)
    share_P = np.full(1000, 1 / 1000)
    found = []
    for threads in (1, 2, 4):
        libraries = ThreadpoolController()
        with libraries.limit(limits=threads, user_api="blas"), repeatable(torch.device("cpu")):
            found.append(combine(updates_PD, share_P).tobytes())
    assert len(set(found)) == 1


def test_what_was_set_is_put_back() -> None:
    def blas() -> list[int]:
        return [library["num_threads"] for library in threadpool_info()]

    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas()
        with repeatable(torch.device("cpu")):
            assert {
                library["num_threads"]
                for library in threadpool_info()
                if library["user_api"] == "blas"
            } == {1}
        assert blas() == before
