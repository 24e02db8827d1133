"""An experiment that computes in place of running comes out as one that runs."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from small_experiment import COMPUTED, SUMS, write_computed

from troth.errors import CharterError, ExitCode, UsageError
from troth.report.progress import QuietProgress
from troth.reproduction.computing import MAX_NAMES, MAX_POINTS, load_computed
from troth.reproduction.loading import load_experiment
from troth.reproduction.reproduce import Reproduction, reproduce
from troth.streams import Stream


@pytest.fixture(autouse=True)
def fresh_modules() -> Iterator[None]:
    """Each test reads its own code."""
    sys.modules.pop("small_sums", None)
    yield
    sys.modules.pop("small_sums", None)


def carry_out(tmp_path: Path, **options: object) -> Reproduction:
    # As each would be read in a process of its own.
    sys.modules.pop("small_sums", None)
    loaded = load_experiment("paper/sums", tmp_path / "experiments")
    return reproduce(loaded, tmp_path / "kept", progress=QuietProgress(), **options)


def folders(done: Reproduction) -> list[str | None]:
    return [row.folder for row in done.results.rows]


def drawn(variant: str, draws: int, *, seed: int = 1) -> np.ndarray:
    return 2 * Stream(seed, ("computing", variant)).generator().random(draws)


def test_what_was_returned_stands_beside_the_paper(tmp_path: Path) -> None:
    write_computed(tmp_path)
    done = carry_out(tmp_path)
    few, many = done.results.rows
    assert few.readings["mean"].paper == 1.0
    assert few.readings["mean"].measured == drawn("few", 3).mean()
    assert many.readings["mean"].measured == drawn("many", 5).mean()
    assert (few.seed, few.trace_digest) == (1, None)
    assert few.measured_s is not None
    assert done.results.ratios[0].value.measured == pytest.approx(5 / 3)
    assert [column.unit for column in done.results.columns] == ["number", "count"]
    written = json.loads((tmp_path / "kept" / "results.json").read_text())
    assert written["rows"][1]["readings"]["draws"] == {"paper": None, "measured": 5.0}


def test_a_variants_folder_holds_what_was_called_and_what_came_of_it(tmp_path: Path) -> None:
    write_computed(tmp_path)
    carry_out(tmp_path)
    kept = load_computed(tmp_path / "kept" / "many")
    assert kept.call.arguments == {
        "draws": 5, "scale": 2, "parts": ["a", "b"], "strict": True, "name": "x",
    }  # fmt: skip
    assert kept.values == {"mean": drawn("many", 5).mean(), "draws": 5.0, "never": None}
    assert kept.curves["so far"][-1] == (5.0, pytest.approx(kept.values["mean"]))


def test_what_has_been_computed_is_not_computed_again(tmp_path: Path) -> None:
    write_computed(tmp_path)
    assert folders(carry_out(tmp_path)) == ["few", "many"]
    assert folders(carry_out(tmp_path)) == ["few", "many"]
    assert folders(carry_out(tmp_path, again=True, only=["many"])) == ["few", "many-2"]
    assert folders(carry_out(tmp_path)) == ["few", "many-2"]


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (COMPUTED.replace("draws = 3", "draws = 4"), SUMS, ["few-2", "many"]),
        (COMPUTED.replace("compute =", "seed = 2\ncompute ="), SUMS, ["few-2", "many-2"]),
        (COMPUTED, f"{SUMS}# Another file.\n", ["few-2", "many-2"]),
        (COMPUTED.replace("few draws", "some draws"), SUMS, ["few", "many"]),
    ],
    ids=["arguments", "seed", "code", "label"],
)
def test_what_a_number_follows_from_is_computed_again_when_it_changes(
    tmp_path: Path, text: str, code: str, expected: list[str]
) -> None:
    write_computed(tmp_path)
    carry_out(tmp_path)
    write_computed(tmp_path, text, code)
    assert folders(carry_out(tmp_path)) == expected


def test_variants_of_similar_names_do_not_take_each_others_folders(tmp_path: Path) -> None:
    text = COMPUTED.replace('name = "many"', 'name = "few-2"').replace('"many"', '"few-2"')
    text = re.sub(r"arguments = .*", "arguments = { draws = 3, scale = 2.0 }", text)
    write_computed(tmp_path, text)
    carry_out(tmp_path)
    assert folders(carry_out(tmp_path)) == ["few", "few-2"]


def test_only_one_variant_is_computed(tmp_path: Path) -> None:
    write_computed(tmp_path)
    done = carry_out(tmp_path, only=["many"])
    few, many = done.results.rows
    assert (few.folder, few.readings["mean"].measured) == (None, None)
    assert many.readings["mean"].measured is not None
    with pytest.raises(UsageError, match="has no variant six"):
        carry_out(tmp_path, only=["six"])


def test_numbers_are_the_same_side_by_side(tmp_path: Path) -> None:
    write_computed(tmp_path)
    alone = carry_out(tmp_path)
    together = carry_out(tmp_path, again=True, jobs=2)
    assert folders(together) == ["few-2", "many-2"]
    assert [row.readings for row in together.results.rows] == [
        row.readings for row in alone.results.rows
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_computation_that_fails_keeps_the_others(tmp_path: Path, jobs: int) -> None:
    code = SUMS.replace("    CALLS", "    if draws == 5: raise ValueError('no luck')\n    CALLS")
    write_computed(tmp_path, code=code)
    with pytest.raises(CharterError) as caught:
        carry_out(tmp_path, jobs=jobs)
    assert "raised ValueError: no luck, for variants[1] (many)" in caught.value.message
    assert not (tmp_path / "kept" / "results.json").exists()
    assert folders(carry_out(tmp_path, only=["few"])) == ["few", None]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("1.5", "returned float, not a mapping"),
        ("None", "returned NoneType, not a mapping"),
        ("{1: 1.0}", "returned a name that is int"),
        ("{'mean': '1.5'}", "returned str as mean, no number or points"),
        ("{'mean': True}", "returned bool as mean, no number or points"),
        ("{'mean': [1.0, 2.0]}", "returned list as mean, no number or points"),
        ("{'mean': [(1.0, 2.0, 3.0)]}", "returned list as mean, no number or points"),
        ("{'mean': [(1.0,), (1.0, 2.0)]}", "returned list as mean, no number or points"),
        ("{'mean': 10**400}", "returned int as mean, no number or points"),
        ("{'mean': float('nan')}", "returned nan in mean, which is not finite"),
        ("{'so far': [(1, float('inf'))]}", "returned inf in so far, which is not finite"),
        (f"{{'so far': [(1, 1)] * {MAX_POINTS + 1}}}", f"more than {MAX_POINTS} points"),
        (f"{{str(i): 1 for i in range({MAX_NAMES + 1})}}", f"{MAX_NAMES + 1} names, above"),
    ],
)
def test_a_wrong_return_is_one_clear_error(tmp_path: Path, returned: str, said: str) -> None:
    write_computed(tmp_path, code=f"def draw(stream, **arguments):\n    return {returned}\n")
    with pytest.raises(CharterError) as caught:
        carry_out(tmp_path)
    assert caught.value.exit_code is ExitCode.CHARTER
    assert said in caught.value.message
    assert 'sums.toml: compute = "small_sums:draw"' in caught.value.message
    assert "return a mapping" in str(caught.value.hint)
    assert not (tmp_path / "kept" / "few").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("small_sums:draw", "small_sums", 'compute = "small_sums" is not of the form module:call'),
        ("small_sums:draw", "no_such:draw", 'compute = "no_such:draw"'),
        ("small_sums:draw", "small_sums:drew", "small_sums has no drew"),
        ("small_sums:draw", "small_sums:CALLS", "names a list, which cannot be called"),
        ("draws = 3, ", "", "does not fit small_sums:draw: missing a required"),
        ("draws = 3,", "draws = 3, more = 1,", "unexpected keyword argument 'more'"),
        ("draws = 3,", "draws = { a = 1 },", "variants[0].arguments.draws"),
        ("draws = 3,", "draws = nan,", "variants[0].arguments.draws = NaN is not a finite number"),
    ],
)
def test_a_callable_that_does_not_fit_is_refused_before_anything_runs(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    write_computed(tmp_path, COMPUTED.replace(old, new, 1))
    with pytest.raises(CharterError) as caught:
        carry_out(tmp_path)
    assert said in caught.value.message
    assert "sums.toml: " in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        (
            'name = "mean"',
            'name = "mode"',
            'readings.mean.name = "mode" is not what',
            "mean, draws",
        ),
        ('name = "mean"', 'name = "so far"', "readings.mean.name", "mean, draws"),
        ('curve = "so far"', 'curve = "mean"', 'plot.curve = "mean" is not what', "so far"),
    ],
)
def test_a_name_that_was_not_returned_is_said(
    tmp_path: Path, old: str, new: str, said: str, hint: str
) -> None:
    write_computed(tmp_path, COMPUTED.replace(old, new, 1))
    with pytest.raises(CharterError) as caught:
        carry_out(tmp_path)
    assert said in caught.value.message
    assert hint in str(caught.value.hint)


def test_a_value_that_there_is_not_is_read_as_none(tmp_path: Path) -> None:
    write_computed(tmp_path, COMPUTED.replace('name = "mean"', 'name = "never"', 1))
    assert carry_out(tmp_path).results.rows[0].readings["mean"].measured is None


@pytest.mark.parametrize(
    ("returned", "kept"),
    [("10**30", 1e30), ("np.float32(0.5)", 0.5), ("np.int64(-3)", -3.0), ("np.array(2.0)", 2.0)],
)
def test_a_number_may_be_of_any_kind(tmp_path: Path, returned: str, kept: float) -> None:
    write_computed(tmp_path, code=SUMS.replace("drawn.mean(),", f"{returned},"))
    assert carry_out(tmp_path).results.rows[0].readings["mean"].measured == kept


@pytest.mark.parametrize("returned", ["[]", "()", "np.zeros((0, 2))"])
def test_a_curve_may_have_no_points(tmp_path: Path, returned: str) -> None:
    write_computed(tmp_path, code=SUMS.replace("list(enumerate(means, start=1))", returned))
    carry_out(tmp_path)
    assert load_computed(tmp_path / "kept" / "few").curves == {"so far": []}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_computed(tmp_path)
    carry_out(tmp_path)
    file = tmp_path / "kept" / "few" / "variant.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(UsageError, match=r"few/variant\.json: is damaged"):
        carry_out(tmp_path)


class Sources(HTMLParser):
    """Everything that a page would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.loaded += [str(said[key]) for key in ("src", "href") if key in said]
        if said.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(said["content"])


