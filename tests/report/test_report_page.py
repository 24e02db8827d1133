"""The page: well formed, self-contained, inert, honest, and small enough whatever the run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from troth.errors import UsageError
from troth.ids import NodeId
from troth.records import (
    PartyPrivacy,
    PrivacyRecord,
    Rejection,
    ReleasePrivacy,
    RoundRecord,
    Summary,
    Traffic,
)
from troth.report.folder import RunFolder
from troth.report.page import render, write_report
from troth.report.privacy import own_privacy_record, simulated_privacy_record
from troth.report.read import Run
from troth.report.rows import MAX_HEADING, MAX_MEASURES
from troth.report.table import summary_table

MakeRun = Callable[..., Run]

VOID = {"meta", "br", "link", "img", "input", "hr"}
LOADS = {
    "src",
    "href",
    "srcset",
    "poster",
    "data",
    "action",
    "formaction",
    "xlink:href",
    "background",
}


@dataclass
class Element:
    """A node of a parsed page."""

    tag: str
    attributes: dict[str, str | None]
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Every descendant with this tag and these attributes; `class_` matches one class."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        found = []
        for child in self.children:
            if child.tag == tag and all(
                value in (child.attributes.get(key) or "").split() for key, value in wanted.items()
            ):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def text(self) -> str:
        """Its text and its descendants', blanks joined."""
        return " ".join(
            " ".join([*self.pieces, *(child.text() for child in self.children)]).split()
        )

    def everything(self) -> list[Element]:
        return [self, *(below for child in self.children for below in child.everything())]


