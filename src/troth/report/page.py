"""`report.html`: one self-contained page about one run or several."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from troth.errors import UsageError
from troth.report.atomic import replace_file
from troth.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from troth.report.folder import PAGE
from troth.report.read import Run, load_run
from troth.report.series import DARK_PALETTE, PALETTE
from troth.report.view import page

COMPARISON = "comparison.html"


def write_report(runs: Sequence[Path], output: Path | None = None) -> Path:
    """Write the page about the runs in these folders, and return where it is.

    Args:
      runs: folders of runs; with several, the page compares them in this order.
      output: the file to write; absent: `report.html` in the run's folder, or `comparison.html`
        beside the first run's.

    Raises:
      UsageError: no run, a folder that is not a run's, or a file that cannot be written.
    """
    if not runs:
        raise UsageError(
            "there is no run to report on", hint="name at least one folder, such as runs/credit"
        )
    html = render([load_run(path) for path in runs])
    if output is None:
        output = runs[0] / PAGE if len(runs) == 1 else runs[0].absolute().parent / COMPARISON
    if output.is_dir():
        raise UsageError(f"{output} is a folder", hint=f"name a file, such as {output / PAGE}")
    if not output.parent.is_dir():
        raise UsageError(
            f"{output.parent} is not a folder", hint="make it first, or write elsewhere"
        )
    replace_file(output, html.encode(errors="replace"))
    return output


def render(runs: Sequence[Run]) -> str:
    """The page about `runs`, at least one. It depends on nothing but the runs, and loads
    nothing."""
    return laid_out("page.html.j2", version=runs[0].summary.troth_version, page=page(runs))


def laid_out(template: str, **content: object) -> str:
    """A page in the frame that all have, of the same look.

    Args:
      template: of this package, one that extends `frame.html.j2`.
      content: what the template shows, `version` of Troth among it.
    """
    script = _asset("page.js")
    # The page's policy names its script by digest: should a string of a run ever get past the
    # escaping, the browser still refuses to run it, and refuses to load anything from anywhere.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            **content,
            style=Markup(_asset("page.css")),
            script=Markup(script),
            script_digest=digest,
            palette=PALETTE,
            dark_palette=DARK_PALETTE,
            box={
                "width": WIDTH,
                "height": HEIGHT,
                "left": LEFT,
                "right": RIGHT,
                "top": TOP,
                "bottom": BOTTOM,
            },
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("troth.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (files("troth.report") / "templates" / name).read_text(encoding="utf-8")
