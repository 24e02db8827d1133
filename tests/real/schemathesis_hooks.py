"""What schemathesis has to know beside the document."""

from __future__ import annotations

import schemathesis


@schemathesis.hook
def map_body(context: object, body: object) -> object:
    """To JSON Schema 1.0 is an integer. To the broker it is not, as the document says in words."""
    match body:
        case float() if body.is_integer():
            return int(body)
        case list():
            return [map_body(context, item) for item in body]
        case dict():
            return {name: map_body(context, item) for name, item in body.items()}
        case _:
            return body
