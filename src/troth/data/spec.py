"""The `[task.data]` and `[partition]` tables, and the schema of a party's own data."""

from __future__ import annotations

import posixpath
from math import isfinite
from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import Count, Fraction, Positive, Reference, Table

BUNDLED = ("digits", "breast_cancer", "diabetes", "wine", "iris")
"""Names of the sets that come with scikit-learn: always there, offline."""

PUBLISHED = ("mnist", "credit", "adult", "hospital", "us-census", "svhn")
"""Names of the sets that are loaded from the folder named by `TROTH_DATA`."""


class Column(Table, frozen=True, kw_only=True):
    """One column of a party's own file.

    `number` is scaled to [0, 1] by `minimum` and `maximum`, which the charter sets: a party's
    private statistics are never used. `category` is one-hot over `values`.
    """

    name: str
    """Name of the column, as in the file's first line."""
    kind: Literal["number", "category"] = "number"
    minimum: float | None = None
    """Least value of a number; a row with a smaller one is refused."""
    maximum: float | None = None
    """Greatest value of a number; a row with a larger one is refused."""
    values: list[str | int] | None = None
    """All values that a category may have; a row with another one is refused."""

    def check(self) -> None:
        if self.kind == "number" and (self.minimum is None or self.maximum is None):
            raise CharterError(
                "is a number column without a range",
                key="name",
                value=self.name,
                hint="give minimum and maximum: they scale the column and bound its values",
            )
        for key, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is not None and not isfinite(bound):
                raise CharterError("is not a finite number", key=key, value=bound)
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise CharterError(
                f"is not below maximum = {self.maximum}", key="minimum", value=self.minimum
            )
        if self.kind == "category" and not self.values:
            raise CharterError(
                "is a category column without values",
                key="name",
                value=self.name,
                hint="list every value it may have in values = [...]",
            )
        texts = [str(value) for value in self.values or []]
        if len(set(texts)) < len(texts):
            raise CharterError("names a value twice", key="values", value=self.values)


def category(name: str, *values: str) -> Column:
    """A column of categories that may have these values."""
    return Column(name=name, kind="category", values=list(values))


class Schema(Table, frozen=True, kw_only=True):
    """What a party's own CSV, Parquet or NPZ file must hold.

    CSV and Parquet have the named `columns`; NPZ has arrays `x` of shape (N, *shape), used as
    it is, and `y` of shape (N,). Columns that are not named here are left out.
    """

    columns: list[Column] = msgspec.field(default_factory=list)
    """The features, in CSV and Parquet files."""
    shape: list[Count] | None = None
    """Shape of one example, in NPZ files."""
    target: str = "y"
    """Column or array that holds what is predicted."""
    classes: list[str | int] | Count | None = None
    """The values the target may have, or their number C for 0..C-1; absent: regression. Booleans
    are `false` and `true` in whatever case, or 0 and 1."""
    target_minimum: float | None = None
    """Regression: below it a row is refused; goes with `target_maximum`."""
    target_maximum: float | None = None
    """Regression: above it a row is refused. Targets are divided by the greater absolute value of
    the two, which leaves relative errors as they are; absent: used as they are."""
    group: str | None = None
    """Column or array whose equal values (a patient) are never split between parties. A row that
    has none is refused."""

    def check(self) -> None:
        if bool(self.columns) == (self.shape is not None):
            raise CharterError(
                "must be given, or shape, but not both",
                key="columns",
                value=[column.name for column in self.columns],
                hint="columns describe CSV and Parquet files, shape describes NPZ files",
            )
        names = [column.name for column in self.columns] + [self.target]
        names += [] if self.group is None else [self.group]
        for name in names:
            if names.count(name) > 1:
                raise CharterError(
                    "is named twice among columns, target and group", key="columns", value=name
                )
        if self.classes is not None:
            self._check_classes()
        bounds = (self.target_minimum, self.target_maximum)
        if self.classes is not None and bounds != (None, None):
            raise CharterError(
                "has no meaning beside classes",
                key="target_minimum" if self.target_minimum is not None else "target_maximum",
                value=bounds[0] if bounds[0] is not None else bounds[1],
                hint="remove classes for regression, or the target's range for classification",
            )
        if (self.target_minimum is None) != (self.target_maximum is None):
            raise CharterError(
                "needs both target_minimum and target_maximum",
                key="target_minimum",
                value=self.target_minimum,
            )
        if (
            self.target_minimum is not None
            and self.target_maximum is not None
            and self.target_minimum >= self.target_maximum
        ):
            raise CharterError(
                f"is not below target_maximum = {self.target_maximum}",
                key="target_minimum",
                value=self.target_minimum,
            )

    def _check_classes(self) -> None:
        if isinstance(self.classes, int):
            if self.classes < 2:
                raise CharterError("is below 2", key="classes", value=self.classes)
            return
        labels = [str(label) for label in self.classes or []]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise CharterError(
                "must be two or more different values", key="classes", value=self.classes
            )

    def labels(self) -> list[str | int]:
        """The values of the target, class 0 first; empty for regression."""
        if isinstance(self.classes, int):
            return list(range(self.classes))
        return list(self.classes or [])


