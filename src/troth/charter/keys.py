"""Where a value stands in a file: `attacks[1].fraction`."""

from __future__ import annotations

import json
import re

from troth.errors import CharterError

MAX_PARTS = 32
"""How deep tables and arrays of a file may lie in each other; no key needs half as many."""

Key = tuple[str | int, ...]
"""Names of tables and keys, and positions in arrays from 0: `("attacks", 1, "fraction")`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SEGMENT = re.compile(r'(?P<bare>[A-Za-z0-9_-]+)|(?P<quoted>"(?:[^"\\]|\\.)*")')
_POSITION = re.compile(r"\[(\d{1,6})\]")


def dotted(key: Key) -> str:
    """The key as a file would spell it.

    >>> dotted(("network", "latency_of", "party-0", "seconds"))
    'network.latency_of.party-0.seconds'
    >>> dotted(("attacks", 1, "fraction"))
    'attacks[1].fraction'
    """
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{shown}" if text else shown
    return text


def parse_key(text: str) -> Key:
    """Reads a key as `dotted` writes it.

    Raises:
      CharterError: `text` is not a dotted key, or has more than `MAX_PARTS` parts.
    """
    key: list[str | int] = []
    at = 0
    while at <= len(text):
        segment = _SEGMENT.match(text, at)
        if segment is None:
            break
        try:
            key.append(segment["bare"] or json.loads(segment["quoted"]))
        except json.JSONDecodeError:
            break
        at = segment.end()
        while position := _POSITION.match(text, at):
            key.append(int(position[1]))
            at = position.end()
        if len(key) > MAX_PARTS:
            raise CharterError(
                f"has more than {MAX_PARTS} parts", hint="no key of a scenario has more than a few"
            )
        if at == len(text):
            return tuple(key)
        if text[at] != ".":
            break
        at += 1
    raise CharterError(
        f'"{text[:80]}" is not a key', hint="write training.rounds or attacks[0].fraction"
    )
