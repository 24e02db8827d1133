"""What docs/your-own.md defines piece by piece runs together, as the scenario at its end says."""

from __future__ import annotations

from pathlib import Path

from snippets import blocks_of

import troth

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-own.md"


def test_all_callables_of_the_page_work_in_one_scenario(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    code = [block.text for block in blocks if block.language == "python"]
    (scenario,) = [block.text for block in blocks if block.language == "toml"]
    (tmp_path / "my_task.py").write_text("\n".join(code), encoding="utf-8")
    (tmp_path / "scenario.toml").write_text(scenario, encoding="utf-8")
    result = troth.simulate(tmp_path / "scenario.toml", progress=False)
    assert [party.attacker for party in result.summary.parties].count("callable") == 2
    assert result.final is not None
    assert result.final.error < 0.25
