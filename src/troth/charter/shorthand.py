"""Short forms of a file, and what they stand for.

A table whose other keys all have defaults may be given by its name alone: `data = "digits"` is
`data = {source = "named", name = "digits"}`. A name with a colon is a callable of one's own.
"""

from __future__ import annotations

from typing import Any

from troth.charter.document import Document
from troth.charter.keys import Key
from troth.protocols.protocol import Protocol
from troth.protocols.registry import PROTOCOLS
from troth.specification import ShortForm

_LATENCY = ShortForm("seconds", "latency = 0.1", fixed=(("kind", "constant"),), number=True)

SHORT_FORMS: dict[str, ShortForm] = {
    "task.data": ShortForm(
        "name",
        'data = "digits"',
        fixed=(("source", "named"),),
        callable_form=("source", "callable"),
    ),
    "task.model": ShortForm("name", 'model = "softmax"', callable_form=("name", "module")),
    "protocol": ShortForm("name", f'protocol = "{PROTOCOLS[0].name}"'),
    **{key: form for protocol in PROTOCOLS for key, form in protocol.short_forms.items()},
    "partition": ShortForm("kind", 'partition = "equal"', callable_form=("kind", "callable")),
    "network.latency": _LATENCY,
    "network.latency_of.*": _LATENCY,
    "cost": ShortForm("kind", 'cost = "zero"'),
    "engine": ShortForm("name", 'engine = "batched"'),
}
"""The short forms by the key at which they may stand; `*` is any one name. A table stands before
the tables inside it."""

_FOREIGN_FORMS: dict[str, ShortForm] = {}
"""The same of protocols that do not come with Troth and have been looked up."""


def add_short_forms(protocol: Protocol[Any]) -> None:
    """Know those of a protocol that does not come with Troth."""
    for key, form in protocol.short_forms.items():
        _FOREIGN_FORMS[key] = form


def short_form(key: Key) -> ShortForm | None:
    """The short form that `key` may take."""
    parts = [str(part) for part in key]
    place, any_name = ".".join(parts), ".".join([*parts[:-1], "*"])
    return SHORT_FORMS.get(place) or SHORT_FORMS.get(any_name) or _FOREIGN_FORMS.get(place)


def spell_out(document: Document) -> Document:
    """The document without short forms; `document` itself is left alone."""
    return {name: _spelt(value, (name,)) for name, value in document.items()}


def _spelt(value: object, key: Key) -> object:
    form = short_form(key)
    if form is not None:
        value = form.expand(value)
    if isinstance(value, dict):
        return {name: _spelt(inner, (*key, name)) for name, inner in value.items()}
    return value
