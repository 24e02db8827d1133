"""Numbers as people read them, the same in the page, the table and the live display."""

from __future__ import annotations

import math
from collections.abc import Iterable

ABSENT = "–"
NOT_FINITE = "not finite"


def percent(share: float | None) -> str:
    """`0.0812` as `8.12 %`."""
    if share is None:
        return ABSENT
    return f"{100 * share:.2f} %" if math.isfinite(share) else NOT_FINITE


def number(value: float | None) -> str:
    """Four significant digits."""
    if value is None:
        return ABSENT
    return f"{value:.4g}" if math.isfinite(value) else NOT_FINITE


def amount(value: float | None) -> str:
    """A whole number with all its digits, `1,234,567`, up to 15 of them; otherwise as `number`."""
    if value is not None and abs(value) < 1e15 and value == int(value):
        return f"{int(value):,}"
    return number(value)


def size(count: float) -> str:
    """Bytes in decimal units: `12.4 MB`."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return (
                f"{count / scale:.3g} {unit}"
                if count < 999.5 * scale
                else f"{count / scale:,.0f} {unit}"
            )
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """`0.42 s`, `12.3 s`, `3 min 20 s`, `2 h 05 min`."""
    if not math.isfinite(seconds):
        return NOT_FINITE
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def counted(count: int, noun: str) -> str:
    """`1 round`, `1,200 rounds`; `noun` is singular and takes an s, or y becomes ies."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"


def ranges(rounds: Iterable[int], limit: int = 12) -> str:
    """Rounds as ranges, ascending: `1–5, 7, 9–12`; after `limit` ranges, how many rounds more."""
    spans: list[list[int]] = []
    for value in sorted(set(rounds)):
        if spans and value == spans[-1][1] + 1:
            spans[-1][1] = value
        else:
            spans.append([value, value])
    shown = [str(first) if first == last else f"{first}–{last}" for first, last in spans[:limit]]
    rest = sum(last - first + 1 for first, last in spans[limit:])
    if rest:
        shown.append(f"and {rest:,} more")
    return ", ".join(shown)


def shortened(text: str, limit: int) -> str:
    """`text` cut to `limit` characters, the last one then an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plain(text: str) -> str:
    """`text` without control characters: names and reasons may come from a peer or a file."""
    return "".join(
        character if character.isprintable() or character == "\n" else " " for character in text
    )
