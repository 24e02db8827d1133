"""An experiment's file: a scenario, its variants, what is read off them, what the paper says."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import NAME_PATTERN, NonNegative, Positive, Probability, Table

Line = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]


class FinalError(Table, frozen=True, tag_field="kind", tag="final_error", kw_only=True):
    """The error of the final model on the test set."""

    label: Line
    """What its column is called."""


class WorstError(Table, frozen=True, tag_field="kind", tag="worst_error", kw_only=True):
    """The highest error of all rounds that end in a span of simulated time."""

    label: Line
    from_s: NonNegative = 0.0
    until_s: Positive | None = None
    """Absent: to the end."""


class MeanError(Table, frozen=True, tag_field="kind", tag="mean_error", kw_only=True):
    """The mean error of all rounds that end in a span of simulated time."""

    label: Line
    from_s: NonNegative = 0.0
    until_s: Positive | None = None
    """Absent: to the end."""


class ErrorAt(Table, frozen=True, tag_field="kind", tag="error_at", kw_only=True):
    """The error of the last round that was over at a simulated time."""

    label: Line
    time_s: Positive


class TimeToError(Table, frozen=True, tag_field="kind", tag="time_to_error", kw_only=True):
    """The simulated time at which the error is at most `error` for the first time."""

    label: Line
    error: Probability


class Duration(Table, frozen=True, tag_field="kind", tag="duration", kw_only=True):
    """The simulated time of the whole run."""

    label: Line


class Contributions(Table, frozen=True, tag_field="kind", tag="contributions", kw_only=True):
    """How many contributions were accepted or rejected."""

    label: Line
    fate: Literal["accepted", "rejected"]
    of: Literal["honest", "attackers"]
    each: bool = False
    """On average for each party, in place of all together."""


class AcceptedShare(Table, frozen=True, tag_field="kind", tag="accepted_share", kw_only=True):
    """Which share of all accepted contributions came from them."""

    label: Line
    of: Literal["honest", "attackers"]


class WorkPerAccepted(Table, frozen=True, tag_field="kind", tag="work_per_accepted", kw_only=True):
    """The work of all of them over their accepted contributions; work for rejected ones, and for
    joining, counts too."""

    label: Line
    of: Literal["honest", "attackers"]
    work: Line = "solve_puzzle"
    """The computation, by its label in cost models; of `solve_puzzle` a unit is one hash."""


ReadingSpec = (
    FinalError
    | WorstError
    | MeanError
    | ErrorAt
    | TimeToError
    | Duration
    | Contributions
    | AcceptedShare
    | WorkPerAccepted
)


class Variant(Table, frozen=True, kw_only=True):
    """One run of the experiment's scenario."""

    name: Name
    """Of its folder."""
    label: Line
    """What it is called in tables and plots."""
    set: list[str] = []
    """Changes to the scenario, as `--set` takes them."""
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
    """Error against simulated time, a curve for each variant."""

    until_s: Positive | None = None
    """Where the time axis ends; absent: with the last run."""
    mean_over_s: Positive | None = None
    """A point is the mean of the rounds that end in so many seconds; absent: one round."""


class Bars(Table, frozen=True, tag_field="kind", tag="bars", kw_only=True):
    """One reading of each variant, the paper's beside it."""

    reading: str


class Experiment(Table, frozen=True, kw_only=True):
    """The whole file."""

    title: Line
    source: Line
    """Paper, and figure or table in it."""
    scenario: Line
    """The scenario file that all variants change, relative to this one."""
    about: Line
    """What is run and measured, and where its numbers come from."""
    readings: dict[str, ReadingSpec]
    """By the name that `paper` and the other tables call them."""
    variants: Annotated[list[Variant], msgspec.Meta(min_length=1)]
    ratios: list[Ratio] = []
    statements: list[Statement] = []
    plot: Curves | Bars = Curves()
    differences: Line
    """Where what was measured differs from the paper, and why."""

    def check(self) -> None:
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
        if isinstance(self.plot, Bars):
            self._check_known("plot.reading", self.plot.reading, self.readings, "reading")

    def _check_known(
        self, key: str, name: str, known: dict[str, ReadingSpec] | list[str], what: str
    ) -> None:
        if name not in known:
            hint = f"{what}s of this experiment: {', '.join(known) or 'none'}"
            raise CharterError(f"is not a {what} of this file", key=key, value=name, hint=hint)
