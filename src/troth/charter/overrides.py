"""`--set key=value`: changes to a file that keep its comments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, MutableMapping, MutableSequence, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, InlineTable, Item, Table

from troth.charter.document import Document, parse
from troth.charter.keys import Key, dotted, parse_key
from troth.charter.shorthand import short_form
from troth.charter.words import kind
from troth.errors import CharterError

_WORD = re.compile(r"""[^\s"'\[\]{}=#,\x00-\x1f]+""")
"""What counts as a string although it has no quotes, which a shell takes away."""


MAX_SHOWN = 160
"""Characters of an override that an error shows."""


@dataclass(frozen=True)
class Override:
    """One `--set`, as it was written and as it was read."""

    text: str
    key: Key
    item: Item
    """The value as it will stand in the text."""

    @property
    def value(self) -> object:
        """The value as plain TOML means it."""
        return self.item.unwrap()

    @property
    def origin(self) -> str:
        """What an error says instead of a file name."""
        return _origin(self.text)

    def refused(self, problem: str, hint: str) -> CharterError:
        """The error to raise where it cannot be set."""
        return CharterError(problem, file=self.origin, hint=hint)

    def concerns(self, key: Key) -> bool:
        """Whether an error at `key` may come from this override."""
        shorter = min(len(key), len(self.key))
        return shorter > 0 and key[:shorter] == self.key[:shorter]


def _origin(text: str) -> str:
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return f"--set {shown}"


def parse_override(text: str) -> Override:
    """Reads `key=value`; the value is TOML, or a single word that is taken for a string.

    >>> parse_override("attacks[0].fraction=0.2").key
    ('attacks', 0, 'fraction')
    >>> parse_override("protocol.aggregation=median").value
    'median'

    Raises:
      CharterError: it is not of that form.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise CharterError("has no =", file=_origin(text), hint="write --set training.rounds=5")
    try:
        key = parse_key(name.strip())
    except CharterError as error:
        raise error.in_file(_origin(text)) from None
    if key == ("charter",):
        raise CharterError(
            "cannot name another charter file",
            file=_origin(text),
            hint="set the charter's own keys, such as training.rounds, or edit the file",
        )
    return Override(text, key, _read_value(written.strip(), text))


def _read_value(written: str, text: str) -> Item:
    try:
        return tomlkit.value(written)
    except (TOMLKitError, ValueError, RecursionError):
        if _WORD.fullmatch(written):
            return tomlkit.string(written)
    raise CharterError(
        "is not a value of TOML",
        file=_origin(text),
        hint="""write 5, 0.1, true, median, '"two words"' or '[1, 2]'""",
    )


def apply_overrides(
    text: str, document: Document, overrides: Sequence[Override], file: str
) -> tuple[str, Document]:
    """The text with `overrides` set in order, and the document that it then is; comments and
    everything else of the text stay.

    Args:
      document: what `text` is, parsed.

    Raises:
      CharterError: a key leads through something that is no table, or past the end of an array.
    """
    if not overrides:
        return text, document
    try:
        return _set_all(text, document, overrides, file)
    except CharterError:
        if len(overrides) == 1:
            raise
    # One at a time, so that the error names the one that cannot be set.
    for override in overrides:
        # Read again, as the item of the first attempt may have been changed by later overrides.
        text, document = _set_all(text, document, [parse_override(override.text)], file)
    return text, document


def _set_all(
    text: str, document: Document, overrides: Sequence[Override], file: str
) -> tuple[str, Document]:
    # The same changes to plain tables say what the text must come to mean.
    meant = deepcopy(document)
    for override in overrides:
        _set(meant, override, override.value, _plain_table)
    try:
        layout = tomlkit.parse(text)
        for override in overrides:
            _set(layout, override, override.item, _new_table)
        text = tomlkit.dumps(layout)
        written = parse(text, override.origin)
        if _comparable(written) == _comparable(meant):
            return text, written
    except TOMLKitError:
        pass
    raise override.refused(f"cannot be written into the layout of {file}", "edit the file instead")


def _comparable(value: object) -> object:
    """The same, in which a NaN equals another: it is refused later, by the name of its key."""
    match value:
        case float() if math.isnan(value):
            return "NaN", None
        case dict():
            return {name: _comparable(inner) for name, inner in value.items()}
        case list():
            return [_comparable(inner) for inner in value]
    return value


def _new_table(parent: object, content: dict[str, object]) -> object:
    inline = bool(content) or isinstance(parent, InlineTable)
    table: InlineTable | Table = tomlkit.inline_table() if inline else tomlkit.table()
    table.update(content)
    return table


def _plain_table(parent: object, content: dict[str, object]) -> object:  # noqa: ARG001 as _new_table
    return dict(content)


def _set(
    top: MutableMapping[str, Any],
    override: Override,
    value: object,
    table: Callable[[object, dict[str, object]], object],
) -> None:
    node: Any = top
    key = override.key
    for depth, part in enumerate(key[:-1], start=1):
        _check_step(node, part, key[: depth - 1], override)
        if isinstance(part, str) and part not in node:
            node[part] = table(node, {})
        inner = node[part]
        form = short_form(key[:depth])
        if form is not None and not isinstance(inner, MutableMapping):
            spelt = form.expand(inner.unwrap() if hasattr(inner, "unwrap") else inner)
            if isinstance(spelt, dict):
                node[part] = table(None, spelt)
        node = node[part]
    last = key[-1]
    _check_step(node, last, key[:-1], override)
    if isinstance(node, AoT):
        raise override.refused("replaces a whole table of an array", "set its keys instead")
    if isinstance(last, str) and isinstance(node.get(last), AoT | Table):
        # A value cannot stand where a table stood: it would fall into the table above.
        del node[last]
    node[last] = value


def _check_step(node: object, part: str | int, place: Key, override: Override) -> None:
    """`part` can be looked up, or added, in `node`, which stands at `place`."""
    where = dotted(place) or "the file"
    plain = node.unwrap() if hasattr(node, "unwrap") else node
    if isinstance(part, str):
        if not isinstance(node, MutableMapping):
            entry = f", or {where}[0]" if kind(plain) == "an array" else ""
            problem = f"names a key of {where}, which is {kind(plain)}"
            raise override.refused(problem, f"set {where} itself{entry}")
    elif not isinstance(node, MutableSequence):
        problem = f"names an entry of {where}, which is {kind(plain)}"
        raise override.refused(problem, "positions in brackets are for arrays")
    elif part >= len(node):
        problem = f"names entry {part} of {where}, which has {len(node)}"
        raise override.refused(problem, "the first entry is [0]")
