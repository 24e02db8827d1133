"""The credit agency's model, trained by ten processes: some of them are killed on the way.

The example's charter, with fewer rounds and easier puzzles, which change how long it takes.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from brokered_nodes import SHORT_LINGER, Brokered, brokered

import troth
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.report.read import load_run

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TROTH_DATA") or ROOT.parent / "shared" / "data")
ROUNDS, PROVIDERS = 120, 8
CHANGES = (
    f"training.rounds={ROUNDS}",
    "protocol.difficulty=1",
    "protocol.admission_difficulty=1",
)
BOUND = 0.006
"""One standard error of the difference of two test errors of 0.2 on 9,000 rows."""

NOTHING_LEARNT = 0.2209
"""The error of whoever predicts that everybody will pay."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "credit_default").is_dir(),
        reason="TROTH_DATA names no folder with the credit data",
    ),
]


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TROTH_DATA", str(DATA))
    path = tmp_path / "credit.toml"
    charter = ROOT / "examples" / "tormentor" / "charter.toml"
    path.write_text(
        f'charter = "{charter}"\nseed = 1\npartition = "equal"\n[parties]\ncount = {PROVIDERS}\n'
    )
    return path


def train(scenario: Path, folder: Path, *, kill: bool) -> Brokered:
    folder.mkdir()
    with brokered(scenario, folder, changes=CHANGES) as nodes:
        nodes.start_all()
        if kill:
            broker = nodes.nodes[BROKER]
            while broker.event("round")["round"] < ROUNDS // 4:
                pass
            nodes.nodes.pop("party-3").kill()
            while broker.event("round")["round"] < ROUNDS // 2:
                pass
            broker.kill()
            nodes.further[BROKER] = SHORT_LINGER
            nodes.start_broker()
        nodes.end()
    return nodes


def test_ten_processes_train_the_credit_model_whoever_is_killed(
    scenario: Path, tmp_path: Path
) -> None:
    calm = train(scenario, tmp_path / "calm", kill=False)
    killed = train(scenario, tmp_path / "killed", kill=True)
    overrides = {change.split("=")[0].replace(".", "__"): change for change in CHANGES}
    values = {name: int(change.split("=")[1]) for name, change in overrides.items()}
    errors = {"simulation": troth.simulate(scenario, progress=False, **values).final.error}
    for name, nodes in (("calm", calm), ("killed", killed)):
        run = load_run(nodes.folder / BROKER)
        final = load_run(nodes.folder / CURATOR).summary.final
        errors[name] = final.error
        # Nothing is lost, and nothing counts twice.
        witness = nodes.witness()
        assert witness.saved.version == len(witness.counted) == ROUNDS * PROVIDERS
        assert [record.round for record in run.rounds] == list(range(1, ROUNDS + 1))
        by = Counter(update.token for update in witness.counted.values())
        rejected = sum(len(record.rejected) for record in run.rounds)
        print(
            f"{name}: {len(witness.counted)} updates of {len(by)} connections count, {rejected} "
            f"are rejected, {witness.restarts} restarts, test error {final.error:.4f} "
            f"on {final.examples} rows"
        )
    print(errors)
    assert killed.witness().restarts == 1
    assert max(errors.values()) - min(errors.values()) <= BOUND
    assert max(errors.values()) < NOTHING_LEARNT - BOUND
