"""The OpenAPI document as a page in HTML, without scripts, which fetches nothing from elsewhere."""

from __future__ import annotations

import json
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from troth.worlds.real.api.face import Face
from troth.worlds.real.api.openapi import openapi


@cache
def page_html(face: Face) -> bytes:
    """The page as it is served, in UTF-8."""
    environment = Environment(
        loader=PackageLoader("troth.worlds.real.api"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2)
    return environment.get_template("page.html.j2").render(api=openapi(face)).encode()