class NamedData(Table, frozen=True, tag_field="source", tag="named", kw_only=True):
    """A data set troth knows: see `troth data list`."""

    name: Literal[
        "digits", "breast_cancer", "diabetes", "wine", "iris",
        "mnist", "credit", "adult", "hospital", "us-census", "svhn",
    ]  # fmt: skip
    rows: Count | None = None
    """Keep this many training rows, drawn by the run's seed; absent: all of them."""
    test_rows: Count | None = None
    """Keep this many test rows, drawn by the run's seed; absent: all of them."""


class FileData(Table, frozen=True, tag_field="source", tag="files", kw_only=True):
    """Your own files, one per party or one to deal out; paths relative to the scenario file."""

    schema: Schema
    """What every row of the files must hold."""
    train: str | list[str] | None = None
    """A file or several: `.csv`, `.csv.gz`, `.parquet` or `.npz`. Only a charter for strangers, who
    name their own to `troth join`, leaves it out."""
    test: str | None = None
    """A file of rows to test on."""
    test_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    """Share of the training rows held out when there is no `test` file."""

    def check(self) -> None:
        if self.train is not None and not self.train:
            raise CharterError(
                "names no file", key="train", value=self.train, hint='write train = "rows.csv"'
            )
        trained_on = [self.train] if isinstance(self.train, str) else self.train or []
        named = [("train", name) for name in trained_on]
        if self.test is not None:
            named.append(("test", self.test))
        places = [posixpath.normpath(name) for _, name in named]
        for number, (key, name) in enumerate(named):
            if places[number] in places[:number]:
                raise CharterError(
                    "is named before, so that its rows would be trained on and tested on",
                    key=key,
                    value=name,
                    hint="name every file once",
                )


class CallableData(Table, frozen=True, tag_field="source", tag="callable", kw_only=True):
    """Your own: `callable(**arguments)` returning a `troth.data.DataSet`."""

    callable: Reference
    """Its module is looked up beside the scenario file, then on the Python path."""
    arguments: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    """Arguments that the callable is given by name."""


DataSpec = NamedData | FileData | CallableData


class Equal(Table, frozen=True, tag_field="kind", tag="equal", kw_only=True):
    """Shuffled and dealt in equal parts; sizes differ by at most one."""


class RandomSizes(Table, frozen=True, tag_field="kind", tag="random_sizes", kw_only=True):
    """Shuffled and cut at random places; every party gets at least `minimum` rows."""

    minimum: Count = 1
    """Rows that every party gets at least."""


class Bootstrap(Table, frozen=True, tag_field="kind", tag="bootstrap", kw_only=True):
    """Every party draws `rows` rows with replacement from all (TorMentor, section 6)."""

    rows: Count | None = None
    """How many rows a party draws; absent: as many as an equal deal would give."""


class RandomFraction(Table, frozen=True, tag_field="kind", tag="fraction", kw_only=True):
    """Every party draws a share of all rows without replacement; they overlap (alpha-MDL: 60 %)."""

    fraction: Fraction = 0.6
    """Share of all rows that a party draws."""


class Dirichlet(Table, frozen=True, tag_field="kind", tag="dirichlet", kw_only=True):
    """Label skew: class c's rows are dealt by shares drawn from Dirichlet(alpha)."""

    alpha: Positive
    """alpha of the Dirichlet distribution: the smaller, the more parties differ."""
    minimum: Count = 1
    """Rows that every party gets at least."""


class ByClass(Table, frozen=True, tag_field="kind", tag="by_class", kw_only=True):
    """Every party holds `classes` classes only."""

    classes: Count = 1
    """How many classes a party holds."""


class ByColumn(Table, frozen=True, tag_field="kind", tag="by_column", kw_only=True):
    """One party per distinct value of a column the data set keeps for this (`us-census`: ST)."""

    column: str
    """The name of that column."""


class AsGiven(Table, frozen=True, tag_field="kind", tag="as_given", kw_only=True):
    """Party i holds the i-th file of `[task.data]` `train`."""


class CallablePartition(Table, frozen=True, tag_field="kind", tag="callable", kw_only=True):
    """Your own: `callable(train, parties, generator, **arguments)` returning index arrays."""

    callable: Reference
    """Its module is looked up beside the scenario file, then on the Python path."""
    arguments: dict[str, bool | int | float | str] = msgspec.field(default_factory=dict)
    """Arguments that the callable is given by name."""


PartitionSpec = (
    Equal
    | RandomSizes
    | Bootstrap
    | RandomFraction
    | Dirichlet
    | ByClass
    | ByColumn
    | AsGiven
    | CallablePartition
)
