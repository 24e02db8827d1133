"""The page of an experiment that computes. Where an experiment runs, its page compares the runs."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec

from troth.report.atomic import replace_file
from troth.report.page import laid_out
from troth.report.rows import MAX_TEXT, cell
from troth.report.text import ABSENT, duration, shortened
from troth.reproduction.computing import Computed
from troth.reproduction.results import Results
from troth.reproduction.tables import ratios_table, readings_table


def write_page(
    results: Results, computed: Mapping[str, Computed], plot: Path, output: Path
) -> Path:
    """Write the page with the table and the plot, and return where it is.

    Args:
      computed: by variant, those that have been computed.
      plot: a PNG, which becomes a part of the page.

    Raises:
      UsageError: the file cannot be written.
    """
    head, rows = readings_table(results)
    for cells, row in zip(rows, results.rows, strict=True):
        took_s = row.measured_s
        cells.append(cell(ABSENT if took_s is None else duration(took_s), took_s))
    html = laid_out(
        "experiment.html.j2",
        version=version("troth"),
        results=results,
        about=_paragraphs(results.about),
        differences=_paragraphs(results.differences),
        head=head,
        rows=list(zip(results.rows, rows, strict=True)),
        ratios=ratios_table(results),
        plot=f"data:image/png;base64,{base64.b64encode(plot.read_bytes()).decode()}",
        calls=[
            (row.label, outcome.call, _arguments(outcome))
            for row in results.rows
            if (outcome := computed.get(row.name)) is not None
        ],
    )
    replace_file(output, html.encode(errors="replace"))
    return output


def _paragraphs(text: str) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]


def _arguments(outcome: Computed) -> str:
    said = (
        f"{name} = {msgspec.json.encode(value).decode()}"
        for name, value in outcome.call.arguments.items()
    )
    return shortened(", ".join(said), MAX_TEXT)