class Tree(HTMLParser):
    """Builds the tree, and refuses a page whose elements do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("root", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        element = Element(tag, dict(attrs), self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.children.append(Element(tag, dict(attrs), self.here))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.here.tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.pieces.append(data)


def parse(html: str) -> Element:
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert tree.here is tree.root, f"<{tree.here.tag}> is never closed"
    return tree.root


@pytest.fixture(scope="module")
def pages(make_run: MakeRun, exploded: list[RoundRecord]) -> dict[str, str]:
    """One page per kind of run."""
    failed: dict[str, object] = {
        "status": "failed",
        "problem": "party-1 has no data",
        "final": None,
        "traffic": {},
    }
    return {
        "finished": render([make_run()]),
        "one round": render([make_run(rounds=1)]),
        "failed at the start": render([make_run(rounds=0, parties=0, privacy=None, **failed)]),
        "exploded": render([make_run(records=exploded, status="failed", problem="not finite")]),
        "running": render([make_run(status="running")]),
        "regression": render([make_run(task="regression")]),
        "compared": render([make_run(f"run-{index}", rounds=5 + index) for index in range(10)]),
    }


KINDS = [
    "finished", "one round", "failed at the start", "exploded", "running", "regression", "compared",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_is_well_formed_and_accessible(pages: dict[str, str], kind: str) -> None:
    page = parse(pages[kind])
    assert pages[kind].lower().startswith("<!doctype html>")
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    assert page.all("title")[0].text()
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    ids = [str(e.attributes["id"]) for e in page.everything() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.everything():
        for label in (element.attributes.get("aria-labelledby") or "").split():
            assert label in ids
    for svg in page.all("svg"):
        hidden = svg.attributes.get("aria-hidden") == "true"
        assert hidden or (svg.attributes.get("role") == "img" and svg.all("title")[0].text())
    for table in page.all("table"):
        assert table.all("caption")[0].text()
        assert all(cell.attributes["scope"] in ("col", "row") for cell in table.all("th"))
        widths = {len(row.all("th") + row.all("td")) for row in table.all("tr")}
        assert len(widths) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_page_loads_anything(pages: dict[str, str], kind: str) -> None:
    page = parse(pages[kind])
    for element in page.everything():
        assert element.tag not in {
            "link",
            "iframe",
            "object",
            "embed",
            "base",
            "img",
            "image",
            "use",
        }
        for attribute in LOADS & element.attributes.keys():
            assert (element.attributes[attribute] or "").startswith("#")
    assert "//" not in re.sub(r"^\s*//.*$", "", pages[kind], flags=re.MULTILINE)
    assert not re.search(r"@import|url\(|@font-face|fetch\(|XMLHttpRequest|import\(", pages[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_allows_our_script_and_nothing_else(pages: dict[str, str], kind: str) -> None:
    page = parse(pages[kind])
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    content = policy.attributes["content"] or ""
    assert content.startswith("default-src 'none'")
    (script,) = [e for e in page.all("script") if "type" not in e.attributes]
    source = "".join(script.pieces)
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in content
    for element in page.everything():
        assert not [key for key in element.attributes if key.startswith("on")]


def test_a_page_depends_on_the_run_alone(make_run: MakeRun, pages: dict[str, str]) -> None:
    assert render([make_run()]) == pages["finished"]


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}</title></script>"


def test_every_string_of_a_run_is_inert(make_run: MakeRun) -> None:
    run = make_run()
    node = NodeId(EVIL)
    parties = [
        msgspec.structs.replace(party, party=node, attacker=EVIL)
        for party in run.summary.parties[:1]
    ]
    record = msgspec.structs.replace(
        run.rounds[0], accepted=[node], rejected=[Rejection(node=node, reason=EVIL)]
    )
    texts = dict.fromkeys(
        [
            "name",
            "problem",
            "protocol",
            "troth_version",
            "charter_digest",
            "trace_digest",
            "engine",
        ],
        EVIL,
    )
    evil = make_run(
        "evil",
        records=[record],
        scenario=EVIL,
        parties=1,
        traffic={EVIL: Traffic(messages=1, bytes=run.summary.bytes_sent)},
        privacy=PrivacyRecord(mechanism=EVIL, epsilon=None, delta=None, note=EVIL),
        notes=[EVIL],
        device=EVIL,
        cost_model=EVIL,
    )
    evil = Run(
        Path(EVIL.replace("/", "∕")),
        EVIL,
        msgspec.structs.replace(evil.summary, parties=parties, status="failed", **texts),
        evil.rounds,
    )
    for runs in ([evil], [evil, run], [run, evil]):
        html = render(runs)
        page = parse(html)
        assert "49" not in page.all("h1")[0].text()
        assert not page.all("img")
        plain = [element for element in page.all("script") if "type" not in element.attributes]
        assert len(plain) == 1
        assert "alert" not in "".join(plain[0].pieces)
        assert "<script>alert" not in html
        shown = [cell.text() for cell in page.all("th", scope="row")]
        assert any(cell.startswith(EVIL) for cell in shown)
        for element in page.all("script", type="application/json"):
            msgspec.json.decode("".join(element.pieces))


def cards(page: Element) -> dict[str, str]:
    return {
        card.all("dt")[0].text(): card.all("b")[0].text() for card in page.all("div", class_="card")
    }


def table(page: Element, caption: str) -> list[list[str]]:
    (found,) = [t for t in page.all("table") if caption in t.all("caption")[0].text()]
    return [
        [cell.text() for cell in row.children if cell.tag in ("th", "td")]
        for row in found.all("tr")
    ]


def section(page: Element, title: str) -> str:
    (found,) = [
        part for part in page.all("section") if title in (part.all("h2") + part.all("h3"))[0].text()
    ]
    return found.text()


def test_the_cards_are_the_key_figures(pages: dict[str, str]) -> None:
    assert cards(parse(pages["finished"])) == {
        "Final error": "8.00 %",
        "Final loss": "0.2",
        "Attack rate": "25.00 %",
        "Rounds": "10",
        "Parties": "6",
        "Bytes sent": "10 MB",
        "Simulated time": "5.0 s",
        "Measured time": "0.20 s",
        "Peak memory": "612 MB",
    }


def test_the_header_names_run_status_seed_and_digests(pages: dict[str, str]) -> None:
    page = parse(pages["finished"])
    assert page.all("h1")[0].text() == "credit finished"
    assert "seed 7" in page.all("p", class_="facts")[0].text()
    digests = [code.text() for code in page.all("code")]
    assert digests == ["c4a7" * 16, "77e0" * 16, "0.1.0"]
    assert page.all("pre")[-1].text().startswith('name = "credit" seed = 7')


def test_rejections_are_grouped_with_rounds_as_ranges(pages: dict[str, str]) -> None:
    page = parse(pages["finished"])
    assert table(page, "Rejected contributions") == [
        ["Party", "Reason", "Times", "Rounds"],
        ["party-1 label_flip", "Krum score 12.5 is above 3.25", "10", "1–10"],
    ]


def test_the_party_table_leaves_out_empty_columns(pages: dict[str, str]) -> None:
    header, first, second, *_ = table(parse(pages["finished"]), "Every party")
    assert header == [
        "Party", "Examples", "Accepted", "Rejected", "Error on own data", "Sent", "Received",
    ]  # fmt: skip
    assert first == ["party-0", "100", "10", "0", "8.00 %", "31.5 kB", "31.4 kB"]
    assert second[0] == "party-1 label_flip"


def test_each_measure_is_a_column_of_the_party_table(make_measured: MakeRun) -> None:
    run = make_measured({"stake": 1_200, "trust": 0.25}, {"stake": 5}, {})
    assert table(parse(render([run])), "Every party") == [
        ["Party", "Examples", "Stake", "Trust"],
        ["party-0", "1", "1,200", "0.25"],
        ["party-1", "1", "5", "–"],
        ["party-2", "1", "–", "–"],
    ]


def test_measures_of_any_number_and_name_leave_the_page_readable(make_measured: MakeRun) -> None:
    names = [f"m{i:02}" for i in range(14)] + ["<b>" + "long" * 100]
    html = render([make_measured(dict.fromkeys(names, 1.0))])
    head, _ = table(parse(html), "Every party")
    assert len(head) == 2 + MAX_MEASURES
    assert max(map(len, head)) == MAX_HEADING
    assert f"The first {MAX_MEASURES} of 15 measures, by name. All are in parties.jsonl." in html


def test_traffic_is_sorted_by_bytes_with_its_share(pages: dict[str, str]) -> None:
    rows = table(parse(pages["finished"]), "Messages and bytes")
    assert rows[1:] == [["Update", "60", "6 MB", "60.0 %"], ["Model", "60", "4 MB", "40.0 %"]]


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        (None, "assume that nothing bounds what updates reveal"),
        (
            PrivacyRecord(mechanism="none", epsilon=None, delta=None, note="Why."),
            "Mechanism: none. Nothing bounds what updates reveal: no (ε, δ) holds. Why.",
        ),
        (
            PrivacyRecord(mechanism="gaussian", epsilon=1.5, delta=1e-5, note=""),
            "Mechanism: gaussian. Each party spent at most ε = 1.5, δ = 1e-05.",
        ),
        (
            PrivacyRecord(mechanism="laplace", epsilon=float("inf"), delta=0.0, note=""),
            "Mechanism: laplace. Nothing bounds what updates reveal",
        ),
    ],
)
def test_privacy_says_no_more_than_holds(
    make_run: MakeRun, privacy: PrivacyRecord | None, words: str
) -> None:
    assert words in section(parse(render([make_run(privacy=privacy)])), "Privacy")


def test_each_party_says_what_it_has_spent(make_run: MakeRun) -> None:
    spent = PartyPrivacy(
        party=NodeId("party-0"),
        mechanism="dp_sgd",
        unit="record",
        adjacency="add_remove",
        budget=2.0,
        delta=1e-5,
        epsilon=1.75,
        pld=1.75,
        rdp=2.5,
        releases=12,
        views=["broker"],
    )
    without = PartyPrivacy(party=NodeId("party-1"), mechanism="none")
    privacy = PrivacyRecord(
        mechanism="dp_sgd", epsilon=1.75, delta=1e-5, note="", parties=[spent, without]
    )
    rows = table(parse(render([make_run(privacy=privacy)])), "own privacy")
    assert rows == [
        ["Party", "Mechanism", "Hides", "ε spent", "by PLD", "by RDP", "ε at most", "δ", "Updates",
         "Seen by"],
        ["party-0", "dp_sgd", "a record more or less", "1.75", "1.75", "2.5", "2", "1e-05", "12",
         "broker"],
        ["party-1", "none", "–", "–", "–", "–", "–", "–", "0", "–"],
    ]  # fmt: skip


def test_each_kind_of_release_has_a_row_and_the_papers_count(make_run: MakeRun) -> None:
    masked = ReleasePrivacy(
        what="masked updates", views=["verifiers"], releases=12, paper=2.0, delta=1e-5,
        epsilon=861.5, pld=None, rdp=861.5,
    )  # fmt: skip
    sums = ReleasePrivacy(what="sums on the ledger", views=["public"], releases=9, delta=1e-5)
    party = PartyPrivacy(
        party=NodeId("party-0"), mechanism="paper mask", unit="party", adjacency="replace_one",
        delta=1e-5, releases=12, views=["public", "verifiers"], by_release=[masked, sums],
    )  # fmt: skip
    privacy = own_privacy_record(party)
    assert privacy.epsilon is None
    assert "sums on the ledger left without noise" in privacy.note
    rows = table(parse(render([make_run(privacy=privacy)])), "own privacy")
    hides = "a party exchanged"
    assert rows == [
        ["Party", "Mechanism", "Hides", "ε in the paper", "ε spent", "by PLD", "by RDP",
         "ε at most", "δ", "Updates", "Seen by"],
        ["party-0", "paper mask", hides, "–", "–", "–", "–", "–", "1e-05", "12",
         "public, verifiers"],
        ["party-0", "paper mask: masked updates", hides, "2", "861.5", "–", "861.5", "–", "1e-05",
         "12", "verifiers"],
        ["party-0", "paper mask: sums on the ledger", hides, "–", "–", "–", "–", "–", "1e-05", "9",
         "public"],
    ]  # fmt: skip
    lines = summary_table(make_run(privacy=privacy))
    assert (
        "party-0: paper mask; masked updates: epsilon 861.5 at delta 1e-05, in the paper 2; sums "
        "on the ledger: nothing bounds what they reveal"
    ) in lines


def test_a_run_with_every_release_bounded_says_the_largest(make_run: MakeRun) -> None:
    release = ReleasePrivacy(
        what="masked updates", views=["verifiers"], releases=1, delta=1e-5, epsilon=1.0
    )
    parties = [
        PartyPrivacy(
            party=NodeId(f"party-{index}"), mechanism="calibrated mask", delta=1e-5,
            epsilon=float(index + 1), by_release=[release],
        )
        for index in range(3)
    ]  # fmt: skip
    privacy = simulated_privacy_record(parties)
    assert (privacy.epsilon, privacy.delta, privacy.mechanism) == (3.0, 1e-5, "calibrated mask")
    assert "protects nobody" in privacy.note
    assert "without noise" not in privacy.note
    assert "at most ε = 3, δ = 1e-05" in render([make_run(privacy=privacy)])


def test_what_parties_were_told_is_there_where_they_were(make_run: MakeRun) -> None:
    run = make_run()
    assert "What parties were told" not in render([run])
    parties = list(run.summary.parties)
    parties[2] = msgspec.structs.replace(parties[2], told="too noisy", stopped="<b>spent</b>")
    told = replace(run, summary=msgspec.structs.replace(run.summary, parties=parties))
    rows = table(parse(render([told])), "refused or stopped")
    assert rows[1:] == [["party-2", "too noisy", "<b>spent</b>"]]


def test_a_run_that_failed_at_the_start_still_has_a_page(pages: dict[str, str]) -> None:
    page = parse(pages["failed at the start"])
    assert "party-1 has no data" in page.all("p", class_="failed")[0].text()
    assert "No round was completed" in page.text()
    assert not page.all("svg")
    assert cards(page)["Final error"] == "–"


def test_a_model_that_exploded_is_shown_as_such(pages: dict[str, str]) -> None:
    page = parse(pages["exploded"])
    assert cards(page)["Final error"] == "not finite"
    assert "5 values not finite, left out." in page.text()
    assert (
        "nan" not in re.sub(r"<(style|script).*?</\1>", "", pages["exploded"], flags=re.S).lower()
    )


def test_a_run_without_an_end_says_that_it_may_have_been_killed(pages: dict[str, str]) -> None:
    assert "still going, or it was killed" in parse(pages["running"]).text()


def test_regression_names_its_error(pages: dict[str, str]) -> None:
    assert "mean relative error" in parse(pages["regression"]).text()
    assert "accuracy" not in parse(pages["regression"]).text()


def test_compared_runs_share_charts_with_one_legend_entry_each(pages: dict[str, str]) -> None:
    page = parse(pages["compared"])
    charts = page.all("figure", class_="chart")
    assert len(charts) == 4
    for chart in charts:
        entries = [entry.text().split()[0] for entry in chart.all("ul")[0].all("li")]
        assert entries == [f"run-{index}" for index in range(10)]
        looks = [str(line.attributes["class"]) for line in chart.all("g", class_="line")]
        assert len(set(looks)) == 10


def test_final_figures_stand_side_by_side_and_times_apart(pages: dict[str, str]) -> None:
    header, *rows = table(parse(pages["compared"]), "Final figures")
    assert header[2:] == [
        "Error", "Loss", "Attack rate", "Rounds", "Bytes sent", "Simulated time", "Measured time",
        "Peak memory",
    ]  # fmt: skip
    assert [row[0] for row in rows] == [f"run-{index}" for index in range(10)]
    assert rows[5][2:8] == ["8.00 %", "0.2", "25.00 %", "10", "10 MB", "5.0 s"]


def test_scenarios_are_compared_with_the_first(make_run: MakeRun) -> None:
    runs = [
        make_run("mean", scenario='seed = 7\nrule = "mean"\n'),
        make_run("krum", scenario='seed = 7\nrule = "krum"\n'),
        make_run("again", scenario='seed = 7\nrule = "mean"\n'),
    ]
    page = parse(render(runs))
    (diff,) = page.all("pre", class_="diff")
    assert [span.text() for span in diff.all("span", class_="removed")] == ['-rule = "mean"']
    assert [span.text() for span in diff.all("span", class_="added")] == ['+rule = "krum"']
    assert page.text().count("The scenarios are the same.") == 1


def test_runs_of_one_name_get_different_labels(make_run: MakeRun) -> None:
    a, b, c = make_run("x"), make_run("x"), make_run("y")
    runs = [Run(Path("monday/x"), *astuple(a)), Run(Path("tuesday/x"), *astuple(b)), c]
    rows = table(parse(render(runs)), "Final figures")[1:]
    assert [row[0] for row in rows] == ["monday/x", "tuesday/x", "y"]
    facts = [summary.text() for summary in parse(render(runs)).all("summary")]
    assert sum("charter x" in fact for fact in facts) == 2
    assert not any("charter y" in fact for fact in facts)
    assert "folder x" not in parse(render([a])).text()
    moved = Run(Path("runs/x-2"), *astuple(a))
    header = parse(render([moved])).all("p", class_="facts")[0].text()
    assert header.startswith("folder x-2")
    assert "charter" not in header


def astuple(run: Run) -> tuple[str, Summary, tuple[RoundRecord, ...]]:
    return run.scenario_text, run.summary, run.rounds


@pytest.mark.parametrize("runs", [1, 12])
def test_a_page_stays_below_5_mb_and_says_what_it_left_out(make_run: MakeRun, runs: int) -> None:
    """1,200 parties with long names, refused for reasons that never repeat, 1,000 rounds."""
    base = make_run(parties=1_200)
    parties = [
        msgspec.structs.replace(party, party=NodeId(f"{party.party}-{'x' * 60}"))
        for party in base.summary.parties
    ]
    records = [
        msgspec.structs.replace(
            base.rounds[round % 10],
            round=round + 1,
            accepted=[],
            rejected=[
                Rejection(
                    node=parties[(round + k) % 1_200].party, reason=f"score {round}.{k} " * 1_000
                )
                for k in range(3)
            ],
        )
        for round in range(1_000)
    ]
    summary = msgspec.structs.replace(
        base.summary, parties=parties, notes=["n" * 10_000] * 300, problem="p" * 100_000
    )
    run = Run(base.path, "# comment\n" * 50_000, summary, tuple(records))
    html = render([run] * runs)
    assert len(html.encode()) < 5_000_000
    page = parse(html)
    assert "attackers first" in page.text()
    assert "All are in parties.jsonl" in page.text()
    assert "All are in rounds.jsonl" in page.text()
    assert "more characters in scenario.toml" in page.text()
    if runs == 1:
        assert len(table(page, "Every party")) == 1_001
        assert table(page, "Every party")[1][0].startswith("party-0001")
        assert len(table(page, "Rejected contributions")) == 501


def test_a_map_of_many_parties_and_rounds_stays_small(make_run: MakeRun) -> None:
    run = make_run(parties=150, rounds=2)
    nodes = [party.party for party in run.summary.parties]
    records = [
        msgspec.structs.replace(
            run.rounds[0],
            round=round,
            accepted=nodes[round % 2 :: 2],
            missing=nodes[1 - round % 2 :: 2],
            rejected=[],
        )
        for round in range(1, 241)
    ]
    assert len(render([make_run(parties=150, records=records)]).encode()) < 1_000_000


def test_the_page_is_written_into_the_run_or_beside_the_runs(
    folder: RunFolder, summary: Summary, record: Callable[[int], RoundRecord], tmp_path: Path
) -> None:
    folder.append_round(record(1))
    other = RunFolder.create(folder.path, "seed = 8\n", summary)
    assert write_report([folder.path]) == folder.path / "report.html"
    assert write_report([folder.path, other.path]) == folder.path.parent / "comparison.html"
    assert write_report([folder.path], tmp_path / "x.html") == tmp_path / "x.html"
    assert (tmp_path / "x.html").read_bytes() == (folder.path / "report.html").read_bytes()
    assert "runs compared" in (folder.path.parent / "comparison.html").read_text()


def test_a_page_that_cannot_be_made_is_a_usage_error(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        write_report([])
    with pytest.raises(UsageError, match="does not exist"):
        write_report([folder.path, tmp_path / "gone"])
    with pytest.raises(UsageError, match="is a folder"):
        write_report([folder.path], tmp_path)
    with pytest.raises(UsageError, match="gone is not a folder"):
        write_report([folder.path], tmp_path / "gone" / "x.html")
