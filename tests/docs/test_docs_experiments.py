"""What experiments/README.md shows of an experiment that computes can be carried out."""

from __future__ import annotations

from pathlib import Path

from snippets import blocks_of

from troth.report.progress import QuietProgress
from troth.reproduction.loading import load_experiment
from troth.reproduction.reproduce import reproduce

PAGE = Path(__file__).resolve().parents[2] / "experiments" / "README.md"


def test_the_computation_of_the_page_works(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    (code,) = [block.text for block in blocks if block.language == "python"]
    (file,) = [block.text for block in blocks if "compute =" in block.text]
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "dice.py").write_text(code, encoding="utf-8")
    (tmp_path / "paper" / "rolls.toml").write_text(file, encoding="utf-8")
    loaded = load_experiment("paper/rolls", tmp_path)
    done = reproduce(loaded, tmp_path / "kept", progress=QuietProgress())
    (row,) = done.results.rows
    assert row.readings["mean"].paper == 3.5
    assert row.readings["mean"].measured is not None
    assert abs(row.readings["mean"].measured - 3.5) < 0.25
