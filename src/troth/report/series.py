"""The curves of a run, before anybody draws them: which there are, what they are called, their
colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from troth.records import RoundRecord, Summary
from troth.report.read import Run

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7a4fbf", "#555555")
"""Okabe & Ito's colours for all kinds of colour vision, yellow and black made fit for both papers,
and violet."""

DARK_PALETTE = (
    "#4aa8e8",
    "#f2894a",
    "#2cc295",
    "#e39ac6",
    "#d6b53c",
    "#9ad4f7",
    "#b394ee",
    "#b5b5b5",
)
"""The same hues, lighter, for a dark background."""


DASHES = 4
"""Kinds of line: solid, dashed, dotted, dash and dot."""


def look(index: int) -> tuple[int, int]:
    """Colour and dash of run `index`.

    Neighbours differ in both, so that curves that lie on each other are all seen, and without
    colours too; the first 32 runs all look different.
    """
    return index % len(PALETTE), (index + index // len(PALETTE)) % DASHES


@dataclass(frozen=True)
class Series:
    """A number that every round may have.

    `key` is what the round's record or its metrics call it, and `axis` its name on an axis; `kind`
    says how its values are written: a share as per cent.
    """

    key: str
    title: str
    axis: str
    kind: Literal["share", "number", "bytes"]


SERIES = {
    series.key: series
    for series in (
        Series("error", "Error on the test set", "error", "share"),
        Series("loss", "Loss on the test set", "loss", "number"),
        Series("attack_rate", "Attack rate", "attack rate", "share"),
        Series("bytes_sent", "Bytes sent since the start", "bytes sent", "bytes"),
    )
}


def points(run: Run, key: str) -> tuple[list[int], list[float]]:
    """The rounds that have series `key`, ascending, and its value in each; values may be NaN."""
    known = [
        (int(record.round), y) for record in run.rounds if (y := _value(record, key)) is not None
    ]
    return [round for round, _ in known], [y for _, y in known]


def _value(record: RoundRecord, key: str) -> float | None:
    if key == "bytes_sent":
        return float(record.bytes_sent)
    value: float | None = getattr(record.metrics, key, None)
    return value


def error_name(summary: Summary) -> str:
    """What `error` means for this task."""
    return "mean relative error" if summary.task == "regression" else "1 − accuracy"


def labels(runs: Sequence[Run]) -> list[str]:
    """One name per run, each different: its folder's, with as many folders above it as that
    takes."""
    parts = [run.path.absolute().parts for run in runs]
    names = ["/".join(part[-1:]) for part in parts]
    for depth in range(2, max(map(len, parts), default=0) + 1):
        times = Counter(names)
        if max(times.values()) == 1:
            break
        names = [
            name if times[name] == 1 else "/".join(part[-depth:])
            for name, part in zip(names, parts, strict=True)
        ]
    return names