def test_the_page_shows_table_and_plot_and_loads_nothing(tmp_path: Path) -> None:
    write_computed(tmp_path, COMPUTED.replace('"few draws"', '"<b>few</b>"'))
    done = carry_out(tmp_path)
    html = done.page.read_text()
    page = Sources()
    page.feed(html)
    skip, plot = page.loaded
    assert skip == "#main"
    assert base64.b64decode(plot.removeprefix("data:image/png;base64,")) == done.plot.read_bytes()
    assert "default-src 'none'; img-src data:;" in page.policy
    assert "<b>few" not in html
    assert "&lt;b&gt;few" in html
    measured = f"{drawn('few', 3).mean():.4g}"
    for text in ("Two sums", "A paper, table 1", "mean of the draws: paper", measured, "1.7x"):
        assert text in html
    assert html.count("<tr>") == html.count("</tr>")


def test_points_are_drawn(tmp_path: Path) -> None:
    write_computed(tmp_path)
    svg = carry_out(tmp_path).plot.with_suffix(".svg").read_text()
    for text in ("mean so far", "few draws", "many draws"):
        assert f"<!-- {text} -->" in svg


@pytest.mark.parametrize(
    "plot",
    [
        'kind = "bars"\nreading = "mean"',
        'kind = "lines"\nreadings = ["mean"]\nx = "draws, or so"',
    ],
)
def test_bars_and_lines_are_drawn_of_values(tmp_path: Path, plot: str) -> None:
    points = COMPUTED[COMPUTED.index('kind = "points"') : COMPUTED.index("\n\n[[variants]]")]
    text = COMPUTED.replace(points, plot)
    text = text.replace('label = "few draws"', 'label = "few"\nseries = ["one"]\nat = 3')
    text = text.replace('label = "many draws"', 'label = "many"\nseries = ["one"]\nat = 5')
    write_computed(tmp_path, text)
    assert "mean of the draws" in carry_out(tmp_path).plot.with_suffix(".svg").read_text()
