"""An experiment's file: a scenario, its variants, what is read off them, what the paper says."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import NAME_PATTERN, Index, NonNegative, Positive, Probability, Table

Line = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]


class FinalError(Table, frozen=True, tag_field="kind", tag="final_error", kw_only=True):
    """The error of the final model on the test set."""

    label: Line
    """What its column is called."""


class FinalAttackRate(Table, frozen=True, tag_field="kind", tag="final_attack_rate", kw_only=True):
    """The share of the attack's source examples in the test set that the final model takes for its
    target."""

    label: Line


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


class RoundTime(Table, frozen=True, tag_field="kind", tag="round_time", kw_only=True):
    """The simulated time of a round, on average."""

    label: Line


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


class ComputingTime(Table, frozen=True, tag_field="kind", tag="computing_time", kw_only=True):
    """Simulated seconds that one peer computes for some kinds of work, if it does each once, on
    average."""

    label: Line
    work: Annotated[list[Line], msgspec.Meta(min_length=1)]
    """The computations, by their labels in cost models."""


class SentBytes(Table, frozen=True, tag_field="kind", tag="sent_bytes", kw_only=True):
    """What all nodes send in a round in messages of some types, on average."""

    label: Line
    messages: Annotated[list[Line], msgspec.Meta(min_length=1)]


class StakeShare(Table, frozen=True, tag_field="kind", tag="stake_share", kw_only=True):
    """Which share of all stake is theirs, by the chain in the run's folder."""

    label: Line
    of: Literal["honest", "attackers"]
    round: Index | None = None
    """After which round; absent: the last one."""


ReadingSpec = (
    FinalError
    | FinalAttackRate
    | WorstError
    | MeanError
    | ErrorAt
    | TimeToError
    | RoundTime
    | Duration
    | ComputingTime
    | SentBytes
    | StakeShare
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

    y: Literal["error", "attack_rate", "honest_stake"] = "error"
    x: Literal["seconds", "rounds", "both"] = "seconds"
    """`both` are two panels side by side."""
    until_s: Positive | None = None
    """Where the time axis ends; absent: with the last run."""
    mean_over_s: Positive | None = None
    """A point is the mean of the rounds that end in so many seconds; absent: one round."""


class Bars(Table, frozen=True, tag_field="kind", tag="bars", kw_only=True):
    """One reading of each variant, the paper's beside it."""

    reading: str


class Lines(Table, frozen=True, tag_field="kind", tag="lines", kw_only=True):
    """Readings against a number that the variants differ in: a line for each series and reading."""

    readings: Annotated[list[str], msgspec.Meta(min_length=1)]
    """All in one unit."""
    x: Line
    """What the number is."""


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
    plot: Curves | Bars | Lines = Curves()
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

    def _check_known(
        self, key: str, name: str, known: dict[str, ReadingSpec] | list[str], what: str
    ) -> None:
        if name not in known:
            hint = f"{what}s of this experiment: {', '.join(known) or 'none'}"
            raise CharterError(f"is not a {what} of this file", key=key, value=name, hint=hint)
