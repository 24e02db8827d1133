"""The `[data]` and `[partition]` tables, and the schema of a party's own data."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from troth.errors import CharterError
from troth.specification import Count, Fraction, Positive, Reference, Table

BUNDLED = ("digits", "breast_cancer", "diabetes", "wine", "iris")
"""Come with scikit-learn: always there, offline."""

PUBLISHED = ("mnist", "credit", "adult", "hospital", "us-census", "svhn")
"""Loaded from the folder named by `TROTH_DATA`."""


class Column(Table, kw_only=True):
    """One column of a party's own file.

    `number` is scaled to [0, 1] by `minimum` and `maximum`, which the charter sets: a party's private
    statistics are never used. `category` is one-hot over `values`.
    """

    name: str
    kind: Literal["number", "category"] = "number"
    minimum: float | None = None
    maximum: float | None = None
    values: list[str | int] | None = None

    def check(self) -> None:
        if self.kind == "number" and (self.minimum is None or self.maximum is None):
            raise CharterError(
                "is a number column without a range",
                key="name",
                value=self.name,
                hint="give minimum and maximum; they scale the column, and rows outside are refused",
            )
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


class Schema(Table, kw_only=True):
    """What a party's own CSV, Parquet or NPZ file must hold.

    CSV and Parquet have the named columns; NPZ has arrays `x` (N, *shape) float32 and `y` (N,).
    """

    columns: list[Column] = []
    shape: list[Count] | None = None
    target: str = "y"
    classes: list[str | int] | Count | None = None
    target_minimum: float | None = None
    target_maximum: float | None = None
    group: str | None = None


class NamedData(Table, tag_field="source", tag="named", kw_only=True):
    """A data set troth knows: see `troth data list`."""

    name: Literal[
        "digits", "breast_cancer", "diabetes", "wine", "iris",
        "mnist", "credit", "adult", "hospital", "us-census", "svhn",
    ]  # fmt: skip
    rows: Count | None = None
    """Keep this many training rows, drawn by the run's seed; all of them when absent."""
    test_rows: Count | None = None


class FileData(Table, tag_field="source", tag="files", kw_only=True):
    """Your own files, one per party or one to deal out; paths relative to the scenario file."""

    schema: Schema
    train: str | list[str]
    test: str | None = None
    test_fraction: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    """Share of the training rows held out when there is no `test` file."""


class CallableData(Table, tag_field="source", tag="callable", kw_only=True):
    """Your own: `callable(**arguments)` returning a `troth.data.DataSet`."""

    callable: Reference
    arguments: dict[str, bool | int | float | str] = {}


DataSpec = NamedData | FileData | CallableData


class Equal(Table, tag_field="kind", tag="equal", kw_only=True):
    """Shuffled and dealt in equal parts; sizes differ by at most one."""


class RandomSizes(Table, tag_field="kind", tag="random_sizes", kw_only=True):
    """Shuffled and cut at random places; every party gets at least `minimum` rows."""

    minimum: Count = 1


class Bootstrap(Table, tag_field="kind", tag="bootstrap", kw_only=True):
    """Every party draws `rows` rows with replacement from all (TorMentor, section 6)."""

    rows: Count | None = None
    """Absent: as many as an equal deal would give."""


class RandomFraction(Table, tag_field="kind", tag="fraction", kw_only=True):
    """Every party draws a share of all rows without replacement; parties overlap (alpha-MDL: 60 %)."""

    fraction: Fraction = 0.6


class Dirichlet(Table, tag_field="kind", tag="dirichlet", kw_only=True):
    """Label skew: class c's rows are dealt by shares drawn from Dirichlet(alpha)."""

    alpha: Positive
    minimum: Count = 1


class ByClass(Table, tag_field="kind", tag="by_class", kw_only=True):
    """Every party holds `classes` classes only."""

    classes: Count = 1


class ByColumn(Table, tag_field="kind", tag="by_column", kw_only=True):
    """One party per distinct value of a column the data set keeps for this (`hospital`: a state, say)."""

    column: str


class AsGiven(Table, tag_field="kind", tag="as_given", kw_only=True):
    """Party i holds the i-th file of `[data] train`."""


class CallablePartition(Table, tag_field="kind", tag="callable", kw_only=True):
    """Your own: `callable(train, parties, generator, **arguments)` returning index arrays."""

    callable: Reference
    arguments: dict[str, bool | int | float | str] = {}


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
