"""An experiment's file: a scenario, or a computation, its variants, what is read off them, what the
paper says."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.reproduction.offered import CURVES, READINGS
from troth.reproduction.readings import Line, Reading, Value
from troth.specification import NAME_PATTERN, Index, Positive, Reference, Table, tag

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
Scalar = bool | int | float | str
Argument = Scalar | list[Scalar]

if TYPE_CHECKING:
    ReadingSpec = Reading | Value
    CurveName = str
else:
    # Which kinds and curves there are is known only when those that protocols offer are looked up.
    ReadingSpec = reduce(or_, (*READINGS, Value))
    CurveName = Literal[tuple(CURVES)]


class Variant(Table, frozen=True, kw_only=True):
    """One run of the experiment's scenario, or one call of its computation."""

    name: Name
    """The name of the folder that its run is kept in."""
    label: Line
    """What it is called in tables and plots."""
    set: list[str] = []
    """Changes to the scenario, as `--set` takes them."""
    arguments: dict[str, Argument] = {}
    """What the computation is called with, by name."""
    series: list[Line] = []
    """In a plot of `lines`: the lines that it is a point of."""
    at: float | None = None
    """In a plot of `lines`: where on the horizontal axis."""
    paper: dict[str, float] = {}
    """What the paper prints for a reading; a number that it does not print is left out."""


class Ratio(Table, frozen=True, kw_only=True):
    """A reading of one variant over that of another."""

    label: Line
    reading: str
    over: str
    under: str


class Statement(Table, frozen=True, kw_only=True):
    """Something that the paper says in words, and whether it is so here."""

    paper: Line
    here: Line
    """Written by whoever ran the experiment at full size, about that run."""


class Curves(Table, frozen=True, tag_field="kind", tag="curves", kw_only=True):
    """What became of a run over its rounds, a curve for each variant."""

    y: CurveName = "error"
    x: Literal["seconds", "rounds", "both"] = "seconds"
    """`both` are two panels side by side."""
    until_s: Positive | None = None
    """Where the time axis ends; absent: with the last run."""
    mean_over_s: Positive | None = None
    """A point is the mean of the rounds that end in so many seconds; absent: one round."""


class Points(Table, frozen=True, tag_field="kind", tag="points", kw_only=True):
    """Points that a computation returned, joined to a curve for each variant."""

    curve: Line
    """What the computation calls them."""
    x: Line
    """What the first number of a point is."""
    y: Line
    """What the second number of a point is."""


class Bars(Table, frozen=True, tag_field="kind", tag="bars", kw_only=True):
    """One reading of each variant, the paper's beside it."""

    reading: str


class Lines(Table, frozen=True, tag_field="kind", tag="lines", kw_only=True):
    """Readings against a number that the variants differ in: a line for each series and reading."""

    readings: Annotated[list[str], msgspec.Meta(min_length=1)]
    """The readings that are drawn, all in one unit."""
    x: Line
    """What the number is that the variants differ in."""


Plot = Curves | Points | Bars | Lines


class Experiment(Table, frozen=True, kw_only=True):
    """An experiment file: what is run, what is read off, and how page and plot show it."""

    title: Line
    source: Line
    """Paper, and figure or table in it."""
    scenario: Line | None = None
    """The scenario file that all variants change, relative to this one."""
    compute: Reference | None = None
    """In place of a scenario: the computation that each variant calls, `module:callable`, looked up
    beside this file and then on the Python path."""
    seed: Index | None = None
    """What the random numbers of a computation follow from; absent: 1."""
    about: Line
    """What is run and measured, and where its numbers come from."""
    readings: dict[str, ReadingSpec]
    """By the name that `paper` and the other tables call them."""
    variants: Annotated[list[Variant], msgspec.Meta(min_length=1)]
    ratios: list[Ratio] = []
    statements: list[Statement] = []
    plot: Plot = Curves()
    differences: Line
    """Where what was measured differs from the paper, and why."""

    def check(self) -> None:
        self._check_form()
        names = [variant.name for variant in self.variants]
        for index, variant in enumerate(self.variants):
            place = f"variants[{index}]"
            if variant.name in names[:index]:
                raise CharterError("is there already", key=f"{place}.name", value=variant.name)
            for reading in variant.paper:
                self._check_known(f"{place}.paper", reading, self.readings, "reading")
        for index, ratio in enumerate(self.ratios):
            place = f"ratios[{index}]"
            self._check_known(f"{place}.reading", ratio.reading, self.readings, "reading")
            self._check_known(f"{place}.over", ratio.over, names, "variant")
            self._check_known(f"{place}.under", ratio.under, names, "variant")
        match self.plot:
            case Bars(reading=reading):
                self._check_known("plot.reading", reading, self.readings, "reading")
            case Lines(readings=readings):
                for reading in readings:
                    self._check_known("plot.readings", reading, self.readings, "reading")
            case Curves(mean_over_s=over_s, x="rounds" | "both") if over_s is not None:
                raise CharterError(
                    'goes with x = "seconds" only', key="plot.mean_over_s", value=over_s
                )

    def _check_form(self) -> None:
        """Either runs of a scenario or calls of a computation, with what belongs to it."""
        if (self.scenario is None) == (self.compute is None):
            raise CharterError(
                "is missing" if self.scenario is None else "stands beside compute",
                key="scenario",
                value=... if self.scenario is None else self.scenario,
                hint="an experiment names a scenario that is run, or what to compute instead",
            )
        computed = self.compute is not None

        def out_of_place(key: str, value: object, hint: str) -> CharterError:
            problem = f"does not go with {'compute' if computed else 'a scenario'}"
            return CharterError(problem, key=key, value=value, hint=hint)

        for name, reading in self.readings.items():
            if isinstance(reading, Value) != computed:
                hint = 'kind = "value" is read off what compute returned, all others off a run'
                raise out_of_place(f"readings.{name}.kind", tag(reading), hint)
        for index, variant in enumerate(self.variants):
            key, value = ("set", variant.set) if computed else ("arguments", variant.arguments)
            if value:
                hint = "set changes a scenario; arguments are what compute is called with"
                raise out_of_place(f"variants[{index}].{key}", value, hint)
        if self.seed is not None and not computed:
            raise out_of_place("seed", self.seed, "a scenario has its own")
        if isinstance(self.plot, Curves if computed else Points):
            hint = (
                '"curves" shows rounds of runs, "points" what compute returned; "bars" and '
                '"lines" go with both'
            )
            raise out_of_place("plot.kind", tag(self.plot), hint)

    def _check_known(
        self, key: str, name: str, known: dict[str, ReadingSpec] | list[str], what: str
    ) -> None:
        if name not in known:
            hint = f"{what}s of this experiment: {', '.join(known) or 'none'}"
            raise CharterError(f"is not a {what} of this file", key=key, value=name, hint=hint)
