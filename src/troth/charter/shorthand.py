"""Short forms of a file, and what they stand for.

A table whose other keys all have defaults may be given by its name alone: `data = "digits"` is
`data = {source = "named", name = "digits"}`. A name with a colon is a callable of one's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from troth.charter.document import Document
from troth.charter.keys import Key


@dataclass(frozen=True)
class ShortForm:
    """How a value that is not a table is spelt out.

    Args:
      name_key: the key of the table that the value becomes.
      fixed: what else the table then holds.
      callable_form: what it holds when the value is a `module:callable`, which becomes `callable`.
      number: the value is a number, not a string.
      example: a line that uses it.
    """

    name_key: str
    example: str
    fixed: tuple[tuple[str, str], ...] = ()
    callable_form: tuple[str, str] | None = None
    number: bool = False

    def expand(self, value: object) -> object:
        """The table that `value` stands for; anything that is no short form comes back as it is."""
        if self.number:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return value
        elif not isinstance(value, str):
            return value
        elif self.callable_form is not None and ":" in value:
            tag, name = self.callable_form
            return {tag: name, "callable": value}
        return {**dict(self.fixed), self.name_key: value}


_LATENCY = ShortForm("seconds", "latency = 0.1", fixed=(("kind", "constant"),), number=True)

SHORT_FORMS: dict[str, ShortForm] = {
    "task.data": ShortForm(
        "name",
        'data = "digits"',
        fixed=(("source", "named"),),
        callable_form=("source", "callable"),
    ),
    "task.model": ShortForm("name", 'model = "softmax"', callable_form=("name", "module")),
    "protocol": ShortForm("name", 'protocol = "federated"'),
    "protocol.aggregation": ShortForm(
        "rule", 'aggregation = "multi_krum"', callable_form=("rule", "callable")
    ),
    "protocol.puzzle": ShortForm("kind", 'puzzle = "argon2"'),
    "protocol.noise.mask": ShortForm("kind", 'mask = "paper"'),
    "partition": ShortForm("kind", 'partition = "equal"', callable_form=("kind", "callable")),
    "network.latency": _LATENCY,
    "network.latency_of.*": _LATENCY,
    "cost": ShortForm("kind", 'cost = "zero"'),
    "engine": ShortForm("name", 'engine = "batched"'),
}
"""The short forms by the key at which they may stand; `*` is any one name. A table stands before
the tables inside it."""


def short_form(key: Key) -> ShortForm | None:
    """The short form that `key` may take."""
    parts = [str(part) for part in key]
    return SHORT_FORMS.get(".".join(parts)) or SHORT_FORMS.get(".".join([*parts[:-1], "*"]))


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
